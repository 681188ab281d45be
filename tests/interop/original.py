"""Drives the original program, where it is installed, over its pipes."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["Original", "installed"]

Json = dict[str, Any]


def installed() -> list[str]:
    """Return the originals to test with.

    They are what `CODEX_ORIGINAL` names; without it `codex` on the PATH, and the one that the
    official SDK brings.
    """
    stated = os.environ.get("CODEX_ORIGINAL")
    if stated:
        return [path for path in stated.split(":") if path]
    found = [shutil.which("codex"), _bundled()]
    return [path for path in dict.fromkeys(found) if path]


def _bundled() -> str | None:
    """Return the program inside of the SDK's second package, which is nothing but that."""
    package = find_spec("codex_cli_bin")
    if package is None or package.origin is None:
        return None
    program = Path(package.origin).parent / "bin" / "codex"
    return str(program) if program.is_file() else None


class Original:
    """One process of the original's app-server, with a home of its own."""

    def __init__(self, program: str, home: Path, cwd: Path) -> None:
        env = {**os.environ, "HOME": str(home), "CODEX_HOME": str(home), "RUST_LOG": "error"}
        self._process = subprocess.Popen(
            [program, "app-server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=cwd,
            env=env,
        )
        self._ids = 0
        self.heard: list[Json] = []
        self.answers: dict[str, Json] = {}
        """What its requests get back, by method."""

        info = {"name": "interop", "title": "interop", "version": "1"}
        self.call("initialize", {"clientInfo": info, "capabilities": {"experimentalApi": True}})
        self._write({"method": "initialized"})

    def call(self, method: str, params: Json) -> Json:
        """Ask, and return the result."""
        self._ids += 1
        self._write({"id": self._ids, "method": method, "params": params})
        message = self._until(lambda m: m.get("id") == self._ids and "method" not in m)
        assert "result" in message, (method, message)
        return message["result"]

    def turn(self, thread_id: str, words: str) -> Json:
        """Run a turn to its end."""
        said = [{"type": "text", "text": words, "text_elements": []}]
        self.call("turn/start", {"threadId": thread_id, "input": said})
        return self._until(lambda m: m.get("method") == "turn/completed")["params"]["turn"]

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)

    def kill(self) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        self._process.wait(20)

    def _write(self, message: Json) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def _until(self, wanted: Any) -> Json:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            self.heard.append(message)
            if "id" in message and (method := message.get("method")) in self.answers:
                self._write({"id": message["id"], "result": self.answers[method]})
            if wanted(message):
                return message
        raise AssertionError(f"the original ended; heard {self.heard[-3:]}")


@contextmanager
def home_for(base_url: str) -> Generator[Path]:
    """Make a home for the original, which wants it outside the temporary folder."""
    with tempfile.TemporaryDirectory(dir=Path.home(), prefix=".interop-") as folder:
        home = Path(folder)
        (home / "config.toml").write_text(
            "\n".join(
                [
                    'model = "fake-model"',
                    'model_provider = "fake"',
                    'approval_policy = "never"',
                    'sandbox_mode = "danger-full-access"',
                    "[model_providers.fake]",
                    'name = "fake"',
                    f'base_url = "{base_url}"',
                    'wire_api = "responses"',
                    "request_max_retries = 0",
                    "stream_max_retries = 0",
                    "supports_websockets = false",
                    "[features]",
                    "shell_snapshot = false",
                    "[analytics]",
                    "enabled = false",
                ]
            )
        )
        yield home
