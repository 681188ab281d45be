"""A real kernel, driven over its own sockets: run cells, hear what they say, answer, stop.

One thread does everything: `pump` takes what has arrived and files it, every wait pumps until
something is true. So a test can start a cell, answer its question, and look at what it showed.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import zmq
from jupyter_client.connect import write_connection_file
from jupyter_client.session import Session

__all__ = ["TURN_MIME", "WIDGET_MIME", "Kernel", "Run", "kernel_pythons", "provider_config"]

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
TURN_MIME = "application/vnd.codex-jupyter.turn+json"
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
START_LIMIT = 30.0


def kernel_pythons() -> dict[str, Path]:
    """Return the Python of every ipykernel there is to test with, by a name for the test."""
    older = {
        folder.name: folder / "bin" / "python"
        for folder in sorted((ROOT / ".venvs").glob("ipykernel-*"))
        if (folder / "bin" / "python").exists()
    }
    return {"ipykernel-newest": Path(sys.executable), **older}


def provider_config(base_url: str, **more: str | int | float) -> str:
    """Return a config.toml whose provider is the server at ``base_url``; it does not retry."""
    keys = {"model": "fake-model", "model_provider": "fake", **more}
    lines = [f"{name} = {json.dumps(value)}" for name, value in keys.items()]
    table = {"name": "Fake", "base_url": base_url, "env_key": "FAKE_KEY"}
    lines += ["[model_providers.fake]", "request_max_retries = 0", "stream_max_retries = 0"]
    return "\n".join([*lines, *(f"{name} = {json.dumps(value)}" for name, value in table.items())])


@dataclass(slots=True)
class Run:
    """One cell as far as it has come."""

    msg_id: str
    messages: list[Json] = field(default_factory=list[Json])
    """What the cell said on iopub, in order; what threads say without a cell is not here."""

    reply: Json | None = None
    idle: bool = False

    @property
    def done(self) -> bool:
        """Whether the reply and the last output have arrived."""
        # A cell that was queued behind a failed one may be answered without ever being busy.
        return self.reply is not None and (self.idle or self.reply["status"] == "aborted")

    @property
    def status(self) -> str:
        """``ok``, ``error`` or ``aborted``."""
        assert self.reply is not None
        return str(self.reply["status"])

    @property
    def ename(self) -> str:
        """Name of the error's class, empty if it went well."""
        return str((self.reply or {}).get("ename", ""))

    @property
    def evalue(self) -> str:
        """Text of the error, empty if it went well."""
        return str((self.reply or {}).get("evalue", ""))

    @property
    def traceback(self) -> list[str]:
        """The lines that are shown under the cell for its error."""
        errors = [m["content"] for m in self.messages if m["msg_type"] == "error"]
        return [str(line) for content in errors for line in content["traceback"]]

    @property
    def stdout(self) -> str:
        """Everything printed."""
        return self._stream("stdout")

    @property
    def stderr(self) -> str:
        """Everything written to standard error."""
        return self._stream("stderr")

    @property
    def result(self) -> str:
        """Plain text of the cell's value."""
        values = [m["content"]["data"] for m in self.messages if m["msg_type"] == "execute_result"]
        return str(values[-1]["text/plain"]) if values else ""

    @property
    def displayed(self) -> list[Json]:
        """The data of displays, in order, updates left out."""
        return [m["content"]["data"] for m in self.messages if m["msg_type"] == "display_data"]

    def _stream(self, name: str) -> str:
        said = (m["content"] for m in self.messages if m["msg_type"] == "stream")
        return "".join(content["text"] for content in said if content["name"] == name)


