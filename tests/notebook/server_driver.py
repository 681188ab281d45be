"""A real Jupyter server with the extension, kernels that it starts, and a page that answers.

The kernels are driven over their own sockets, found by the connection files in the server's
runtime directory; starting and interrupting goes through the server, as a page does it.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil
import websocket

from tests.bare_jupyter import without_others
from tests.notebook.kernel_driver import START_LIMIT, Kernel, clean_environment
from tests.ports import free_port

__all__ = ["JupyterServer", "Page", "ServedKernel"]

Json = dict[str, Any]


class JupyterServer:
    """A server process. Use as a context.

    Args:
        folder: Everything of the server's is in it; kernels work in ``folder / "root"``.
        pythons: The kernels it has, by name.
        config: The text of ``config.toml``, which the server reads once.
        env: More variables.
        options: More options of the command line.
    """

    def __init__(
        self,
        folder: Path,
        pythons: Mapping[str, Path],
        config: str,
        *,
        env: Mapping[str, str] | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.root = folder / "root"
        self.runtime = folder / "runtime"
        for made in (self.home, self.root, self.runtime):
            made.mkdir(parents=True)
        (self.home / "config.toml").write_text(config)
        for name, python in pythons.items():
            _write_kernelspec(folder / "data" / "kernels" / name, python)
        self.port = free_port()
        self.token = secrets.token_hex()
        self._env = {
            **clean_environment(folder),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.runtime),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            **(env or {}),
        }
        self._command = [
            *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"),
            *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={self.port}"),
            *("--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}"),
            f"--ServerApp.root_dir={self.root}",
            without_others(codex_jupyter=True),
            *options,
        ]
        self.process: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until = time.monotonic() + START_LIMIT
        while True:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < until, self.log
            with suppress(OSError):
                self.request("GET", "api/status")
                return self
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def log(self) -> str:
        """What the server and its kernels wrote."""
        return (self.folder / "server.log").read_text(errors="replace")

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the REST API."""
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.token}"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(asked, timeout=START_LIMIT) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def start_kernel(self, name: str, folder: str) -> "ServedKernel":
        """Start a kernel that works in a folder under the root."""
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        started = self.request("POST", "api/kernels", {"name": name, "path": f"{folder}/x.ipynb"})
        return ServedKernel(self, started["id"], self.root / folder)

    def page(self) -> "Page":
        """Connect as a page does."""
        return Page(f"ws://127.0.0.1:{self.port}/codex/page", self.token)


class ServedKernel(Kernel):
    """A kernel whose core is in the server that started it."""

    core = "server"

    def __init__(self, server: JupyterServer, kernel_id: str, folder: Path) -> None:
        self.server = server
        self.id = kernel_id
        connection = server.runtime / f"kernel-{kernel_id}.json"
        super().__init__(folder, server.home, connection)

    @property
    def log(self) -> str:
        """What the server and its kernels wrote."""
        return self.server.log

    @property
    def core_pid(self) -> int:
        """The server."""
        return self.server.process.pid

    @property
    def process(self) -> psutil.Process | None:
        """The kernel's process, if it runs."""
        for child in psutil.Process(self.server.process.pid).children(recursive=True):
            with suppress(psutil.Error):
                if any(self.id in word for word in child.cmdline()):
                    return child
        return None

    def is_alive(self) -> bool:
        """Tell whether the server runs, which starts its kernels anew."""
        return self.server.process.poll() is None

    def interrupt(self) -> None:
        """Do what the stop button does."""
        self.server.request("POST", f"api/kernels/{self.id}/interrupt", {})

    def kill(self) -> None:
        """Let the server end the kernel."""
        if self.is_alive():
            with suppress(OSError):
                self.server.request("DELETE", f"api/kernels/{self.id}")


class Page:
    """A page's own connection to the extension: hears questions and answers them."""

    def __init__(self, url: str, token: str) -> None:
        self.heard: list[Json] = []
        """Every notification."""

        self.requests: list[Json] = []
        """Every question that was put, in the shape of a page."""

        self.settled: dict[str, str] = {}
        """How questions ended, by request id."""

        self.react: Callable[[Json], None] = lambda _: None
        """Called with each new question, on the reader's thread."""

        self._answers: dict[int, Json] = {}
        self._changed = threading.Condition()
        self._asked = 0
        self._socket = websocket.create_connection(
            url, header={"Authorization": f"token {token}"}, timeout=START_LIMIT
        )
        self._socket.settimeout(None)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        client = {"name": "test page", "title": None, "version": "0"}
        capabilities = {"experimentalApi": True}
        self.call("initialize", {"clientInfo": client, "capabilities": capabilities})
        self._send({"method": "initialized", "params": {}})

    def close(self) -> None:
        """Leave."""
        with suppress(OSError, websocket.WebSocketException):
            self._socket.close()
        self._reader.join(5)

    def call(self, method: str, params: Json, limit: float = 10.0) -> Json:
        """Ask the server; the result, or ``{"error": …}``."""
        with self._changed:
            self._asked += 1
            number = self._asked
        self._send({"id": number, "method": method, "params": params})
        with self._changed:
            assert self._changed.wait_for(lambda: number in self._answers, limit), method
            return self._answers.pop(number)

    def tell(self, method: str, params: Json) -> None:
        """Ask the server and do not wait; for the reader's thread."""
        with self._changed:
            self._asked += 1
            number = self._asked
        self._send({"id": number, "method": method, "params": params})

    def open_requests(self) -> list[Json]:
        """Return the questions nobody has answered yet."""
        return [r for r in list(self.requests) if r["requestId"] not in self.settled]

    def _send(self, message: Json) -> None:
        self._socket.send(json.dumps(message))

    def _read(self) -> None:
        with suppress(OSError, websocket.WebSocketException):
            while text := self._socket.recv():
                self._take(json.loads(text))

    def _take(self, message: Json) -> None:
        match message:
            case {"method": str(method)}:
                self.heard.append(message)
                self._note(method, message["params"])
            case {"id": int(number), **rest}:
                with self._changed:
                    failed = "error" in rest
                    self._answers[number] = {"error": rest["error"]} if failed else rest["result"]
                    self._changed.notify_all()
            case _:
                pass

    def _note(self, method: str, params: Json) -> None:
        if method == "serverRequest/opened":
            self.requests.append(params["request"])
            self.react(params["request"])
        elif method == "serverRequest/resolved":
            self.settled[params["requestId"]] = params.get("outcome", "")


def _write_kernelspec(folder: Path, python: Path) -> None:
    folder.mkdir(parents=True)
    spec = {
        "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": folder.name,
        "language": "python",
    }
    (folder / "kernel.json").write_text(json.dumps(spec))
