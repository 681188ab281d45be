"""What this kernel has of the agent: one core, the turns in flight, who can be asked."""

import asyncio
import atexit
import contextvars
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio

from codex_jupyter.errors import CodexError, RemoteError, UsageError
from codex_jupyter.notebook.asking import Asker, OnApproval
from codex_jupyter.notebook.cell_identity import Notebook, lasting_cell_id
from codex_jupyter.notebook.cells import Cells
from codex_jupyter.notebook.control import ControlDesk, Switchboard, install_control
from codex_jupyter.notebook.core_place import CorePlace
from codex_jupyter.notebook.desk import Desk
from codex_jupyter.notebook.headless import HeadlessPolicy, parse_headless
from codex_jupyter.notebook.kernel_tools import call_kernel_tool
from codex_jupyter.notebook.live_view import ViewKind, choose_view
from codex_jupyter.notebook.outcome import tell_in_one_line
from codex_jupyter.notebook.tool_runs import METHOD_NOT_FOUND, ToolRuns
from codex_jupyter.notebook.turn_handle import TurnHandle
from codex_jupyter.notebook.waiting import interrupts_held
from codex_jupyter.settings import environment
from codex_jupyter.view.requests import answer_for, pending_request

if TYPE_CHECKING:
    from codex_jupyter.client.aio import CodexClient
    from codex_jupyter.embedding import CoreThread
    from codex_jupyter.notebook.cluster_core import ClusterCore
    from codex_jupyter.notebook.delegation import Delegation
    from codex_jupyter.notebook.program_place import ProgramPlace
    from codex_jupyter.notebook.threads import Thread
    from codex_jupyter.settings import Settings

__all__ = ["KernelRuntime", "get_runtime", "nothing"]

Json = dict[str, Any]
T = TypeVar("T")

PAGE_WAIT: Final = 4.0
"""Seconds; a page that has to load its widget manager first takes one or two."""

_RECENT: Final = 8
"""Ended turns whose delegates are kept; those of older ones are in their threads."""

_LOOK_LIMIT: Final = 1.0
"""Seconds a page waits for what a delegate looks like."""

_END_TURNS: Final = 2.0
"""Seconds the server gets to end this kernel's turns before the kernel leaves it."""

ANSWERED_BY_THE_PAGE: Final = (
    "the core of this kernel is in the Jupyter server, so questions are answered in the page, or "
    "by the policy in `CodexExtension.headless` of the server's configuration"
)


