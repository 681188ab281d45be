"""The agent for people who write Python: threads to talk to, turns to wait for."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from codex_jupyter.errors import CodexError, InvalidIdError, RemoteError, UsageError
from codex_jupyter.flow.channels import Outbox
from codex_jupyter.ids import new_turn_id, parse_thread_id, parse_turn_id
from codex_jupyter.notebook.asking import OnApproval
from codex_jupyter.notebook.in_tasks import problem_of, seen_by_task
from codex_jupyter.notebook.known_turns import Rerun
from codex_jupyter.notebook.outcome import TurnInterrupted, TurnResult, refusal
from codex_jupyter.notebook.rerun import KnownTurn, known_turns
from codex_jupyter.notebook.runtime import ANSWERED_BY_THE_PAGE, KernelRuntime, get_runtime
from codex_jupyter.notebook.served_display import ServedDisplay
from codex_jupyter.notebook.turn_display import CellDisplay, QuietDisplay, TurnDisplay
from codex_jupyter.notebook.turn_handle import TurnHandle
from codex_jupyter.notebook.wishes import Wishes
from codex_jupyter.rpc import merge_deltas
from codex_jupyter.view.turn_state import TurnState

if TYPE_CHECKING:
    from codex_jupyter.client.aio import CodexClient
    from codex_jupyter.embedding import CoreThread

__all__ = [
    "Thread",
    "TurnEvent",
    "folder",
    "notebook_thread",
    "start",
    "thread",
    "thread_at",
]

Json = dict[str, Any]
Id = TypeVar("Id", bound=str)


@dataclass(frozen=True, slots=True)
class TurnEvent:
    """One notification of a running turn, as app-server v2 names it."""

    method: str
    params: Json


class Thread:
    """A conversation. Made by `thread`; it begins on the server when it is first used."""

    def __init__(
        self, runtime: KernelRuntime, wishes: Wishes, on_approval: OnApproval | None
    ) -> None:
        self._runtime = runtime
        self._wishes = wishes
        self._on_approval = on_approval
        self._opened: Json | None = None
        self._opened_in: object = None
        self._has_turns = False
        self._noticed = False
        self.cells_ran: list[str] = []
        """Ids of the turns of cells without ids, as they ran in this kernel."""

    def __repr__(self) -> str:
        return f"<Thread {self._id or 'not begun'}>"

    @property
    def runtime(self) -> KernelRuntime:
        """Where it runs."""
        return self._runtime

    @property
    def core(self) -> "CoreThread":
        """What has it."""
        return self._runtime.core

    @property
    def id(self) -> str:
        """The thread's id; asking for it begins the thread."""
        return str(self.open()["thread"]["id"])

    def open(self) -> Json:
        """Begin or resume the thread, once for each core; return the server's answer.

        Raises:
            CodexError: It cannot be begun as asked, or there is no such thread.
        """
        core = self._runtime.core
        if self._opened is None or self._opened_in is not core:
            self._opened = self._runtime.call(self._open_on)
            self._opened_in = core
        return self._opened

    def run(self, text: str, *, turn_id: str | None = None, quiet: bool = False) -> TurnResult:
        """Say ``text`` and wait until the turn ends, showing it in the cell.

        Args:
            text: The prompt.
            turn_id: A UUID the turn shall have. If the thread has a turn of that id that is
                finished or runs, its result is what is returned, and the model is not asked.
            quiet: Show nothing.

        Raises:
            TurnInterrupted: The turn was stopped.
            TurnFailedError: The turn failed.
            CodexError: It could not be started, or nobody could be asked.
        """
        return self.say(text, {}, turn_id=turn_id, quiet=quiet)

    def say(
        self, text: str, overrides: Json, *, turn_id: str | None = None, quiet: bool = False
    ) -> TurnResult:
        """Do what `run` does, changing settings that last: members of turn/start."""
        self.open()
        return self.see_through(
            self._prepare(text, turn_id=turn_id, quiet=quiet, overrides=overrides)
        )

    def known_turns(self, thread_id: str | None = None) -> list[KnownTurn]:
        """Ask the server for the turns of the thread, or of one below it, oldest first."""
        self.open()
        return self._runtime.call(partial(_known_turns, thread_id or self.id))

    def finish_background(self, thread_id: str, turn_id: str) -> None:
        """Let this kernel's other turns of a thread end before ``turn_id``.

        Not by waiting at the server: their kernel code runs on this thread, which would wait.
        """
        for handle in self._runtime.running_turns:
            if handle.thread_id == thread_id and handle.turn_id != turn_id:
                with suppress(CodexError):  # it belongs to whoever started it
                    handle.wait()

    def is_called(self, thread_id: str) -> bool:
        """Whether this is the thread of that id, in any spelling."""
        return self._id == _chosen("thread", thread_id, parse_thread_id)

    def start(
        self,
        text: str,
        *,
        turn_id: str | None = None,
        quiet: bool = False,
        overrides: Json | None = None,
    ) -> TurnHandle:
        """Say ``text`` and return at once; ``result()`` of what is returned waits."""
        self.open()
        handle = self._prepare(text, turn_id=turn_id, quiet=quiet, overrides=overrides or {})
        try:
            with handle.stops() as stops:
                self.begin(handle)
        except KeyboardInterrupt:  # came too late for the block, and nobody has the handle yet
            handle.interrupt()
            raise
        if stops.seen:
            raise self._for_task(TurnInterrupted(TurnResult.of(handle.state.snapshot())))
        return handle

    async def arun(
        self, text: str, *, turn_id: str | None = None, quiet: bool = False
    ) -> TurnResult:
        """Do what `run` does on a running event loop, e.g. in a cell with ``await``.

        Cancelling stops the turn. In a task of its own in a kernel a stopped turn shows as a
        cancelled task, because no loop survives an interrupt in a task.
        """
        await self._open_async()
        handle = self._prepare(text, turn_id=turn_id, quiet=quiet, overrides={})
        try:
            return await handle.wait_async(partial(self.begin, handle))
        except TurnInterrupted as stopped:
            raise self._for_task(stopped) from None

    async def stream(self, text: str, *, turn_id: str | None = None) -> AsyncGenerator[TurnEvent]:
        """Say ``text`` and iterate over what the turn says; leaving early stops the turn.

        Raises:
            CodexError: As `run`, at the end of the iteration.
        """
        await self._open_async()
        loop = asyncio.get_running_loop()
        queue = Outbox(merge_deltas)
        handle = self._prepare(text, turn_id=turn_id, quiet=True, overrides={})
        handle.on_event = lambda method, params: _hand_over(loop, queue, method, params)
        waiting = asyncio.ensure_future(problem_of(handle, partial(self.begin, handle)))
        waiting.add_done_callback(lambda _: queue.close())
        try:
            while told := await queue.take():
                for event in told:
                    yield TurnEvent(event["method"], event["params"])
            if (problem := await waiting) is not None:
                raise self._for_task(problem)
        finally:
            if not waiting.done():
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)

    def interrupt(self) -> bool:
        """Stop the running turn of this thread; ``False`` if none runs."""
        running = [h for h in self._runtime.running_turns if h.thread_id == self._id]
        for handle in running:
            handle.interrupt()
        return bool(running)

    def _for_task(self, problem: BaseException) -> BaseException:
        return seen_by_task(problem, in_kernel=self._runtime.shell is not None)

    @property
    def _id(self) -> str | None:
        return self._opened["thread"]["id"] if self._opened is not None else None

    def _opening(self) -> tuple[str, Json]:
        has_shell = self._runtime.shell is not None
        params = self._wishes.params(with_tools=has_shell)
        if self._id is not None:  # the core was started anew, e.g. by `%codex use`
            params["threadId"] = self._id
            if self._has_turns:
                return "thread/resume", {"threadId": self._id, "excludeTurns": True}
        return ("thread/resume" if self._wishes.resume is not None else "thread/start"), params

    async def _open_async(self) -> None:
        core = self._runtime.core
        if self._opened is None or self._opened_in is not core:
            self._opened = await self._runtime.call_async(self._open_on)
            self._opened_in = core

    async def _open_on(self, client: "CodexClient") -> Json:
        """Begin or resume the thread; on the core's loop."""
        if self._on_approval is not None and self._runtime.place.is_served:
            raise UsageError(f"on_approval is never called: {ANSWERED_BY_THE_PAGE}")
        method, params = self._opening()
        try:
            return await client.call(method, params)
        except RemoteError as error:
            data: Any = error.remote_data
            is_taken = isinstance(data, dict) and data.get("duplicate") == "thread"
            if not is_taken or (self._id is None and not self._wishes.joins):
                raise
            if data["status"] == "archived":
                raise UsageError(
                    f"the thread {params['threadId']} of this notebook is archived: unarchive it, "
                    "or begin another one with `%codex new` or `%codex notebook OTHER_NAME`"
                ) from None
        # Begun before: by an earlier run of this notebook, or without a turn so far.
        asked = {"threadId": params["threadId"], "excludeTurns": True}
        return await client.call("thread/resume", asked)

    def see_through(self, handle: TurnHandle) -> TurnResult:
        """Let a turn run that `prepare` made, and wait until it ends; raises as `run`."""
        return handle.wait(partial(self.begin, handle))

    def begin(self, handle: TurnHandle) -> None:
        """Let a turn run that `prepare` made; in a block of its `TurnHandle.stops`."""
        self._runtime.add_turn(handle, self._on_approval)
        self._has_turns = self._has_turns or handle.thread_id == self._id
        handle.start(on_end=lambda: self._runtime.remove_turn(handle.turn_id))

    def _prepare(
        self,
        text: str,
        *,
        turn_id: str | None,
        quiet: bool,
        overrides: Json,
        rerun: Rerun | None = None,
    ) -> TurnHandle:
        if not text.strip():
            raise refusal("there is nothing to say: the prompt is empty")
        params = {"input": [{"type": "text", "text": text}], **overrides}
        return self.prepare(params, turn_id=turn_id, quiet=quiet, rerun=rerun)

    def prepare(
        self,
        params: Json,
        *,
        method: str = "turn/start",
        host_id: str | None = None,
        turn_id: str | None = None,
        quiet: bool = False,
        rerun: Rerun | None = None,
    ) -> TurnHandle:
        """Make a turn ready to `begin`.

        Args:
            params: Of the request, beside the ids.
            method: What starts it.
            host_id: The thread that it runs in, if that is another one below this.
            turn_id: The id it shall have.
            quiet: Whether nothing is shown.
            rerun: How it may be one that exists already.
        """
        if turn_id is not None and not self._runtime.place.takes_ids:
            raise refusal(f"turn_id: the server gives its turns ids: {self._runtime.place.words}")
        chosen = new_turn_id() if turn_id is None else _chosen("turn", turn_id, parse_turn_id)
        opened, runtime = self.open(), self._runtime
        thread_id = host_id or self.id
        runtime.note_front_end()
        state = TurnState(
            thread_id,
            chosen,
            model=opened["model"],
            sandbox=opened.get("sandboxing", "not sandboxed"),
        )
        self._notice_once(state, opened)
        handle = TurnHandle(
            runtime.core,
            state,
            QuietDisplay() if quiet else self._display(thread_id, chosen),
            thread_id=thread_id,
            turn_id=chosen,
            params=params,
            method=method,
            summon=runtime.summon if runtime.can_summon else None,
            rerun=rerun,
        )
        if not runtime.place.is_served and runtime.settings.nothing_stated:
            handle.before_turn = runtime.name_servers_nearby
        return handle

    def _display(self, thread_id: str, turn_id: str) -> TurnDisplay:
        runtime = self._runtime
        if runtime.shell is None:
            return QuietDisplay()
        if runtime.place.is_served:
            return ServedDisplay(thread_id, turn_id)
        kind = runtime.view_kind() if runtime.has_stdin() else "none"
        return CellDisplay(thread_id, turn_id, kind=kind, answer=runtime.control.answer)

    def _notice_once(self, state: TurnState, opened: Json) -> None:
        """Say in the first output which model answers and why, and what the settings warn of."""
        if not self._noticed:
            self._noticed = True
            for notice in opened.get("notices") or ():
                state.notice(notice["text"], notice["level"])


