"""A tree of threads under random orders of all that can happen to it, checked as a whole.

Runs: a dozen in the normal run; with `-m slow` 200, or as many as `CODEX_MACHINE_RUNS` says.
"""

import os
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from codex_jupyter.core.delegate import (
    DelegateWish,
    run_delegate_interactive,
    run_delegate_one_shot,
)
from codex_jupyter.errors import CodexError
from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.protocol.events import (
    ItemCompleted,
    ItemStarted,
    ThreadClosed,
    TurnCompleted,
    TurnStarted,
)
from codex_jupyter.protocol.ops import UserTurn
from tests.core.agency import agents_of
from tests.core.reviewing import of_custom
from tests.core.tree import prompt, refusal, shell
from tests.fake_model import Answer, say
from tests.machines.grove import Grove, Held

RUNS = int(os.environ.get("CODEX_MACHINE_RUNS", "200"))
OTHER = DelegateWish(source={"subagent": {"other": "test"}})

steps = st.integers(0, 60)
plans = st.sampled_from(["say", "tool", "tool", "two tools", "hang", "refuse"])
places = st.integers(0, 7)


class DelegateMachine(RuleBasedStateMachine):
    """One thread of the user's; delegates, agents and reviewers come and go below it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = Grove()
        self.names = 0
        self.commands = 0

    def _plan(self, kind: str) -> str:
        """Plan what a new thread's model says first, and return the tag of its prompt."""
        self.names += 1
        tag = f"#t{self.names}"
        self.world.do(lambda: self.world.tree.plan(tag, self._answer(kind)))
        return tag

    def _answer(self, kind: str) -> Answer:
        match kind:
            case "say":
                return say("some words of an answer", deltas=4)
            case "hang":
                return say("words that stop in the middle", deltas=5).hang(after=4)
            case "tool":
                return self._tool()
            case "two tools":
                return self._tool() + self._tool()
            case _:
                return refusal("no")

    def _tool(self) -> Answer:
        self.commands += 1
        return shell(f"echo {self.commands} >> done", f"c{self.commands % 3}")

    # What begins.

    @rule(kind=plans, n=steps)
    def start_turn(self, kind: str, n: int) -> None:
        world = self.world
        self.world.do(lambda: world.tree.plan("#root", self._answer(kind)))
        world.begin(lambda: world.tree.begin(world.root, "#root"))
        world.breathe(n)

    @rule(kind=plans, bound=st.booleans(), limit=st.sampled_from([1, 4, 512]), n=steps)
    def start_one_shot(self, kind: str, bound: bool, limit: int, n: int) -> None:
        world, tag, token = self.world, self._plan(kind), CancelToken()

        async def start() -> None:
            turn = world.root.active if bound else None
            handle = await run_delegate_one_shot(
                world.tree.manager, world.root, OTHER, prompt(tag), token, turn=turn, limit=limit
            )
            world.held.append(Held(handle, token, turn))

        world.begin(start)
        world.breathe(n)

    @rule(bound=st.booleans(), n=steps)
    def start_interactive(self, bound: bool, n: int) -> None:
        world, token = self.world, CancelToken()

        async def start() -> None:
            turn = world.root.active if bound else None
            handle = await run_delegate_interactive(
                world.tree.manager, world.root, OTHER, token, turn=turn
            )
            world.held.append(Held(handle, token, turn))

        world.begin(start)
        world.breathe(n)

    @rule(kind=plans, n=steps)
    def review(self, kind: str, n: int) -> None:
        world = self.world
        world.do(lambda: world.tree.plan("reviewer", self._answer(kind)))
        world.begin(lambda: world.tree.begin(world.root, of_custom()))
        world.breathe(n)

    @rule(kind=plans, n=steps)
    def spawn(self, kind: str, n: int) -> None:
        world, tag = self.world, self._plan(kind)

        async def start() -> None:
            if world.root.active is not None:
                await agents_of(world.root).spawn(world.root.active, world.root, tag, None)

        world.begin(start)
        world.breathe(n)

    # What goes on.

    @rule(which=places, kind=plans, n=steps)
    def submit(self, which: int, kind: str, n: int) -> None:
        held, tag = self._held(which), self._plan(kind)
        if held is None:
            return
        self.world.begin(lambda: held.handle.submit(UserTurn(prompt(tag))))
        self.world.breathe(n)

    @rule(which=places, decision=st.sampled_from(["accept", "decline", "cancel"]), n=steps)
    def answer(self, which: int, decision: str, n: int) -> None:
        tree = self.world.tree
        asked = tree.asked()
        if asked:
            # Often one that is settled already: such an answer must change nothing.
            question = asked[-1 - which % len(asked)]
            self.world.do(lambda: tree.answer(self.world.root, question, decision))
        self.world.breathe(n)

    @rule(n=steps)
    def let_the_model_go_on(self, n: int) -> None:
        self.world.do(self.world.tree.fake.resume)
        self.world.breathe(n)

    @rule(which=places, events=st.integers(1, 6), n=steps)
    def read(self, which: int, events: int, n: int) -> None:
        held = self._held(which)
        if held is None:
            return

        async def take() -> None:
            for _ in range(events):
                if not held.handle._events._waiting:
                    return
                envelope = await held.handle.next_event()
                assert envelope is not None
                held.read.append(envelope)

        self.world.call(take)
        self.world.breathe(n)

    # What ends.

    @rule(twice=st.booleans(), n=steps)
    def interrupt(self, twice: bool, n: int) -> None:
        self.world.do(lambda: self._stop(twice=twice))
        self.world.breathe(n)

    def _stop(self, *, twice: bool) -> None:
        world, active = self.world, self.world.root.active
        if active is None or active.closed:
            return
        if active.token.reason is None:
            world.stops.append((len(world.tree.events), active.turn_id))
        for _ in range(1 + twice):
            world.root.interrupt(active.turn_id)

    @rule(which=places, how=st.sampled_from(["token", "interrupt", "close", "unload"]), n=steps)
    def end_delegate(self, which: int, how: str, n: int) -> None:
        held, world = self._held(which), self.world
        if held is None:
            return
        match how:
            case "token":
                world.do(lambda: held.token.cancel("enough"))
            case "interrupt":
                world.do(held.handle.interrupt)
            case "close":
                world.begin(held.handle.aclose)
            case _:
                world.begin(lambda: world.tree.manager.close(held.handle.thread_id))
        world.breathe(n)

    @rule(n=st.integers(0, 400))
    def wait(self, n: int) -> None:
        self.world.breathe(n)

    def _held(self, which: int) -> Held | None:
        """Return one of the delegates; which there are by now depends on more than the rules."""
        held = self.world.held
        return held[which % len(held)] if held else None

    # The end, where everything is checked.

    def teardown(self) -> None:
        try:
            self._settle()
            self._check_turns()
            self._check_order()
            self._check_owners()
            self._check_questions()
        finally:
            self.world.close()

    def _settle(self) -> None:
        """Bring everything to its end; no question is answered yes any more."""
        world = self.world
        while world.is_busy or world.root.active is not None:
            world.do(world.tree.fake.resume)
            world.do(lambda: self._stop(twice=False))
            world.breathe(20)
        world.finish()
        for held in world.held:
            world.call(held.handle.aclose)
        assert not [h for h in world.held if h.handle.thread_id in world.tree.manager.loaded]
        for agent in world.do(lambda: agents_of(world.root).of(world.root)):
            world.call(agents_of(world.root).close, world.root, agent.thread_id)
        # The end of an agent may have woken its parent.
        while world.root.active is not None:
            world.do(world.tree.fake.resume)
            world.breathe(20)
        assert world.tree.manager.loaded == (world.root.thread_id,)
        assert agents_of(world.root)._slots == 0
        assert not world.root.state.broker.open_requests
        world.call(world.tree.manager.close, world.root.thread_id)

    def _check_turns(self) -> None:
        """One end for each turn that begins, its items inside it."""
        begun = Counter(turn["id"] for turn in self.world.tree.begins())
        ended = Counter(turn["id"] for turn in self.world.tree.ends())
        assert begun == ended
        assert not begun or max(begun.values()) == 1
        over: set[str] = set()
        opened: dict[Any, set[str]] = {}
        for event in self.world.tree.events:
            turn_id, msg = event.turn_id, event.msg
            if isinstance(msg, ItemStarted | ItemCompleted | TurnCompleted | TurnStarted):
                assert turn_id not in over
            if isinstance(msg, ItemStarted):
                opened.setdefault(turn_id, set()).add(msg.item["id"])
            elif isinstance(msg, ItemCompleted):
                opened[turn_id].remove(msg.item["id"])
            elif isinstance(msg, TurnCompleted):
                assert not opened.get(turn_id)
                over.add(str(turn_id))

    def _check_order(self) -> None:
        """What a turn started ends before it, and a stop waits for all that it reaches."""
        events = self.world.tree.events
        begun = {e.turn_id: n for n, e in enumerate(events) if isinstance(e.msg, TurnStarted)}
        ended = {e.turn_id: n for n, e in enumerate(events) if isinstance(e.msg, TurnCompleted)}
        of = {e.turn_id: e.thread_id for e in events if isinstance(e.msg, TurnStarted)}
        for held in self.world.held:
            if held.turn is not None:
                theirs = [t for t, thread_id in of.items() if thread_id == held.handle.thread_id]
                assert all(ended[t] < ended[held.turn.turn_id] for t in theirs)
        for said, stopped in self.world.stops:
            if stopped in ended:
                reached = [t for t, n in begun.items() if n < said]
                assert all(ended[t] <= ended[stopped] for t in reached)  # type: ignore[index]

    def _check_owners(self) -> None:
        """Each owner can read what is left, in order, then the end of its delegate."""
        for held in self.world.held:

            async def rest(held: Held = held) -> None:
                held.read += [envelope async for envelope in held.handle]

            self.world.call(rest)
            numbers = [envelope.event.seq for envelope in held.read]
            assert numbers == sorted(set(numbers))
            kinds = Counter(type(envelope.event.msg) for envelope in held.read)
            assert kinds[TurnStarted] == kinds[TurnCompleted]
            assert isinstance(held.read[-1].event.msg, ThreadClosed)
            assert held.handle.status == "closed"
            self._check_is_over(held)

    def _check_is_over(self, held: Held) -> None:
        async def submit() -> None:
            await held.handle.submit(UserTurn(prompt("#late")))

        with pytest.raises(CodexError):
            self.world.call(submit)

    def _check_questions(self) -> None:
        """One outcome for each question; a command ran once, and only if it was allowed."""
        tree = self.world.tree
        outcomes = tree.outcomes()
        assert len(outcomes) == len(tree.asked())
        done = tree.workspace / "done"
        lines = done.read_text().split() if done.exists() else []
        assert len(lines) == len(set(lines)), "a command ran twice"
        assert len(lines) <= outcomes.count("accept")


def run(examples: int) -> None:
    run_state_machine_as_test(
        DelegateMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            print_blob=True,
        ),
    )


def test_trees_hold_under_some_orders() -> None:
    run(12)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_trees_hold_under_every_order() -> None:
    run(RUNS)
