"""Tools that run in the user's kernel: Python, and looking at variables."""

import ast
import reprlib
import sys
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final, TextIO

__all__ = ["KERNEL_TOOLS", "call_kernel_tool", "tool_specs"]

Json = dict[str, Any]

MAX_TEXT: Final = 200_000
"""Characters of text one call returns; the model gets less, see the output limit."""

MAX_IMAGES: Final = 4
_MAX_IMAGE_CHARS: Final = 6_000_000
_MAX_VARIABLES: Final = 200
_PREVIEW_CHARS: Final = 200
_INSPECT_CHARS: Final = 4_000

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
            return _text(_list_variables(shell.user_ns))
        case "inspect_variable", {"name": str(name)}:
            if name not in shell.user_ns:
                return _text(f"Error: there is no variable {name!r} in the kernel", success=False)
            return _text(_inspect(name, shell.user_ns[name]))
        case _:
            return _text(f"Error: {tool} does not take {sorted(arguments)}", success=False)


class _Tee:
    """Standard output that is shown as always and also kept."""

    def __init__(self, shown: TextIO, kept: "_Kept") -> None:
        self._shown = shown
        self._kept = kept

    def write(self, text: str) -> int:
        self._kept.add(text)
        return self._shown.write(text)

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
    if _needs_await(code):
        return _text("Error: top-level await is not available in run_python", success=False)
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


def _list_variables(namespace: Json) -> str:
    rows = [_row(name, value) for name, value in _own(namespace)[:_MAX_VARIABLES]]
    hidden = len(_own(namespace)) - len(rows)
    if not rows:
        return "The kernel has no variables yet."
    return "\n".join([*rows, *([f"… and {hidden} more"] if hidden else [])])


def _own(namespace: Json) -> list[tuple[str, Any]]:
    hidden = namespace.get("_ih") is not None
    names = {"In", "Out", "exit", "quit", "get_ipython", "open"} if hidden else set[str]()
    return sorted(
        (name, value)
        for name, value in namespace.items()
        if not name.startswith("_") and name not in names and not isinstance(value, ModuleType)
    )


def _row(name: str, value: Any) -> str:
    facts = " ".join(_facts(value))
    return f"{name}: {facts} = {_preview(value, _PREVIEW_CHARS)}"


def _inspect(name: str, value: Any) -> str:
    doc = type(value).__doc__ if type(value).__module__ == "builtins" else None
    lines = [f"{name}: {' '.join(_facts(value))}", _preview(value, _INSPECT_CHARS)]
    return "\n".join(filter(None, [*lines, (doc or "").splitlines()[0] if doc else ""]))


def _facts(value: Any) -> list[str]:
    """Name type, shape, dtype and size, reading attributes of known libraries only."""
    kind = type(value)
    facts = [kind.__qualname__ if kind.__module__ == "builtins" else _full_name(kind)]
    if _is_known(kind):
        for attribute in ("shape", "dtype"):
            fact = getattr(value, attribute, None)
            if fact is not None:
                facts.append(f"{attribute}={fact}")
    elif kind in _SIZED:
        facts.append(f"len={len(value)}")
    facts.append(f"{sys.getsizeof(value) if kind.__module__ == 'builtins' else 0} bytes")
    return [fact for fact in facts if fact != "0 bytes"]


_SIZED: Final = (str, bytes, bytearray, list, tuple, dict, set, frozenset, range)
_PLAIN: Final = (*_SIZED, int, float, complex, bool, type(None))
_KNOWN_ROOTS: Final = frozenset({"numpy", "pandas", "polars", "torch", "pyarrow"})


def _preview(value: Any, limit: int) -> str:
    """Show a value without running code of the user's: only known types are rendered."""
    kind = type(value)
    if kind in _PLAIN:
        return _bounded(limit).repr(value)[:limit]
    if _is_known(kind):
        return str(value)[:limit]
    if callable(value) and hasattr(value, "__name__"):
        return f"<{kind.__name__} {value.__name__}>"
    return f"<{_full_name(kind)} object>"


def _bounded(limit: int) -> reprlib.Repr:
    shortened = _PlainRepr()
    shortened.maxstring = shortened.maxother = shortened.maxlong = limit
    shortened.maxlist = shortened.maxtuple = shortened.maxdict = max(6, limit // 20)
    return shortened


class _PlainRepr(reprlib.Repr):
    def repr_instance(self, x: Any, level: int) -> str:  # noqa: ARG002 - reprlib's signature
        return f"<{_full_name(type(x))}>"


def _is_known(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in _KNOWN_ROOTS


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _schema(properties: Json, required: list[str]) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _text(text: str, *, success: bool = True) -> Json:
    return {"contentItems": [{"type": "inputText", "text": text}], "success": success}