def thread(  # noqa: PLR0913 - the settings of a thread
    *,
    model: str | None = None,
    approval: str | None = None,
    sandbox: str | None = None,
    cwd: str | None = None,
    id: str | None = None,  # noqa: A002 - what it is called everywhere else
    resume: str | None = None,
    on_approval: OnApproval | None = None,
) -> Thread:
    """Return a thread, which begins when it is first used.

    Args:
        model: The model; default: from the settings.
        approval: ``untrusted``, ``on-request`` or ``never``.
        sandbox: ``read-only``, ``workspace-write`` or ``danger-full-access``. Nothing is sandboxed
            yet: everything that is not provably read-only asks.
        cwd: Folder of commands and patches; default: the current one.
        id: A UUID the new thread shall have.
        resume: The id of a stored thread to go on with, instead of a new one.
        on_approval: Called with each question of kind command, tool or patch, on a thread of its
            own; returns ``accept``, ``acceptForSession``, ``decline`` or ``cancel``. Only where
            the kernel embeds the core.
    """
    if id is not None and resume is not None:
        raise refusal("give `id` for a new thread or `resume` for a stored one, not both")
    if id is not None:
        _chosen("thread", id, parse_thread_id)
    return thread_at(
        get_runtime(),
        thread_id=id,
        model=model,
        approval=approval,
        sandbox=sandbox,
        cwd=cwd,
        resume=resume,
        on_approval=on_approval,
    )


