"""A real Jupyter server with the extension, its kernels, and a page's connection to it."""

import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

import codex_jupyter.extension
from codex_jupyter.transports.ws_client import open_ws
from tests.bare_jupyter import without_others
from tests.behaviour.talk import Json, Talk, background, environment
from tests.ports import free_port

TOKEN = "canary-5f1d2c7e9a"
"""The server's own token; must appear in nothing the extension writes or says."""

CONFIG = (
    Path(codex_jupyter.extension.__file__).parent
    / "jupyter-config/jupyter_server_config.d/codex_jupyter.json"
)
PATIENCE = 30.0
"""Seconds to wait for a process; a busy machine starts one slowly."""


@dataclass
class Jupyter:
    """A running server."""

    process: "subprocess.Popen[bytes]"
    port: int
    base_url: str
    folder: Path
    certificate: Path | None = None
    kernels: list[str] = field(default_factory=list[str])

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def origin(self) -> str:
        return f"{'https' if self.certificate else 'http'}://{self.host}"

    @property
    def runtime(self) -> Path:
        return self.folder / "runtime"

    @property
    def workspace(self) -> Path:
        return self.folder / "work"

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    def socket_url(self, which: str) -> str:
        return f"ws{self.origin.removeprefix('http')}{self.base_url}codex/{which}"

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the server's own API."""
        request = urllib.request.Request(
            f"{self.origin}{self.base_url}api/{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"},
            method=method,
        )
        with _opener(self.certificate).open(request, timeout=PATIENCE) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def start_kernel(self) -> str:
        kernel_id: str = self.call("POST", "kernels", {"name": "python3"})["id"]
        self.kernels.append(kernel_id)
        return kernel_id

    def link_files(self, kernel_id: str) -> list[Path]:
        return sorted(self.runtime.glob(f"codex-link-{kernel_id}-*.json"))

    def link(self, kernel_id: str) -> Json:
        [path] = self.link_files(kernel_id)
        return json.loads(path.read_text())

    def kernel_pid(self, kernel_id: str) -> int:
        """Find the process of a kernel by the connection file it was started with."""
        return _process_with(f"kernel-{kernel_id}.json")

    @asynccontextmanager
    async def page(self, *, greet: bool = True) -> AsyncGenerator[Talk]:
        """Connect as a page of this server."""
        headers = {"Authorization": f"token {TOKEN}", "Origin": self.origin}
        url = self.socket_url("page")
        async with talk_to(url, headers, self.certificate, greet=greet) as talk:
            yield talk

    @asynccontextmanager
    async def kernel(self, kernel_id: str) -> AsyncGenerator[Talk]:
        """Connect as a kernel, by its link."""
        link = self.link(kernel_id)
        headers = {"Authorization": f"codex-kernel {link['token']}"}
        async with talk_to(link["url"], headers, link["ca"]) as talk:
            yield talk


@asynccontextmanager
async def talk_to(
    url: str, headers: Mapping[str, str], ca: str | Path | None = None, *, greet: bool = True
) -> AsyncGenerator[Talk]:
    talk = Talk(await open_ws(url, headers, ca))
    async with background() as tasks:
        tasks.start_soon(talk.listen)
        try:
            if greet:
                await talk.greet(experimentalApi=True)
            yield talk
        finally:
            with anyio.CancelScope(shield=True):
                await talk.close()


@contextmanager
def jupyter_server(
    folder: Path,
    *options: str,
    base_url: str = "/",
    certificate: Path | None = None,
    extra: Mapping[str, str] | None = None,
) -> Generator[Jupyter]:
    """Run a server rooted in ``folder``, with the extension enabled as an install enables it.

    Nothing of the user's is read: config, data, runtime files and our home are in ``folder``.
    """
    places = {name: folder / name for name in ("config", "data", "runtime", "work", "home")}
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)
    enabled = places["config"] / "jupyter_server_config.d"
    enabled.mkdir(exist_ok=True)
    (enabled / CONFIG.name).write_text(CONFIG.read_text())
    port = free_port()
    command = [
        *(sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"),
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={places['work']}",
        f"--ServerApp.base_url={base_url}",
        f"--IdentityProvider.token={TOKEN}",
        without_others(),
        *options,
    ]
    env = {
        **environment(places["home"]),
        "JUPYTER_CONFIG_DIR": str(places["config"]),
        "JUPYTER_DATA_DIR": str(places["data"]),
        "JUPYTER_RUNTIME_DIR": str(places["runtime"]),
        **(extra or {}),
    }
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=env, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
        server = Jupyter(process, port, base_url, folder, certificate)
        try:
            _wait_until_up(server)
            yield server
        finally:
            _end(process)


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a key and a certificate of its own, for a name that is not this machine's."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    files = ["-keyout", str(key), "-out", str(certificate), "-subj", f"/CN={name}.example"]
    subprocess.run([*command, *files], check=True, capture_output=True)
    return key, certificate


def wait_until(is_true: Callable[[], Any], what: str, *, seconds: float = PATIENCE) -> None:
    """Look again and again, until it is true or too late."""
    until = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < until, f"still not: {what}"
        time.sleep(0.02)


async def until(is_true: Callable[[], Any], what: str, *, seconds: float = PATIENCE) -> None:
    """Do the same on a loop."""
    with anyio.move_on_after(seconds):
        while not is_true():
            await anyio.sleep(0.02)
        return
    raise AssertionError(f"still not: {what}")


async def in_thread(call: Callable[..., Any], *args: Any) -> Any:
    return await anyio.to_thread.run_sync(call, *args)


def _opener(certificate: Path | None) -> urllib.request.OpenerDirector:
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )


def _wait_until_up(server: Jupyter) -> None:
    def is_up() -> bool:
        assert server.process.poll() is None, server.log
        with suppress(OSError, urllib.error.URLError):
            server.call("GET", "status")
            return True
        return False

    wait_until(is_up, "the server answers", seconds=60)


def _end(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(15)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _process_with(words: str) -> int:
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdecimal() and words in (entry / "cmdline").read_text():
                return int(entry.name)
    raise AssertionError(f"no process has {words!r} in its command line")
