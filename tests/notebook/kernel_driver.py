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
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import zmq
from jupyter_client.connect import write_connection_file
from jupyter_client.session import Session

__all__ = [
    "ROOT",
    "TURN_MIME",
    "WIDGET_MIME",
    "Kernel",
    "OwnKernel",
    "Run",
    "clean_environment",
    "kernel_pythons",
    "provider_config",
]

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
    """A kernel that is driven over its own sockets. Use as a context.

    Args:
        folder: Its working directory.
        home: Where its core keeps its files.
        connection: The connection file.
    """

    core = "embedded"

    def __init__(self, folder: Path, home: Path, connection: Path) -> None:
        self.folder = folder
        self.home = home
        self.heard: list[Json] = []
        """Every message on iopub since `forget`."""

        self.prompts: list[Json] = []
        """Unanswered input requests."""

        self._runs: dict[str, Run] = {}
        self._replies: dict[str, Json] = {}
        config: Json = json.loads(connection.read_text())
        self._session = Session(key=config["key"].encode())
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
            assert self.is_alive(), self.log
            # Asked again and again: what is published before we are subscribed is lost.
            self._session.send(self._control, "kernel_info_request", {})
            self.pump(0.2)
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._context.destroy(linger=0)

    @property
    def log(self) -> str:
        """What the process wrote to its terminal."""
        raise NotImplementedError

    @property
    def core_pid(self) -> int:
        """The process that has the core, whose children are the agent's commands."""
        raise NotImplementedError

    def is_alive(self) -> bool:
        """Tell whether the process runs."""
        raise NotImplementedError

    def interrupt(self) -> None:
        """Do what the stop button does."""
        raise NotImplementedError

    def kill(self) -> None:
        """End the process at once."""
        raise NotImplementedError

    def execute(self, code: str, *, allow_stdin: bool = False, limit: float = 20.0) -> Run:
        """Run a cell and wait for its end."""
        return self.wait(self.submit(code, allow_stdin=allow_stdin), limit)

    def submit(
        self, code: str, *, allow_stdin: bool = False, metadata: Mapping[str, Any] | None = None
    ) -> Run:
        """Send a cell; its run fills while something is waited for."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": allow_stdin,
            "stop_on_error": True,
        }
        sent: Any = self._session.send(
            self._shell, "execute_request", content, metadata=dict(metadata or {})
        )
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
            if time.monotonic() > until or not self.is_alive():
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
                if "codex" in content["metadata"]:
                    shown[content["transient"]["display_id"]] = content["data"]
        return list(shown.values())

    def turn(self) -> Json:
        """Return the state of the last turn that was shown; while a widget is, there is none."""
        return self.turns()[-1][TURN_MIME]

    def turn_id(self) -> str:
        """Wait for a turn to be shown, and return its id."""
        ids: list[str] = []

        def is_shown() -> bool:
            shown = [m["content"] for m in self.heard if m["msg_type"] == "display_data"]
            ids[:] = [c["metadata"]["codex"]["turnId"] for c in shown if "codex" in c["metadata"]]
            return bool(ids)

        self.wait_until(is_shown)
        return ids[-1]

    def has_item(self, kind: str) -> bool:
        """Whether an item of that type was shown, in a widget or in an output."""
        shown = [turn.get(TURN_MIME, {}).get("items", []) for turn in self.turns()]
        items = [op["item"] for op in self.ops("item")] + [item for i in shown for item in i]
        return any(item["type"] == kind for item in items)

    def ops(self, name: str) -> list[Json]:
        """Return the view operations of one kind that were sent to pages since `forget`."""
        sent = [m["content"]["data"] for m in self.heard if m["msg_type"] == "comm_msg"]
        custom = [data["content"] for data in sent if data.get("method") == "custom"]
        return [op for batch in custom for op in batch.get("ops", []) if op["op"] == name]

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


class OwnKernel(Kernel):
    """A kernel process of its own process group that no Jupyter server knows."""

    def __init__(self, python: Path, folder: Path, env: Mapping[str, str]) -> None:
        home = folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        self.id = str(uuid.uuid4())
        path, _ = write_connection_file(
            str(folder / f"kernel-{self.id}.json"), key=secrets.token_hex().encode()
        )
        # What a server would give it, for tests that say so.
        env = {name: value.replace("{kernel_id}", self.id) for name, value in env.items()}
        with (folder / "kernel.log").open("wb") as log:
            self.process = subprocess.Popen(
                [str(python), "-m", "ipykernel_launcher", "-f", path],
                cwd=folder,
                env={"JPY_PARENT_PID": str(os.getpid()), **clean_environment(folder), **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        super().__init__(folder, home, Path(path))

    @property
    def log(self) -> str:
        """What the process wrote to its terminal."""
        return (self.folder / "kernel.log").read_text(errors="replace")

    @property
    def core_pid(self) -> int:
        """The kernel itself."""
        return self.process.pid

    def is_alive(self) -> bool:
        """Tell whether the process runs."""
        return self.process.poll() is None

    def interrupt(self) -> None:
        """Do what the stop button does: SIGINT to the kernel's process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        """End the process at once."""
        if self.is_alive():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def clean_environment(folder: Path) -> dict[str, str]:
    """Return this environment for a test in ``folder``, without any settings of its caller's."""
    ours = ("CODEX_JUPYTER_", "OPENAI_", "JUPYTER_", "JPY_", "PYTEST_", "VSCODE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(folder / "ipython"),
        "CODEX_JUPYTER_HOME": str(folder / "home"),
        "FAKE_KEY": "key",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }
