"""The child process that runs the small local model: started, asked for its address, ended."""

import os
import secrets
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, cast

import anyio
import anyio.to_thread
from pydantic_core import from_json

from codex_jupyter.errors import ModelError

__all__ = ["EngineProcess"]

START_LIMIT: Final = 120.0
"""Seconds until the address must be known. Usually 1 to 4; a cold disk under load takes longer."""

END_LIMIT: Final = 3.0
"""Seconds a killed process may take to be gone before it is no longer waited for."""

_LOG_BYTES: Final = 2000
"""How much of the end of the log an error repeats."""

_POLL: Final = 0.01


class EngineProcess:
    """One engine and the pipes to it.

    It ends when it is killed, and by itself when its stdin closes, which the system does when
    this process dies in whatever way. It is not in our process group: a Ctrl-C or the interrupt
    of a kernel is not meant for it.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str] | None) -> None:
        """Start the process; milliseconds, blocking.

        Args:
            argv: Takes the key as the first line of stdin and answers with one line of JSON on
                stdout, ``{"address": "http://…"}``.
            env: In place of the environment of this process.

        Raises:
            ModelError: No process could be started.
        """
        self.key = secrets.token_urlsafe(32)
        self._address: str | None = None
        self._reported = b""
        # A file, because nobody would empty a pipe; without a name, so that it cannot stay.
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, or a test's
                list(argv),
                env=None if env is None else dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                bufsize=0,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            self._log.close()
            raise ModelError(f"The small local model could not be started: {error}") from error
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        if self._stdin is None or self._stdout is None:
            raise AssertionError("both are pipes")
        os.set_blocking(self._stdout.fileno(), False)
        # By a pipe and not in argv, which every user of the machine can read.
        with suppress(BrokenPipeError):
            self._stdin.write(self.key.encode("ascii") + b"\n")

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    async def address(self) -> str:
        """Wait until requests are taken and return where, without a slash at the end.

        One waiter at a time. Cancelling leaves the process to go on starting; the next call
        waits for what is left.

        Raises:
            ModelError: The process ended, or said nothing for `START_LIMIT`; it is killed then.
        """
        if self._address is None:
            try:
                with anyio.fail_after(START_LIMIT):
                    line = await self._read_line()
            except TimeoutError:
                self.kill()
                raise ModelError(
                    f"The small local model was not ready after {START_LIMIT:g} seconds "
                    "and was stopped. Is the machine overloaded?",
                    details=self._last_words(),
                ) from None
            self._address = _address(line)
        return self._address

    async def ended_within(self, seconds: float) -> bool:
        """Tell whether the process is gone, or goes within ``seconds``."""
        with anyio.move_on_after(seconds):
            while not self.has_ended:  # noqa: ASYNC110 - no descriptor tells it on every system
                await anyio.sleep(_POLL)
        return self.has_ended

    def broken_off(self, error: ModelError) -> ModelError:
        """Return the error for a request whose engine has ended, in place of ``error``."""
        return ModelError(
            f"The small local model stopped unexpectedly ({self._exit()}). "
            "The next request starts it again.",
            info=error.info,
            retryable=True,
            details=self._last_words() or str(error),
        )

    def kill(self) -> None:
        """End the process at once; it has nothing to save."""
        self._process.kill()

    async def aclose(self) -> None:
        """Kill the process, wait for its end, and free pipes and log. May be called again."""
        self.kill()
        with anyio.move_on_after(END_LIMIT, shield=True):
            await anyio.to_thread.run_sync(self._process.wait, abandon_on_cancel=True)
        for stream in (self._stdin, self._stdout, self._log):
            if stream is not None:
                stream.close()

    async def _read_line(self) -> bytes:
        if self._stdout is None:
            raise AssertionError("it is a pipe")
        while b"\n" not in self._reported:
            await anyio.wait_readable(self._stdout)
            chunk = self._stdout.read(4096)
            if chunk == b"":
                await self.ended_within(END_LIMIT)
                raise ModelError(
                    f"The small local model did not start ({self._exit()}).",
                    details=self._last_words(),
                )
            self._reported += chunk or b""
        return self._reported.partition(b"\n")[0]

    def _exit(self) -> str:
        code = self._process.poll()
        if code is None:
            return "it closed its output"
        return f"exit code {code}" if code >= 0 else f"ended by signal {-code}"

    def _last_words(self) -> str | None:
        if self._log.closed:
            return None
        # `pread`, because the position is shared with the process that writes.
        descriptor = self._log.fileno()
        start = max(0, os.fstat(descriptor).st_size - _LOG_BYTES)
        return os.pread(descriptor, _LOG_BYTES, start).decode("utf-8", "replace").strip() or None


def _address(line: bytes) -> str:
    try:
        report: Any = from_json(line)
    except ValueError:
        report = None
    address = cast("dict[str, Any]", report).get("address") if isinstance(report, dict) else None
    if not isinstance(address, str):
        raise ModelError(f"The small local model reported no address but {line[:200]!r}.")
    return address.rstrip("/")
