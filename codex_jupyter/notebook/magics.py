"""`%load_ext codex_jupyter`: the cell magic `%%codex` and its line companion `%codex`.

Light on purpose: everything that costs time to import is imported when it is first used.
"""

import argparse
import shlex
from typing import TYPE_CHECKING, Any, NoReturn

import traitlets
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class

from codex_jupyter.errors import CodexError, UsageError
from codex_jupyter.notebook.cell_identity import thread_id_of

if TYPE_CHECKING:
    from codex_jupyter.notebook.cell_runs import CellRun
    from codex_jupyter.notebook.runtime import KernelRuntime
    from codex_jupyter.notebook.threads import Thread

__all__ = ["CodexMagics", "load_ipython_extension", "unload_ipython_extension"]

Json = dict[str, Any]

_SANDBOXES = {
    "read-only": "readOnly",
    "workspace-write": "workspaceWrite",
    "danger-full-access": "dangerFullAccess",
}


class _Parser(argparse.ArgumentParser):
    """Raises instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"%%codex: {message}. Known: {self.format_usage().strip()[7:]}")


def _cell_parser() -> _Parser:
    parser = _Parser(prog="%%codex", add_help=False, allow_abbrev=False)
    parser.add_argument("--model", metavar="NAME")
    parser.add_argument("--approval", choices=("untrusted", "on-request", "never"))
    parser.add_argument("--sandbox", choices=tuple(_SANDBOXES))
    parser.add_argument("--cwd", metavar="FOLDER")
    parser.add_argument("--thread", metavar="ID")
    parser.add_argument("--turn-id", metavar="UUID")
    parser.add_argument("--server", metavar="COMMAND")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--no-replay", action="store_true")
    parser.add_argument("--delegate", action="store_true")
    return parser


@magics_class
class CodexMagics(Magics):
    """`%%codex` says its cell to the current thread; `%codex` looks after threads and settings."""

    headless = traitlets.Unicode(
        "",
        help="What is answered where nobody can be asked: `deny`, `fail` or `allow RULES`.",
    ).tag(config=True)

    page_wait = traitlets.Float(
        4.0,
        min=0.0,
        help="Seconds a page gets to say that it shows a turn, before `input()` asks instead.",
    ).tag(config=True)

    def __init__(self, shell: Any, **settings: Any) -> None:
        super().__init__(shell, **settings)
        self._server = ""
        self._threads: dict[str, Thread | None] = {}
        """The current thread at each server, by its command; the kernel's own core has none."""

    @cell_magic
    def codex(self, line: str, cell: str) -> None:
        """Say the cell to the agent: %%codex [--model --approval --sandbox --cwd --thread …]."""
        with _one_line_errors():
            asked = _cell_parser().parse_args(_words(line))
            before = self._server
            if asked.server is not None:
                self.talk_to(asked.server)
            try:
                self._say(asked, line, cell)
            finally:
                self._server = before

    def _delegate(
        self,
        thread: "Thread",
        asked: argparse.Namespace,
        text: str,
        run: "CellRun | None",
        settings: Json,
    ) -> None:
        """Have a delegate answer the cell; the conversation does not hear of it."""
        from codex_jupyter.notebook.cell_runs import run_delegated_cell  # noqa: PLC0415
        from codex_jupyter.notebook.delegate_tasks import delegate_task  # noqa: PLC0415

        if asked.thread is not None or asked.turn_id is not None:
            raise UsageError("%%codex: --delegate goes with neither --thread nor --turn-id")
        task = {**delegate_task(text), **settings}
        run_delegated_cell(thread, task, run, quiet=asked.quiet)

    def conversation(self) -> "Thread":
        """Return the thread that `%%codex` talks to, begun with the settings if there is none."""
        return self._thread_for(_cell_parser().parse_args([]))

    @line_magic("codex")
    def codex_line(self, line: str) -> None:
        """Look after threads and settings: %codex [status|new|resume ID|threads|interrupt|…]."""
        from codex_jupyter.notebook.commands import run_command  # noqa: PLC0415 - first use only

        with _one_line_errors():
            run_command(self, line)

    @property
    def runtime(self) -> "KernelRuntime":
        """What this kernel has of the agent."""
        from codex_jupyter.notebook.runtime import get_runtime  # noqa: PLC0415 - first use only

        runtime = get_runtime()
        runtime.page_wait = self.page_wait
        if self.headless and runtime.headless is None:
            from codex_jupyter.notebook.headless import parse_headless  # noqa: PLC0415

            runtime.headless = parse_headless(self.headless)
        if self._server:
            from codex_jupyter.notebook.connected import connected  # noqa: PLC0415 - rarely used

            return connected(runtime, self._server)
        return runtime

    def talk_to(self, server: str) -> None:
        """Let `%%codex` talk to the program of that command; nothing: to the kernel's own core.

        Raises:
            CodexError: It cannot be started, or does not speak the protocol.
        """
        from codex_jupyter.notebook.runtime import nothing  # noqa: PLC0415 - first use only

        before, self._server = self._server, server
        try:
            if server:
                self.runtime.call(nothing)
        except BaseException:
            self._server = before
            raise

    @property
    def current(self) -> "Thread | None":
        """The thread that `%%codex` talks to, if one was begun or chosen."""
        return self._threads.get(self._server)

    def use(self, thread: "Thread | None") -> None:
        """Let `%%codex` talk to another thread; ``None`` begins a new one at the next cell."""
        self._threads[self._server] = thread
        self.runtime.cells.opted_out = True

    def forget_thread(self) -> None:
        """Let the next `%%codex` find its thread anew, because the core was started anew."""
        self._threads[self._server] = None

    def use_notebook(self, name: str) -> None:
        """Let `%%codex` talk to the thread of the notebook of that name."""
        self._threads[self._server] = None
        cells = self.runtime.cells
        cells.name(name)
        cells.opted_out = False

    def _say(self, asked: argparse.Namespace, line: str, cell: str) -> None:
        overrides = _overrides(asked)
        thread = self.conversation() if asked.delegate else self._thread_for(asked)
        text = cell.rstrip("\n")
        run = self._cell_run(asked, line, cell)
        if asked.delegate:
            self._delegate(thread, asked, text, run, overrides)
        elif run is None:
            thread.say(text, overrides, turn_id=asked.turn_id, quiet=asked.quiet)
        else:
            from codex_jupyter.notebook.cell_runs import run_cell  # noqa: PLC0415 - first use

            run_cell(thread, text, run, overrides, quiet=asked.quiet)

    def _cell_run(self, asked: argparse.Namespace, line: str, cell: str) -> "CellRun | None":
        """Return what makes this cell re-runnable, or ``None`` if it is not."""
        from codex_jupyter.notebook.cell_runs import CellRun  # noqa: PLC0415 - first use only

        cells = self.runtime.cells
        # Counted also where it is not used: which of two equal cells one is must not depend on it.
        source = f"%%codex {line}\n{cell}"
        key = cells.keys.key(source, self.runtime.cell_id(), self.runtime.execution_id())
        fixed = asked.turn_id is not None or asked.thread is not None
        if cells.notebook is None or cells.opted_out or fixed:
            if asked.again:
                raise UsageError(f"--again: this cell is not re-runnable: {cells.describe()}")
            return None
        return CellRun(key, source, asked.again, cells.replay and not asked.no_replay)

    def _thread_for(self, asked: argparse.Namespace) -> "Thread":
        from codex_jupyter.notebook import threads  # noqa: PLC0415 - first use only

        runtime, thread = self.runtime, self.current
        if asked.thread is not None:
            if thread is None or not thread.is_called(asked.thread):
                thread = threads.thread_at(runtime, resume=asked.thread)
        elif thread is None:
            settings = {
                "model": asked.model,
                "approval": asked.approval,
                "sandbox": asked.sandbox,
                "cwd": asked.cwd,
            }
            cells = runtime.find_cells()
            if cells.notebook is None or cells.opted_out:
                thread = threads.thread_at(runtime, **settings)
            else:
                thread = threads.notebook_thread(thread_id_of(cells.notebook), **settings)
        thread.open()  # before it becomes the current one: a later cell must not trip over it
        self._threads[self._server] = thread
        return thread


