"""The methods that run a client's own commands, outside of any thread."""

import base64
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.errors import CodexError, InvalidRequestError, OutOfRangeError
from codex_jupyter.protocol.exec_requests import (
    CommandExecParams,
    CommandExecResizeParams,
    CommandExecTerminateParams,
    CommandExecWriteParams,
    TerminalSize,
)
from codex_jupyter.server.params import decoded, read_params
from codex_jupyter.server.rights import require_owner
from codex_jupyter.server.subscriptions import Connection
from codex_jupyter.tools.child_env import child_environment
from codex_jupyter.tools.command_wish import DEFAULT_TIMEOUT
from codex_jupyter.tools.exec_run import MAX_OUTPUT_BYTES, ExecCommand, ExecRun, Stream
from codex_jupyter.tools.output import KEEP_BYTES
from codex_jupyter.tools.process_ends import TERMINAL_SIZE, Size

__all__ = ["ExecHandlers"]

Json = dict[str, Any]
Method = Callable[[Connection, Any], Awaitable[Any]]

MAX_COMMANDS: Final = 64
"""Commands of one connection at a time: each holds one of the requests it may have open."""

_LARGEST_SIDE: Final = 65_535
_UNSANDBOXED: Final = ("dangerFullAccess", "externalSandbox")


class ExecHandlers:
    """Commands belong to the request that started them, and so to its connection."""

    def __init__(self, threads: ThreadManager) -> None:
        self._threads = threads
        self._running: dict[Connection, dict[str, tuple[ExecRun, CommandExecParams]]] = {}
        self.methods: dict[str, Method] = {
            "command/exec": self._exec,
            "command/exec/write": self._write,
            "command/exec/terminate": self._terminate,
            "command/exec/resize": self._resize,
        }

    async def _exec(self, connection: Connection, params: Any) -> Json:
        asked = read_params(CommandExecParams, params)
        # Nobody is asked about such a command, so whoever may not agree may not order it.
        require_owner(connection.rights, "run the user's commands")
        _check(asked)
        command = self._command(asked)
        running = self._running.setdefault(connection, {})
        # A command that nobody can name has a key of its own, which no id can be.
        key = f"\0{id(asked)}" if asked.process_id is None else asked.process_id
        if key in running:
            raise InvalidRequestError(f'duplicate active command/exec process id: "{key[:100]}"')
        if len(running) >= MAX_COMMANDS:
            raise InvalidRequestError(
                f"{MAX_COMMANDS} commands of this connection run; wait for one or terminate one"
            )

        def tell(stream: Stream, piece: bytes, capped: bool) -> None:
            delta = {
                "processId": asked.process_id,
                "stream": stream,
                "deltaBase64": base64.b64encode(piece).decode("ascii"),
                "capReached": capped,
            }
            connection.tell("command/exec/outputDelta", delta)

        run = ExecRun(command, tell, connection.peer.room)
        running[key] = run, asked
        try:
            result = await run.run()
        finally:
            del running[key]
            if not running:
                self._running.pop(connection, None)
        answer = {"exitCode": result.exit_code, "stdout": result.stdout, "stderr": result.stderr}
        return answer | {f"{stream}CapReached": True for stream in result.capped}

    async def _write(self, connection: Connection, params: Any) -> Json:
        asked = read_params(CommandExecWriteParams, params)
        if asked.delta_base64 is None and not asked.close_stdin:
            raise OutOfRangeError("command/exec/write requires deltaBase64 or closeStdin")
        data = decoded(asked.delta_base64 or "", "invalid deltaBase64", OutOfRangeError)
        run, started_as = self._find(connection, asked.process_id)
        if not (started_as.stream_stdin or started_as.tty):
            raise InvalidRequestError(
                f'process "{asked.process_id[:100]}" was started without `streamStdin`'
            )
        await run.write(data, close=asked.close_stdin)
        return {}

    async def _terminate(self, connection: Connection, params: Any) -> Json:
        asked = read_params(CommandExecTerminateParams, params)
        self._find(connection, asked.process_id)[0].terminate()
        return {}

    async def _resize(self, connection: Connection, params: Any) -> Json:
        asked = read_params(CommandExecResizeParams, params)
        run, started_as = self._find(connection, asked.process_id)
        if not started_as.tty:
            raise InvalidRequestError(f'process "{asked.process_id[:100]}" has no terminal')
        run.resize(_size(asked.size))
        return {}

    def _find(self, connection: Connection, process_id: str) -> tuple[ExecRun, CommandExecParams]:
        found = self._running.get(connection, {}).get(process_id)
        if found is None:
            raise InvalidRequestError(f'no active command/exec for process id "{process_id[:100]}"')
        return found

    def _command(self, asked: CommandExecParams) -> ExecCommand:
        env = child_environment(self._threads.settings.child_env, "exec")
        for name, value in (asked.env or {}).items():
            if value is None:
                env.pop(name, None)
            else:
                env[name] = value
        cwd = Path(asked.cwd or ".").absolute()
        timeout = DEFAULT_TIMEOUT if asked.timeout_ms is None else asked.timeout_ms / 1000
        if asked.tty:
            # The program is started by one of ours there, whose failure would look like its own.
            program = asked.command[0]
            program = str(cwd / program) if "/" in program else program
            if shutil.which(program, path=env.get("PATH")) is None:
                raise CodexError(f"exec failed: No such file or directory: {program}")
            env["TERM"] = (asked.env or {}).get("TERM") or "xterm-256color"
        return ExecCommand(
            argv=tuple(asked.command),
            cwd=cwd,
            env=env,
            timeout=None if asked.disable_timeout else timeout,
            cap=_cap(asked),
            stdin=asked.stream_stdin,
            stream=asked.stream_stdout_stderr or asked.tty,
            size=(_size(asked.size) if asked.size else TERMINAL_SIZE) if asked.tty else None,
        )