def thread_at(  # noqa: PLR0913 - the settings of a thread
    runtime: KernelRuntime,
    *,
    thread_id: str | None = None,
    model: str | None = None,
    approval: str | None = None,
    sandbox: str | None = None,
    cwd: str | None = None,
    resume: str | None = None,
    on_approval: OnApproval | None = None,
) -> Thread:
    """Return a thread at one of the kernel's servers; see `thread`."""
    if resume is not None:
        _chosen("thread", resume, parse_thread_id)
    if cwd is not None:
        cwd = folder(cwd)
    wishes = Wishes(model, approval, sandbox, cwd, thread_id, resume)
    return Thread(runtime, wishes, on_approval)


def notebook_thread(
    thread_id: str,
    *,
    model: str | None = None,
    approval: str | None = None,
    sandbox: str | None = None,
    cwd: str | None = None,
) -> Thread:
    """Return the thread of a notebook: begun under this id, or gone on with if it exists."""
    wishes = Wishes(model, approval, sandbox, cwd, thread_id, joins=True)
    return Thread(get_runtime(), wishes, None)


def start(text: str, **settings: Any) -> TurnHandle:
    """Say ``text`` to a new thread and return at once.

    Args:
        text: The prompt.
        **settings: As for `thread`.
    """
    return thread(**settings).start(text)


def folder(path: str) -> str:
    """Return the absolute form of a folder a person named.

    Raises:
        UsageError: There is no such folder.
    """
    found = Path(path).expanduser().absolute()
    if not found.is_dir():
        raise refusal(f"there is no folder {path!r} to work in (looked for {found})")
    return str(found)


def _chosen(kind: str, text: str, parse: Callable[[str], Id]) -> Id:
    """Read an id a person chose; the parser's own words are for programs."""
    try:
        return parse(text)
    except InvalidIdError:
        raise refusal(
            f"{text!r} is not the id of a {kind}: an id is a UUID, e.g. {new_turn_id()}"
        ) from None


async def _known_turns(thread_id: str, client: "CodexClient") -> list[KnownTurn]:
    turns: list[Json] = []
    asked: Json = {"threadId": thread_id, "sortDirection": "asc", "limit": 100}
    while True:
        page = await client.call("thread/turns/list", asked)
        turns += page["data"]
        if page["nextCursor"] is None:
            return known_turns(turns)
        asked["cursor"] = page["nextCursor"]


def _hand_over(loop: asyncio.AbstractEventLoop, queue: Outbox, method: str, params: Json) -> None:
    """Queue an event on the reader's loop; deltas merge while the reader lags."""
    loop.call_soon_threadsafe(queue.put, {"method": method, "params": params})