class _one_line_errors:  # noqa: N801 - reads as a with statement
    """Let what we raise on purpose show as one line; its sentence says what to do."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, CodexError) and not hasattr(error, "_render_traceback_"):
            line = f"{type(error).__name__}: {error}"
            error._render_traceback_ = lambda: [line]  # type: ignore[attr-defined]


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"%%codex: {line.strip()!r} cannot be read: {error}") from None


def _overrides(asked: argparse.Namespace) -> Json:
    """Return what the cell changes for its turn and the ones after it."""
    from codex_jupyter.notebook.threads import folder  # noqa: PLC0415 - first use only

    overrides: Json = {
        "model": asked.model,
        "approvalPolicy": asked.approval,
        "sandboxPolicy": {"type": _SANDBOXES[asked.sandbox]} if asked.sandbox else None,
        "cwd": folder(asked.cwd) if asked.cwd else None,
    }
    return {name: value for name, value in overrides.items() if value is not None}


def load_ipython_extension(shell: Any) -> None:
    """Register the magics."""
    shell.register_magics(CodexMagics(shell, parent=shell))


def unload_ipython_extension(shell: Any) -> None:
    """End the core; the magics go with the next kernel."""
    from codex_jupyter.notebook.runtime import get_runtime  # noqa: PLC0415 - rare

    del shell
    runtime = get_runtime()
    for other in runtime.connected.values():
        other.close()
    runtime.restart()