class Kernel:
    """A kernel process of its own process group, as Jupyter starts one. Use as a context."""

    def __init__(self, python: Path, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.heard: list[Json] = []
        """Every message on iopub since `forget`."""

        self.prompts: list[Json] = []
        """Unanswered input requests."""

        self._runs: dict[str, Run] = {}
        self._replies: dict[str, Json] = {}
        self.home.mkdir(parents=True, exist_ok=True)
        path, _ = write_connection_file(
            str(folder / "kernel.json"), key=secrets.token_hex().encode()
        )
        config: Json = json.loads(Path(path).read_text())
        self._session = Session(key=config["key"].encode())
        with (folder / "kernel.log").open("wb") as log:
            self.process = subprocess.Popen(
                [str(python), "-m", "ipykernel_launcher", "-f", path],
                cwd=folder,
                env=_environment(folder, env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._context = zmq.Context[zmq.Socket[bytes]]()
        self._poller = zmq.Poller()
        self._shell = self._connect(zmq.DEALER, config, "shell_port")
        self._control = self._connect(zmq.DEALER, config, "control_port")
        self._stdin = self._connect(zmq.DEALER, config, "stdin_port")
        self._iopub = self._connect(zmq.SUB, config, "iopub_port")

    def __enter__(self) -> Self:
        until = time.monotonic() + START_LIMIT
        while not any(m["msg_type"] == "status" for m in self.heard):
            assert time.monotonic() < until, self.log
            assert self.process.poll() is None, self.log
            # Asked again and again: what is published before we are subscribed is lost.
            self._session.send(self._control, "kernel_info_request", {})
            self.pump(0.2)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._context.destroy(linger=0)

    @property
    def log(self) -> str:
        """What the process wrote to its terminal."""
        return (self.folder / "kernel.log").read_text(errors="replace")

    def execute(self, code: str, *, allow_stdin: bool = False, limit: float = 20.0) -> Run:
        """Run a cell and wait for its end."""
        return self.wait(self.submit(code, allow_stdin=allow_stdin), limit)

    def submit(self, code: str, *, allow_stdin: bool = False) -> Run:
        """Send a cell; its run fills while something is waited for."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": allow_stdin,
            "stop_on_error": True,
        }
        sent: Any = self._session.send(self._shell, "execute_request", content)
        run = Run(sent["header"]["msg_id"])
        self._runs[run.msg_id] = run
        return run

    def wait(self, run: Run, limit: float = 20.0) -> Run:
        """Wait until a cell has ended."""
        self.wait_until(lambda: run.done, limit)
        return run

    def wait_until(self, is_true: Callable[[], object], limit: float = 10.0) -> None:
        """Take messages until ``is_true``, or fail with what the kernel said."""
        until = time.monotonic() + limit
        while not is_true():
            if time.monotonic() > until or self.process.poll() is not None:
                said = "\n".join(f"{m['msg_type']}: {str(m['content'])[:300]}" for m in self.heard)
                raise AssertionError(f"waited {limit} s\n{said[-6000:]}\n{self.log[-2000:]}")
            self.pump(0.05)

    def ask(self, content: Json, limit: float = 5.0) -> Json:
        """Send a request over the control channel, as a page does, and return the reply."""
        sent: Any = self._session.send(self._control, "codex_jupyter_request", content)
        msg_id = sent["header"]["msg_id"]
        self.wait_until(lambda: msg_id in self._replies, limit)
        return self._replies.pop(msg_id)["content"]

    def type_in(self, text: str, limit: float = 10.0) -> Json:
        """Wait for an input request, answer it, and return what was asked."""
        self.wait_until(lambda: self.prompts, limit)
        request = self.prompts.pop(0)
        self._session.send(self._stdin, "input_reply", {"value": text}, parent=request)
        return request["content"]

    def interrupt(self) -> None:
        """Do what the stop button does: SIGINT to the kernel's process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def forget(self) -> None:
        """Forget what was heard."""
        self.heard.clear()
        self.prompts.clear()
        self._runs.clear()

    def pump(self, limit: float) -> None:
        """File everything that has arrived; wait for the first of it up to ``limit`` seconds."""
        for socket, _ in self._poller.poll(round(limit * 1000)):
            while socket.poll(0):
                _, message = self._session.recv(socket, zmq.NOBLOCK)
                if message is not None:
                    self._file(socket, message)

    def turns(self) -> list[Json]:
        """Return the last data of every turn shown since `forget`, in the order they began."""
        shown: dict[str, Json] = {}
        for message in self.heard:
            if message["msg_type"] in ("display_data", "update_display_data"):
                content = message["content"]
                if TURN_MIME in content["data"]:
                    shown[content["transient"]["display_id"]] = content["data"]
        return list(shown.values())

    def turn(self) -> Json:
        """Return the state of the last turn that was shown."""
        return self.turns()[-1][TURN_MIME]

    def ops(self, name: str) -> list[Json]:
        """Return the view operations of one kind that were sent to pages since `forget`."""
        sent = [m["content"]["data"] for m in self.heard if m["msg_type"] == "comm_msg"]
        custom = [data["content"] for data in sent if data.get("method") == "custom"]
        return [op for batch in custom for op in batch.get("ops", []) if op["op"] == name]

    def question(self, limit: float = 10.0) -> Json:
        """Wait until the turn that runs asks something, and return its request."""
        found: list[Json] = []

        def is_asked() -> bool:
            settled = {op["requestId"] for op in self.ops("settle")}
            asked = [op["request"] for op in self.ops("ask")]
            found[:] = [request for request in asked if request["requestId"] not in settled]
            return bool(found)

        self.wait_until(is_asked, limit)
        return found[-1]

    def _connect(self, kind: int, config: Json, port: str) -> "zmq.Socket[bytes]":
        socket = self._context.socket(kind)
        socket.linger = 0
        if kind == zmq.SUB:
            socket.subscribe(b"")
        else:
            # Input requests go to whoever sent the cell, told by the identity of the socket.
            socket.identity = self._session.bsession
        socket.connect(f"tcp://{config['ip']}:{config[port]}")
        self._poller.register(socket, zmq.POLLIN)
        return socket

    def _file(self, socket: "zmq.Socket[bytes]", message: Json) -> None:
        parent = message["parent_header"].get("msg_id", "")
        if socket is self._stdin:
            self.prompts.append(message)
        elif socket is self._control:
            self._replies[parent] = message
        elif socket is self._shell:
            if parent in self._runs:
                self._runs[parent].reply = message["content"]
        else:
            self.heard.append(message)
            run = self._runs.get(parent)
            if run is not None:
                run.messages.append(message)
                if message["content"].get("execution_state") == "idle":
                    run.idle = True


def _environment(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Return this environment without anything of ours or of a provider's, then ``more``."""
    ours = ("CODEX_JUPYTER_", "OPENAI_", "JUPYTER_", "JPY_", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "JPY_PARENT_PID": str(os.getpid()),
        "IPYTHONDIR": str(folder / "ipython"),
        "CODEX_JUPYTER_HOME": str(folder / "home"),
        "FAKE_KEY": "key",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        **more,
    }