def _check(asked: CommandExecParams) -> None:
    """Refuse what contradicts itself, or cannot be had here."""
    if not asked.command or not asked.command[0]:
        raise InvalidRequestError("command must not be empty")
    streams = asked.tty or asked.stream_stdin or asked.stream_stdout_stderr
    policy = asked.sandbox_policy
    refusals = {
        "processId must not be empty": asked.process_id == "",
        "command/exec tty or streaming requires a client-supplied processId": streams
        and asked.process_id is None,
        "there are no permission profiles; leave `permissionProfile` out": (
            asked.permission_profile is not None
        ),
        "nothing is sandboxed here; leave `sandboxPolicy` out, or say dangerFullAccess": (
            policy is not None and policy.type not in _UNSANDBOXED
        ),
    }
    misfits = {
        "command/exec size requires tty: true": asked.size is not None and not asked.tty,
        "command/exec cannot set both timeoutMs and disableTimeout": asked.disable_timeout
        and asked.timeout_ms is not None,
        "command/exec cannot set both outputBytesCap and disableOutputCap": asked.disable_output_cap
        and asked.output_bytes_cap is not None,
        f"command/exec timeoutMs must be non-negative, got {asked.timeout_ms}": (
            asked.timeout_ms or 0
        )
        < 0,
        "outputBytesCap must not be negative": (asked.output_bytes_cap or 0) < 0,
    }
    for kind, problems in ((InvalidRequestError, refusals), (OutOfRangeError, misfits)):
        for problem, applies in problems.items():
            if applies:
                raise kind(problem)


def _cap(asked: CommandExecParams) -> int | None:
    """Return how many bytes of a stream are wanted; ``None`` for all, and for more than can be."""
    if asked.disable_output_cap:
        return None
    cap = KEEP_BYTES if asked.output_bytes_cap is None else asked.output_bytes_cap
    is_streamed = asked.stream_stdout_stderr or asked.tty
    return cap if is_streamed or cap <= MAX_OUTPUT_BYTES else None


def _size(size: TerminalSize) -> Size:
    if not (0 < size.rows <= _LARGEST_SIDE and 0 < size.cols <= _LARGEST_SIDE):
        raise OutOfRangeError(
            f"command/exec size rows and cols must be greater than 0, at most {_LARGEST_SIDE}"
        )
    return size.rows, size.cols