class KernelRuntime:
    """The agent's side of this kernel. One per process and core; see `get_runtime`.

    Args:
        place: Where the core is, if the kernel shall not find out; the kernel's pages are then
            served by another one.
    """

    def __init__(self, place: "ProgramPlace | None" = None) -> None:
        self.shell: Any = _shell()
        self.headless: HeadlessPolicy | None = None
        """Stated by `%codex headless` or the trait; the environment and files come after it."""

        self.page_wait = PAGE_WAIT
        """Seconds a page gets to say that it shows a turn, before ``input()`` is tried."""

        self.place = place or CorePlace(self._load_settings, self._answer)
        self.connected: dict[tuple[str, ...], KernelRuntime] = {}
        """What this kernel has of other servers, by their commands."""

        self._core: CoreThread | None = None
        self._cluster: ClusterCore | None = None
        self._tools = ToolRuns(self.shell)
        self._settings: Settings | None = None
        self._starting = threading.Lock()
        self._turns: dict[str, TurnHandle] = {}
        self._lost: list[TurnHandle] = []
        """Turns that a server may still have, though this kernel has given them up."""

        self._recent: deque[TurnHandle] = deque(maxlen=_RECENT)
        """Ended turns whose delegates can still be opened in a view."""

        self._approvers: dict[str, OnApproval] = {}
        self._pages: set[str] = set()
        self._desk = Desk(self._wake)
        self._asker = Asker(self._desk, self, self.headless_policy)
        self.switchboard = Switchboard(self)
        self.control = ControlDesk(self.switchboard)
        self.ran_here: set[str] = set()
        """Ids of the turns whose code ran in this kernel: begun here, or run again to the end."""

        self.cells = Cells()
        self.conversation: Thread | None = None
        """Of a script or a notebook without our magics, for its delegates."""

        self.delegations: dict[tuple[str, str, bool], Delegation] = {}
        """Those that the running cell has begun."""

        self._after_cell: list[Callable[[], None]] = []
        kernel = getattr(self.shell, "kernel", None)
        self._kernel: Any = kernel
        if place is None and kernel is not None and hasattr(kernel, "control_handlers"):
            install_control(kernel, self.control.answer)

    @property
    def core(self) -> "CoreThread":
        """The core of this kernel, found or started when it is first needed."""
        with interrupts_held(), self._starting:  # a core that nobody knows would never end
            failed = self._core if self._core is not None and self._core.failed else None
            if self._core is None or failed is not None:
                from codex_jupyter.embedding import CoreThread  # noqa: PLC0415 - first use only

                self._core, self._settings = CoreThread(self.place.connect), None
                self._core.listen_all(self._told)
                for handle in self._lost:
                    self._core.post(handle.interrupt_server)
                self._lost.clear()
                atexit.unregister(self.close)
                atexit.register(self.close)
            core = self._core
        if failed is not None:
            failed.close()
        return core

    @property
    def cluster(self) -> "ClusterCore":
        """What has the maps of this kernel on Dask clusters, started when it is first needed."""
        with interrupts_held(), self._starting:
            if self._cluster is None:
                from codex_jupyter.notebook.cluster_core import ClusterCore  # noqa: PLC0415 - extra

                self._cluster = ClusterCore(self._told_by_cluster)
            return self._cluster

    @property
    def settings(self) -> "Settings":
        """The settings the core works under; those of a server, as this kernel would read them."""
        return self._settings or self._load_settings()

    def find_core(self) -> bool:
        """Find out whether the server has the core, connecting if that is not known yet."""
        if self.place.may_be_served:
            self.call(nothing)
        return self.place.is_served

    def refuse_if_served(self, what: str) -> None:
        """Refuse what only a kernel that embeds the core can do.

        Raises:
            UsageError: The server has the core.
        """
        if self.find_core():
            raise UsageError(f"{what}: {ANSWERED_BY_THE_PAGE}")

    def call(self, work: "Callable[[CodexClient], Awaitable[T]]") -> T:
        """Run ``work`` with the client and wait for its result on this thread.

        Raises:
            CodexError: What ``work`` raised; it shows as one line.
        """
        try:
            return self.core.post(work).result()
        except CodexError as error:
            raise tell_in_one_line(error) from None

    def call_plain(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run ``work`` on a loop of its own: it needs no core, and the core may not start."""
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(anyio.run, work).result()

    async def call_async(self, work: "Callable[[CodexClient], Awaitable[T]]") -> T:
        """Do the same from a running asyncio loop."""
        try:
            return await asyncio.wrap_future(self.core.post(work))
        except CodexError as error:
            raise tell_in_one_line(error) from None

    def restart(self) -> None:
        """End the core, so that the next use starts one with freshly read settings."""
        self.close()
        self._settings = None

    def close(self) -> None:
        """End every turn and the core; safe to call twice."""
        with self._starting:
            core, self._core = self._core, None
        if core is not None:
            atexit.unregister(self.close)
            if self.place.is_served:
                self._end_turns()
            core.close()

    def _end_turns(self) -> None:
        """Stop what this kernel has running in a server, which would go on without it."""
        running = self.running_turns
        for handle in running:
            handle.interrupt()
        for handle in running:
            handle.join(_END_TURNS)

    def add_turn(self, handle: TurnHandle, on_approval: OnApproval | None) -> None:
        """Let a turn ask questions and run kernel tools."""
        self._turns[handle.turn_id] = handle
        handle.note_ran = lambda: self.ran_here.add(handle.turn_id)
        if on_approval is not None:
            # What the callback prints belongs under the cell that runs now.
            here = contextvars.copy_context()
            self._approvers[handle.turn_id] = lambda request: here.copy().run(on_approval, request)

    def run_recorded(self, item: Json) -> Json:
        """Run one recorded call of a kernel tool again; on the kernel's main thread."""
        if self.shell is None:
            return {"contentItems": [], "success": True}
        return call_kernel_tool(self.shell, str(item["tool"]), dict(item.get("arguments") or {}))

    def find_cells(self) -> Cells:
        """Return what is known of the notebook, asking the server what the page said of it."""
        cells = self.cells
        if cells.named is None and cells.from_page is None and self.find_core():
            # A cell with an id comes from a page, which may only be on its way to the server.
            asked = {"expectsPage": self.cell_id() is not None}
            told = self.call(lambda client: client.call("notebook/identity", asked))
            if (notebook_id := told.get("notebookId")) is not None:
                cells.from_page = Notebook(notebook_id, "the page")
        return cells

    def cell_id(self) -> str | None:
        """Return the id of the running cell, where the front end tells it."""
        if self._kernel is None:
            return None
        metadata: Json = (self._kernel.get_parent("shell") or {}).get("metadata") or {}
        return lasting_cell_id(metadata.get("cellId"))

    def execution_id(self) -> str:
        """Return what tells this run of a cell from every other, or nothing outside of cells."""
        if self._kernel is None:
            return ""
        header: Json = (self._kernel.get_parent("shell") or {}).get("header") or {}
        return str(header.get("msg_id", ""))

    def remove_turn(self, turn_id: str) -> None:
        """Forget a turn that has ended."""
        handle = self._turns.pop(turn_id, None)
        if handle is not None and handle.was_lost:
            self._lost.append(handle)
        if handle is not None and handle.state.has_delegates:
            self._recent.append(handle)
        self._approvers.pop(turn_id, None)
        self._pages.discard(turn_id)
        self._tools.forget(turn_id)

    @property
    def running_turns(self) -> list[TurnHandle]:
        """The turns of this kernel that have not ended."""
        return [handle for handle in list(self._turns.values()) if not handle.done]

    def at_end_of_cell(self, act: Callable[[], None]) -> None:
        """Call ``act`` when the running cell has ended, before its kernel is idle again."""
        if not self._after_cell:
            self.shell.events.register("post_run_cell", self._end_cell)
        self._after_cell.append(act)

    def _end_cell(self, _result: object = None) -> None:
        if any(handle.bench.running is not None for handle in self._turns.values()):
            return  # code of an agent's is run as a cell inside of the user's
        with interrupts_held():  # what is left out here would never be closed
            self.shell.events.unregister("post_run_cell", self._end_cell)
            acts, self._after_cell = self._after_cell, []
            with ExitStack() as all_of_them:  # also when one of them is interrupted
                for act in reversed(acts):
                    all_of_them.callback(act)

    def hello(self, turn_id: str) -> Json | None:
        """Note that a page shows a turn."""
        handle = self._turns.get(turn_id)
        if handle is None:
            return None
        self._pages.add(turn_id)
        return {"open": self._desk.open_ids(turn_id), "running": not handle.done}

    def settle(self, request_id: str, answer: Json, digest: str | None) -> bool:
        """Answer a question, from any thread."""
        return self._desk.settle(request_id, answer, digest=digest)

    def interrupt(self, turn_id: str) -> bool:
        """Stop a turn of this kernel's, from any thread."""
        handle = self._turns.get(turn_id)
        if handle is None:
            return False
        handle.interrupt()
        return True

    def interrupt_delegate(self, thread_id: str, turn_id: str) -> bool:
        """Stop a delegate of one of its turns, from any thread."""
        if (handle := self._parent_of(thread_id)) is None:
            return False
        handle.interrupt_delegate(thread_id, turn_id)
        return True

    def delegate_snapshot(self, thread_id: str, turn_id: str) -> Json | None:
        """Return what a delegate's turn looks like now, from any thread but the core's."""
        handle = self._parent_of(thread_id)
        if handle is None:
            return None

        async def look() -> Json | None:
            is_that = handle.delegates.turn_of(thread_id) == turn_id
            return handle.delegates.snapshot(thread_id) if is_that else None

        try:
            return handle.post(look).result(_LOOK_LIMIT)
        except (TimeoutError, CodexError):
            return None

    def _parent_of(self, thread_id: str) -> TurnHandle | None:
        handles = (*self._turns.values(), *self._recent)
        return next((h for h in handles if h.state.knows_delegate(thread_id)), None)

    def has_page(self, turn_id: str) -> bool:
        """Whether a page has said that it shows this turn."""
        return turn_id in self._pages

    def has_stdin(self) -> bool:
        """Whether the running cell's front end takes ``input()``; a terminal does."""
        if self._kernel is None:
            return sys.stdin is not None and sys.stdin.isatty()
        return self._kernel_allows_stdin

    def view_kind(self) -> ViewKind:
        """Return which form of the live view the front end of the running cell can draw."""
        if self._kernel is None:
            return "none"
        parent: Json = self._kernel.get_parent("shell") or {}
        return choose_view(environment.snapshot(), parent, sys.modules)

    def note_front_end(self) -> None:
        """Remember what the front end of the running cell can do; on the thread of the cell."""
        if self._kernel is None:
            return
        content: Json = (self._kernel.get_parent("shell") or {}).get("content") or {}
        self._kernel_allows_stdin = bool(content.get("allow_stdin", False))

    _kernel_allows_stdin = False
    _named_servers = False

    async def name_servers_nearby(self, handle: TurnHandle) -> None:
        """Say once which model servers answer on this machine; nothing is sent to them."""
        if self._named_servers or self.place.is_served:
            return
        self._named_servers = True
        from codex_jupyter.notebook.local_choice import found_servers  # noqa: PLC0415 - once

        for server in await found_servers(self.settings):
            handle.notice(f"A model server answers on this machine. To use it: %codex use {server}")

    def summon(self, work: Callable[[], None]) -> None:
        """Run something on the kernel's main thread when it is idle."""
        loop = getattr(self._kernel, "io_loop", None)
        if loop is not None:
            # The context of this thread is not that of a cell: outputs keep to the last one.
            loop.add_callback(contextvars.copy_context().run, work)

    @property
    def can_summon(self) -> bool:
        """Whether there is an idle main loop to ask."""
        return getattr(self._kernel, "io_loop", None) is not None

    def _load_settings(self) -> "Settings":
        from codex_jupyter.settings import Settings  # noqa: PLC0415 - a served kernel reads none

        home = self.place.home
        environ = environment.snapshot()
        self._settings = Settings.load(
            environ=environ if home is None else {**environ, "CODEX_JUPYTER_HOME": home}
        )
        return self._settings

    def headless_policy(self) -> HeadlessPolicy | None:
        """Return what is answered where nobody can be asked, if that is stated."""
        if self.headless is not None:
            return self.headless
        stated = self.settings.headless
        return parse_headless(stated) if stated else None

    def _wake(self, act: Callable[[], object]) -> None:
        if self._core is not None:
            self._core.call_soon(act)

    def _told(self, method: str, params: Json) -> None:
        """Take back what was asked and settled elsewhere; on the core's loop."""
        if method == "serverRequest/resolved":
            self._desk.withdraw(params["requestId"])
        self._let_hear(self._core, method, params)

    def _told_by_cluster(self, method: str, params: Json) -> None:
        """Take what is told of a map; on the cluster core's loop."""
        self._let_hear(self._cluster.thread if self._cluster else None, method, params)

    def _let_hear(self, core: "CoreThread | None", method: str, params: Json) -> None:
        for handle in list(self._turns.values()):
            if core is not None and handle.runs_on(core):
                handle.hear(method, params)

    async def _answer(self, method: str, params: Json, request_id: str | int) -> Json:
        """Answer one server request; on the core's loop, in a task of its own."""
        handle = self._turns.get(params.get("turnId", ""))
        asking: Json | None = params.get("delegate")
        if handle is None and asking is not None:
            handle = self._parent_of(asking["threadId"])
        if handle is None:
            raise RemoteError(METHOD_NOT_FOUND, "this kernel does not know the turn")
        if method == "item/tool/call":
            return await self._tools.run(handle, params)
        if self.place.is_served:
            raise RemoteError(METHOD_NOT_FOUND, "this kernel answers no questions")
        item = handle.item(params.get("itemId") or "", params.get("threadId"))
        request = pending_request(method, params, str(request_id), item)
        request["turnId"] = handle.turn_id  # where it is shown
        said = await self._asker.answer(handle, request, self._approvers.get(handle.turn_id))
        return answer_for(method, params, said)


_runtime: KernelRuntime | None = None
_making = threading.Lock()


def get_runtime() -> KernelRuntime:
    """Return the runtime of this kernel or script."""
    global _runtime  # noqa: PLW0603 - one per process, as there is one kernel
    with _making:
        if _runtime is None:
            _runtime = KernelRuntime()
        return _runtime


async def nothing(_client: "CodexClient") -> None:
    """Ask nothing; that it could be asked is the answer."""


def _shell() -> Any:
    try:
        from IPython.core.getipython import get_ipython  # noqa: PLC0415 - scripts have none
    except ImportError:
        return None
    return get_ipython()
