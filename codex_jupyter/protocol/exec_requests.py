"""What a client may ask of commands outside of any thread."""

from typing import ClassVar

from codex_jupyter.protocol._wire import Integer, WireModel
from codex_jupyter.protocol.shapes import SandboxPolicy

__all__ = [
    "EXEC_REQUESTS",
    "CommandExecParams",
    "CommandExecResizeParams",
    "CommandExecTerminateParams",
    "CommandExecWriteParams",
    "TerminalSize",
]


class TerminalSize(WireModel):
    """A terminal's size, in characters, each 1 to 65535."""

    rows: Integer
    cols: Integer


class CommandExecParams(WireModel):
    """Run a command of the user's own, outside of any thread; nobody is asked.

    The answer comes when it has ended. It ends with the connection. Refused on connections that
    may not answer.
    """

    METHOD: ClassVar[str] = "command/exec"
    command: list[str]
    """The program and its arguments; there is no shell unless it is one."""

    process_id: str | None = None
    """A name of the client's, for the other methods; needed for ``tty`` and the streams."""

    tty: bool = False
    """Whether it gets a terminal; implies both streams, and all output is ``stdout``."""

    size: TerminalSize | None = None
    """Of the terminal; default: 24 rows of 80."""

    stream_stdin: bool = False
    """Whether command/exec/write feeds it; otherwise it reads nothing."""

    stream_stdout_stderr: bool = False
    """Whether output comes as `command/exec/outputDelta`, and not in the result."""

    cwd: str | None = None
    """Default: the server's."""

    env: dict[str, str | None] | None = None
    """Variables in addition to the server's; ``null`` takes one away."""

    timeout_ms: Integer | None = None
    """Default: 120000. What is not done by then is ended."""

    disable_timeout: bool = False
    output_bytes_cap: Integer | None = None
    """Bytes of each stream; default 1 MiB. What is beyond is dropped, and that is said."""

    disable_output_cap: bool = False
    """Leave nothing out. Streamed output has no limit then; the command waits for a client that
    reads slowly. An answer carries at most 4 MiB of each stream: where there is more, also of a
    larger ``outputBytesCap``, the request fails and says so instead of leaving something out."""

    sandbox_policy: SandboxPolicy | None = None
    """Only ``dangerFullAccess`` and ``externalSandbox``: nothing is sandboxed here."""

    permission_profile: str | None = None
    """Refused: there are none."""


class CommandExecResult(WireModel):
    """The result of command/exec. The texts are empty if they were streamed."""

    exit_code: int
    """128 + N if signal N ended it, 124 if its time was up."""

    stdout: str
    stderr: str
    stdout_cap_reached: bool | None = None
    """Ours: true where the rest was left out, as ``outputBytesCap`` says."""

    stderr_cap_reached: bool | None = None
    """Ours: the same of the other stream."""


class CommandExecWriteParams(WireModel):
    """Feed a command; answered when it has taken everything."""

    METHOD: ClassVar[str] = "command/exec/write"
    process_id: str
    delta_base64: str | None = None
    close_stdin: bool = False
    """Whether it then reads the end of its input."""


class CommandExecWriteResult(WireModel):
    """The result of command/exec/write."""


class CommandExecTerminateParams(WireModel):
    """End a command: politely, then not; its command/exec is answered when it is gone."""

    METHOD: ClassVar[str] = "command/exec/terminate"
    process_id: str


class CommandExecTerminateResult(WireModel):
    """The result of command/exec/terminate."""


class CommandExecResizeParams(WireModel):
    """Give a command's terminal another size."""

    METHOD: ClassVar[str] = "command/exec/resize"
    process_id: str
    size: TerminalSize


class CommandExecResizeResult(WireModel):
    """The result of command/exec/resize."""


EXEC_REQUESTS: dict[str, tuple[type[WireModel], type[WireModel]]] = {
    "command/exec": (CommandExecParams, CommandExecResult),
    "command/exec/write": (CommandExecWriteParams, CommandExecWriteResult),
    "command/exec/terminate": (CommandExecTerminateParams, CommandExecTerminateResult),
    "command/exec/resize": (CommandExecResizeParams, CommandExecResizeResult),
}
