"""Commands that may outlive the call, and the turn, that started them.

Each has one task, owned by the session, that reads it to its end; so none ends unseen.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import anyio
import anyio.abc

from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.ids import ItemId, TurnId
from codex_jupyter.tools.output import Capture, LiveText, truncate_middle
from codex_jupyter.tools.processes import ProcessGroup

__all__ = ["Terminal", "TerminalHost", "Terminals", "told", "victim", "wait_for_output"]

Json = dict[str, Any]

MAX_TERMINALS: Final = 64
WARN_FROM: Final = 60
"""From so many on the model is told to end some."""

PROTECTED: Final = 8
"""The most recently used ones are never ended to make room."""

_IDS: Final = range(1_000, 100_000)
_BYTES_PER_TOKEN: Final = 4
_DRAIN_READS: Final = 32
_HANDOVER: Final = 0.5
"""Seconds that what a command left behind may still write once it has exited itself."""


class TerminalHost(Protocol):
    """What a session lends to its terminals."""

    def terminal_output(self, turn_id: TurnId, item_id: ItemId, text: str) -> None:
        """Announce output."""
        ...

    async def terminal_done(self, turn_id: TurnId, item: Json) -> None:
        """Store a finished item, then announce it; also after its turn has ended."""
        ...


@dataclass(slots=True, eq=False)
class Terminal:
    """A command that runs, or has run."""

    process_id: int
    turn_id: TurnId
    item: Json
    group: ProcessGroup
    tty: bool
    started: float = field(default_factory=time.monotonic)
    used: float = field(default_factory=time.monotonic)
    exit_code: int | None = None
    whole: Capture = field(default_factory=Capture)
    fresh: Capture = field(default_factory=Capture)
    """What nobody has read yet."""

    done: anyio.Event = field(default_factory=anyio.Event)
    """Set when everything has ended and its item is stored and announced."""

    following: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Cancelled to end it: one task only may wait for a process."""

    @property
    def is_live(self) -> bool:
        """Whether its processes may still run."""
        return not self.done.is_set()

    def take(self) -> tuple[str, int]:
        """Return what came since it was last read, and how many tokens that is about."""
        taken, self.fresh = self.fresh, Capture()
        text, omitted = taken.result()
        return text, -(-(len(text.encode()) + omitted) // _BYTES_PER_TOKEN)


class Terminals:
    """The terminals of one session, at most `MAX_TERMINALS`.

    Args:
        host: Takes what they print and how they end.
    """

    def __init__(self, host: TerminalHost) -> None:
        self._host = host
        self._terminals: dict[int, Terminal] = {}
        self._reserved: set[int] = set()
        self._tasks: anyio.abc.TaskGroup | None = None

    def own(self, tasks: anyio.abc.TaskGroup) -> None:
        """Let the tasks of terminals run in ``tasks``, which belongs to the session."""
        self._tasks = tasks

    @property
    def live(self) -> Sequence[Terminal]:
        """Those that run, oldest first."""
        return [terminal for terminal in self._terminals.values() if terminal.is_live]

    @property
    def reserved(self) -> frozenset[int]:
        """Ids that were given out and have no command yet."""
        return frozenset(self._reserved)

    def find(self, process_id: object) -> Terminal | None:
        """Return a terminal by its id, as long as it is known."""
        return self._terminals.get(process_id) if isinstance(process_id, int) else None

    def reserve(self) -> int:
        """Return an id that nothing has; give it back with `free` or `start` with it."""
        taken = self._terminals.keys() | self._reserved
        process_id = random.choice(_IDS)  # noqa: S311 - an id, not a secret
        while process_id in taken:
            process_id = random.choice(_IDS)  # noqa: S311
        self._reserved.add(process_id)
        return process_id

    def free(self, process_id: int) -> None:
        """Give back an id that no command was started under (W-65)."""
        self._reserved.discard(process_id)

    async def start(  # noqa: PLR0913 - what a process is made of
        self,
        process_id: int,
        turn_id: TurnId,
        item: Json,
        *,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        tty: bool,
        token: CancelToken,
    ) -> Terminal | None:
        """Start a command under a reserved id, ending an old one if there are too many.

        Returns ``None``, and starts nothing, if ``token`` was cancelled by then.

        Raises:
            OSError, ValueError: It cannot be started; the id is free again.
            RuntimeError: The session is closing.
        """
        try:
            await self._make_room()
            # The old one's end takes a while: the session may have closed since, or the turn ended.
            if self._tasks is None:
                raise RuntimeError("the session is closing")
            if token.reason is not None:
                return None
            group = ProcessGroup(argv, cwd=cwd, env=env, tty=tty)
        finally:
            self._reserved.discard(process_id)
        terminal = Terminal(process_id, turn_id, item, group, tty)
        self._terminals[process_id] = terminal
        self._tasks.start_soon(self._follow, terminal)
        return terminal

    async def end(self, terminal: Terminal) -> None:
        """End a terminal's processes and return when its item is stored and announced."""
        with anyio.CancelScope(shield=True):
            terminal.following.cancel()
            await terminal.done.wait()

    async def end_all(self) -> int:
        """End all that run; return how many there were."""
        live = self.live
        async with anyio.create_task_group() as ending:
            for terminal in live:
                ending.start_soon(self.end, terminal)
        return len(live)

    async def aclose(self) -> None:
        """End all and start no more."""
        self._tasks = None
        await self.end_all()

    async def _make_room(self) -> None:
        while len(self._terminals) >= MAX_TERMINALS:
            chosen = victim(list(self._terminals.values()))
            if chosen.is_live:
                await self.end(chosen)
            self._terminals.pop(chosen.process_id, None)

    async def _follow(self, terminal: Terminal) -> None:
        """Read a terminal to its end, and tell it."""
        live = LiveText()
        item_id = ItemId(terminal.item["id"])

        def feed(piece: bytes) -> None:
            terminal.whole.feed(piece)
            terminal.fresh.feed(piece)
            send(live.feed(piece, time.monotonic()))

        def send(texts: Sequence[str]) -> None:
            for text in texts:
                self._host.terminal_output(terminal.turn_id, item_id, text)

        with terminal.group as group:
            try:
                with terminal.following:
                    await self._read(terminal, live, feed, send)
            finally:
                with anyio.CancelScope(shield=True):
                    await group.end(age=None)
                    with anyio.move_on_after(_HANDOVER):
                        terminal.exit_code = await group.wait_exit()
            for _ in range(_DRAIN_READS):
                if not (piece := group.read_nowait()):
                    break
                feed(piece)
        send(live.finish())
        with anyio.CancelScope(shield=True):
            try:
                await self._host.terminal_done(terminal.turn_id, _finished(terminal))
            finally:
                terminal.done.set()

    async def _read(
        self,
        terminal: Terminal,
        live: LiveText,
        feed: Callable[[bytes], None],
        send: Callable[[Sequence[str]], None],
    ) -> None:
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as reading:
                tasks.start_soon(self._watch_exit, terminal, reading)
                while True:
                    with anyio.move_on_after(live.wait(time.monotonic())) as pause:
                        await terminal.group.wait_readable()
                    if pause.cancelled_caught:
                        send(live.flush(time.monotonic()))
                        continue
                    piece = terminal.group.read_nowait()
                    if piece == b"":
                        break
                    feed(piece or b"")
                # The command may run on with its output closed.
                send(live.flush(time.monotonic()))

    async def _watch_exit(self, terminal: Terminal, reading: anyio.CancelScope) -> None:
        terminal.exit_code = await terminal.group.wait_exit()
        reading.deadline = anyio.current_time() + _HANDOVER


async def wait_for_output(terminal: Terminal, seconds: float) -> None:
    """Wait so long, or until the terminal is done."""
    with anyio.move_on_after(seconds):
        await terminal.done.wait()


def victim(terminals: Sequence[Terminal]) -> Terminal:
    """Choose which terminal has to go.

    The one not used for longest, of those that have exited if there are any, and never one of
    the `PROTECTED` that were used last.
    """
    by_use = sorted(terminals, key=lambda terminal: terminal.used)
    open_to_choice = by_use[:-PROTECTED] or by_use[:1]
    exited = [terminal for terminal in open_to_choice if not terminal.is_live]
    return (exited or open_to_choice)[0]


def _finished(terminal: Terminal) -> Json:
    output, _ = terminal.whole.result()
    return {
        **terminal.item,
        "status": "completed" if terminal.exit_code == 0 else "failed",
        "aggregatedOutput": output,
        "exitCode": terminal.exit_code,
        "durationMs": round((time.monotonic() - terminal.started) * 1000),
    }


def told(terminal: Terminal, waited: float, max_tokens: int, note: str = "") -> str:
    """Word for the model what came since it last read."""
    text, tokens = terminal.take()
    state = (
        f"Process running with session ID {terminal.process_id}"
        if terminal.is_live
        else f"Process exited with code {terminal.exit_code}"
    )
    lines = [f"Wall time: {waited:.1f} seconds", state, f"Original token count: {tokens}"]
    if note:
        lines.append(note)
    return "\n".join([*lines, "Output:", truncate_middle(text, max_tokens)])
