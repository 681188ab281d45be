"""What this kernel has of the agent: one core, the turns in flight, who can be asked."""

import atexit
import contextvars
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio

from codex_jupyter.errors import CodexError, RemoteError
from codex_jupyter.notebook.asking import Asker, OnApproval, pending_request
from codex_jupyter.notebook.control import ControlDesk, install_control
from codex_jupyter.notebook.desk import Desk
from codex_jupyter.notebook.headless import HeadlessPolicy, parse_headless
from codex_jupyter.notebook.kernel_tools import KERNEL_TOOLS, call_kernel_tool
from codex_jupyter.notebook.outcome import tell_in_one_line
from codex_jupyter.notebook.turn_handle import TurnHandle
from codex_jupyter.settings import Settings

if TYPE_CHECKING:
    from codex_jupyter.client.aio import CodexClient
    from codex_jupyter.embedding import CoreThread

__all__ = ["KernelRuntime", "get_runtime"]

Json = dict[str, Any]
T = TypeVar("T")

_METHOD_NOT_FOUND = -32601

PAGE_WAIT: Final = 4.0
"""Seconds; a page that has to load its widget manager first takes one or two."""


class KernelRuntime:
    """The agent's side of this kernel. One per process; see `get_runtime`."""

    def __init__(self) -> None:
        self.shell: Any = _shell()
        self.headless: HeadlessPolicy | None = None
        """Stated by `%codex headless` or the trait; the environment and files come after it."""

        self.page_wait = PAGE_WAIT
        """Seconds a page gets to say that it shows a turn, before ``input()`` is tried."""

        self._core: CoreThread | None = None
        self._settings: Settings | None = None
        self._starting = threading.Lock()
        self._turns: dict[str, TurnHandle] = {}
        self._approvers: dict[str, OnApproval] = {}
        self._pages: set[str] = set()
        self._desk = Desk(self._wake)
        self._asker = Asker(self._desk, self, self._headless_policy)
        self.control = ControlDesk(self)
        kernel = getattr(self.shell, "kernel", None)
        self._kernel: Any = kernel
        if kernel is not None and hasattr(kernel, "control_handlers"):
            install_control(kernel, self.control.answer)

    @property
    def core(self) -> "CoreThread":
        """The embedded core, started when it is first needed."""
        with self._starting:
            if self._core is None:
                from codex_jupyter.embedding import CoreThread  # noqa: PLC0415 - first use only

                self._core = CoreThread(self._load_settings, self._answer)
                self._core.listen_all(self._told)
                atexit.register(self.close)
            return self._core

    @property
    def settings(self) -> Settings:
        """The settings the core works under."""
        return self._settings or self._load_settings()

    def call(self, work: "Callable[[CodexClient], Awaitable[T]]") -> T:
        """Run ``work`` with the client and wait for its result on this thread.

        Raises:
            CodexError: What ``work`` raised; it shows as one line.
        """
        core = self.core
        try:
            return core.post(work).result()
        except CodexError as error:
            self._forget_failed_core(core)
            raise tell_in_one_line(error) from None

    def call_plain(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run ``work`` on a loop of its own: it needs no core, and the core may not start."""
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(anyio.run, work).result()

    async def call_async(self, work: "Callable[[CodexClient], Awaitable[T]]") -> T:
        """Do the same from a running asyncio loop."""
        import asyncio  # noqa: PLC0415 - only where a loop runs

        core = self.core
        try:
            return await asyncio.wrap_future(core.post(work))
        except CodexError as error:
            self._forget_failed_core(core)
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
            core.close()

    def add_turn(self, handle: TurnHandle, on_approval: OnApproval | None) -> None:
        """Let a turn ask questions and run kernel tools."""
        self._turns[handle.turn_id] = handle
        if on_approval is not None:
            # What the callback prints belongs under the cell that runs now.
            here = contextvars.copy_context()
            self._approvers[handle.turn_id] = lambda request: here.copy().run(on_approval, request)

    def remove_turn(self, turn_id: str) -> None:
        """Forget a turn that has ended."""
        self._turns.pop(turn_id, None)
        self._approvers.pop(turn_id, None)
        self._pages.discard(turn_id)

    @property
    def running_turns(self) -> list[TurnHandle]:
        """The turns of this kernel that have not ended."""
        return [handle for handle in list(self._turns.values()) if not handle.done]

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
        """Stop a turn, from any thread."""
        handle = self._turns.get(turn_id)
        if handle is None:
            return False
        handle.interrupt()
        return True

    def has_page(self, turn_id: str) -> bool:
        """Whether a page has said that it shows this turn."""
        return turn_id in self._pages

    def has_stdin(self) -> bool:
        """Whether the running cell's front end takes ``input()``; a terminal does."""
        if self._kernel is None:
            import sys  # noqa: PLC0415 - scripts only

            return sys.stdin is not None and sys.stdin.isatty()
        return self._kernel_allows_stdin

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
        if self._named_servers:
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

    def _load_settings(self) -> Settings:
        self._settings = Settings.load()
        return self._settings

    def _forget_failed_core(self, core: "CoreThread") -> None:
        """Drop a core that never started, e.g. for a mistake in config.toml; the next may."""
        if core.failed:
            with self._starting:
                if self._core is core:
                    self._core = None

    def _headless_policy(self) -> HeadlessPolicy | None:
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

    async def _answer(self, method: str, params: Json, request_id: str | int) -> Json:
        """Answer one server request; on the core's loop, in a task of its own."""
        handle = self._turns.get(params.get("turnId", ""))
        if handle is None:
            raise RemoteError(_METHOD_NOT_FOUND, "this kernel does not know the turn")
        if method == "item/tool/call":
            return await self._run_tool(handle, params)
        item = handle.item(params["itemId"])
        request = pending_request(method, params, str(request_id), item)
        return await self._asker.answer(handle, request, self._approvers.get(handle.turn_id))

    async def _run_tool(self, handle: TurnHandle, params: Json) -> Json:
        tool, arguments = params["tool"], params.get("arguments") or {}
        if tool not in KERNEL_TOOLS or self.shell is None:
            raise RemoteError(_METHOD_NOT_FOUND, f"this kernel has no tool `{tool}`")
        label = str(arguments.get("code") or f"{tool}({', '.join(map(str, arguments.values()))})")
        result: Json | None = await handle.run_on_main(
            lambda: call_kernel_tool(self.shell, tool, arguments), label
        )
        if result is None:
            text = {"type": "inputText", "text": "aborted by user"}
            return {"contentItems": [text], "success": False}
        return result


_runtime: KernelRuntime | None = None
_making = threading.Lock()


def get_runtime() -> KernelRuntime:
    """Return the runtime of this kernel or script."""
    global _runtime  # noqa: PLW0603 - one per process, as there is one kernel
    with _making:
        if _runtime is None:
            _runtime = KernelRuntime()
        return _runtime


def _shell() -> Any:
    try:
        from IPython.core.getipython import get_ipython  # noqa: PLC0415 - scripts have none
    except ImportError:
        return None
    return get_ipython()
