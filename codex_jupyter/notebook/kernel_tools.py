"""Tools that run in the user's kernel: Python, and looking at variables."""

import ast
import sys
import time
import traceback
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, Final, TextIO

from codex_jupyter.notebook.variables import inspect_variable, list_variables

__all__ = ["KERNEL_TOOLS", "call_kernel_tool", "tool_specs"]

Json = dict[str, Any]

MAX_TEXT: Final = 200_000
"""Characters of text one call returns; the model gets less, see the output limit."""

MAX_IMAGES: Final = 4
_MAX_IMAGE_CHARS: Final = 6_000_000

KERNEL_TOOLS: Final = ("run_python", "list_variables", "inspect_variable")


def tool_specs() -> list[Json]:
    """Describe the tools as dynamic tools of a thread."""
    name = {"name": {"type": "string", "description": "Name of a variable."}}
    return [
        {
            "name": "run_python",
            "description": (
                "Run Python in the user's live notebook kernel, in their namespace. Output, "
                "displayed tables and figures appear in the notebook and come back to you. "
                "Top-level await is not available. Variables stay for the user's later cells."
            ),
            "inputSchema": _schema(
                {"code": {"type": "string", "description": "Python source."}}, ["code"]
            ),
            "requiresApproval": True,
            "codeArgument": "code",
        },
        {
            "name": "list_variables",
            "description": (
                "List the variables of the user's kernel: name, type, shape, dtype, size, and a "
                "short preview. Runs none of the user's code."
            ),
            "inputSchema": _schema({}, []),
            "readOnly": True,
        },
        {
            "name": "inspect_variable",
            "description": (
                "Look at one variable of the user's kernel more closely. Runs none of the user's "
                "code."
            ),
            "inputSchema": _schema(name, ["name"]),
            "readOnly": True,
        },
    ]


def call_kernel_tool(shell: Any, tool: str, arguments: Json) -> Json:
    """Run one tool on the calling thread, which must be the kernel's main thread.

    Args:
        shell: IPython's shell.
        tool: One of `KERNEL_TOOLS`.
        arguments: As the model wrote them.

    Returns:
        ``{"contentItems": […], "success": bool}``. An exception of the code is a result too;
        only `KeyboardInterrupt` is noted as an interruption.
    """
    match tool, arguments:
        case "run_python", {"code": str(code)}:
            return _run_python(shell, code)
        case "list_variables", _:
            return _text(list_variables(shell.user_ns))
        case "inspect_variable", {"name": str(name)}:
            if name not in shell.user_ns:
                return _text(f"Error: there is no variable {name!r} in the kernel", success=False)
            return _text(inspect_variable(name, shell.user_ns[name]))
        case _:
            return _text(f"Error: {tool} does not take {sorted(arguments)}", success=False)


class _Tee:
    """Standard output that is shown as always and also kept."""

    def __init__(self, shown: TextIO, kept: "_Kept") -> None:
        self._shown = shown
        self._kept = kept

    def write(self, text: str) -> int:
        written = self._shown.write(text)  # first: it refuses what is no text
        self._kept.add(text)
        return written

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shown, name)


class _Kept:
    """What one run showed, bounded."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.images: list[str] = []
        self.left_out = 0
        self._chars = 0

    def add(self, text: str) -> None:
        room = MAX_TEXT - self._chars
        self.parts.append(text[:room])
        self._chars += min(len(text), room)
        self.left_out += max(0, len(text) - room)

    def show(self, data: Json) -> None:
        """Keep a display: an image for the model to see, else its plain text."""
        for kind in ("image/png", "image/jpeg"):
            image = data.get(kind)
            if isinstance(image, bytes):
                import base64  # noqa: PLC0415 - rare

                image = base64.b64encode(image).decode("ascii")
            if isinstance(image, str) and len(self.images) < MAX_IMAGES:
                if len(image) <= _MAX_IMAGE_CHARS:
                    self.images.append(f"data:{kind};base64,{image.strip()}")
                self.add(f"[{kind} shown in the notebook]\n")
                return
        if "image/svg+xml" in data:
            self.add("[image/svg+xml shown in the notebook]\n")
            return
        text = data.get("text/plain") or data.get("text/markdown") or ""
        self.add(f"{text}\n")

    def text(self) -> str:
        said = "".join(self.parts)
        return said + (f"\n[{self.left_out} characters left out]" if self.left_out else "")


def _run_python(shell: Any, code: str) -> Json:
    try:
        if _needs_await(code):
            return _text("Error: top-level await is not available in run_python", success=False)
    except (ValueError, RecursionError, MemoryError) as error:
        # Nested too deeply, most often: IPython would fail over it, too.
        return _text(f"Error: Python cannot compile this: {type(error).__name__}", success=False)
    kept = _Kept()
    started = time.monotonic()
    with _watched(shell, kept):
        result = shell.run_cell(code, store_history=False, silent=False)
    error = result.error_before_exec or result.error_in_exec
    silenced = code.rstrip().endswith(";")
    if result.result is not None and error is None and not silenced:
        kept.show(shell.display_formatter.format(result.result)[0])
    if error is not None:
        kept.add(_traceback(error))
    text = kept.text() or f"(no output, {time.monotonic() - started:.1f} s)"
    content = [{"type": "inputText", "text": text}]
    content += [{"type": "inputImage", "imageUrl": image} for image in kept.images]
    return {"contentItems": content, "success": error is None}


def _needs_await(code: str) -> bool:
    try:
        compile(code, "<cell>", "exec")
    except SyntaxError:
        try:
            compile(code, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except SyntaxError:
            return False
        return True
    return False


@contextmanager
def _watched(shell: Any, kept: _Kept) -> Generator[None, None, None]:
    """Keep what is printed and displayed, beside showing it; keep errors out of the cell."""
    publisher = shell.display_pub
    publish: Callable[..., Any] = publisher.publish

    def publish_and_keep(data: Json, *args: Any, **options: Any) -> Any:
        if not options.get("update"):
            kept.show(data)
        return publish(data, *args, **options)

    streams = sys.stdout, sys.stderr
    publisher.publish = publish_and_keep
    shell.showtraceback = shell.showsyntaxerror = _show_nothing
    sys.stdout, sys.stderr = _Tee(streams[0], kept), _Tee(streams[1], kept)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        del publisher.publish, shell.showtraceback, shell.showsyntaxerror


def _show_nothing(*_args: Any, **_options: Any) -> None:
    """The error goes to the model and into the view of the turn, not under the cell."""


def _traceback(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    users = [frame for frame in frames if "IPython" not in frame.filename]
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(users)]
    lines += traceback.format_exception_only(error)
    return "".join(lines)


def _schema(properties: Json, required: list[str]) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _text(text: str, *, success: bool = True) -> Json:
    return {"contentItems": [{"type": "inputText", "text": text}], "success": success}
