"""A session under random orders of everything that can happen to it, checked as a whole at the end.

Runs: 200, or as many as `CODEX_MACHINE_RUNS` says (`make machine` runs 10,000).
"""

import os
from collections import Counter
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.behaviour.talk import Json, text
from tests.fake_model import Answer, call, failed, say, status
from tests.machines.conversation import Conversation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]

RUNS = int(os.environ.get("CODEX_MACHINE_RUNS", "200"))
IDS = [str(UUID(int=0x0190A0B0_0000_7000_8000_000000000000 + n)) for n in range(1, 5)]

plans = st.sampled_from(
    ["say", "say", "hang", "tool", "two tools", "cut", "cut after tool", "refuse", "overload"]
)
steps = st.integers(0, 60)


class SessionMachine(RuleBasedStateMachine):
    """Two clients on one thread: one stays, the other comes and goes."""

    def __init__(self) -> None:
        super().__init__()
        self.world = Conversation()
        self.commands = 0

    # What the model does next.

    @rule(kind=plans)
    def plan(self, kind: str) -> None:
        self.world.plans.append(self._answer(kind))

    def _answer(self, kind: str) -> Answer:
        match kind:
            case "say":
                return say("some words of an answer", deltas=5)
            case "hang":
                return say("words that stop in the middle", deltas=6).hang(after=4)
            case "tool":
                return self._tool()
            case "two tools":
                return self._tool() + self._tool()
            case "cut":
                return say("words that break off", deltas=4).cut_after(4)
            case "cut after tool":
                return (self._tool() + say("x", deltas=3)).cut_after(5)
            case "refuse":
                return status(400, "no")
            case _:
                return failed("server_is_overloaded", "busy")

    def _tool(self) -> Answer:
        self.commands += 1
        line = f"echo {self.commands} >> done"
        return call("shell_command", {"command": line}, call_id=f"c{self.commands}")

    # What the clients do.

    @rule(turn_id=st.none() | st.sampled_from(IDS), n=steps, at_once=st.integers(1, 3))
    def start_turn(self, turn_id: str | None, n: int, at_once: int) -> None:
        for _ in range(at_once):
            self.world.send(
                self.world.steady, "turn/start", turnId=turn_id, input=[text("do something")]
            )
        self.world.breathe(n)

    @rule(turn_id=st.sampled_from(IDS), n=steps)
    def start_turn_elsewhere(self, turn_id: str, n: int) -> None:
        talk = self.world.fickle or self.world.steady
        self.world.send(talk, "turn/start", turnId=turn_id, input=[text("me too")])
        self.world.breathe(n)

    @rule(n=steps)
    def steer(self, n: int) -> None:
        expected = self._running() or IDS[0]
        self.world.send(
            self.world.steady, "turn/steer", expectedTurnId=expected, input=[text("and this")]
        )
        self.world.breathe(n)

    @rule(n=steps, twice=st.booleans())
    def interrupt(self, n: int, twice: bool) -> None:
        for _ in range(1 + twice):
            turn_id = self._running() or IDS[0]
            self.world.send(self.world.steady, "turn/interrupt", turnId=turn_id)
        self.world.breathe(n)

    @rule(
        which=st.integers(0, 3),
        decision=st.sampled_from(["accept", "decline", "cancel"]),
        n=steps,
        by_both=st.booleans(),
    )
    def decide(self, which: int, decision: str, n: int, by_both: bool) -> None:
        for talk in (self.world.steady, self.world.fickle if by_both else None):
            asked = talk.requests() if talk is not None else []
            if talk is not None and which < len(asked):
                # Sometimes one that is settled already: such an answer must change nothing.
                self.world.call(talk.answer, asked[-1 - which], {"decision": decision})
        self.world.breathe(n)

    @rule(n=steps)
    def let_the_model_go_on(self, n: int) -> None:
        self.world.fake.resume()
        self.world.breathe(n)

    @rule(n=steps)
    def inject(self, n: int) -> None:
        content = [{"type": "input_text", "text": "a cell printed 42"}]
        item = {"type": "message", "role": "user", "content": content}
        self.world.send(self.world.steady, "thread/inject_items", items=[item])
        self.world.breathe(n)

    @rule(turn_id=st.none() | st.sampled_from(IDS), n=steps)
    def compact(self, turn_id: str | None, n: int) -> None:
        self.world.send(self.world.steady, "thread/compact/start", turnId=turn_id)
        self.world.breathe(n)

    @rule(n=steps)
    def roll_back(self, n: int) -> None:
        self.world.send(self.world.steady, "thread/rollback", numTurns=1)
        self.world.breathe(n)

    @precondition(lambda self: self.world.fickle is None)
    @rule(n=steps)
    def come_back(self, n: int) -> None:
        self.world.come_back()
        self.world.breathe(n)

    @precondition(lambda self: self.world.fickle is not None)
    @rule()
    def lose_connection(self) -> None:
        self.world.leave()

    @rule(n=st.integers(0, 400))
    def wait(self, n: int) -> None:
        self.world.breathe(n)

    # The end, where everything is checked.

    def teardown(self) -> None:
        try:
            self._settle()
            self._check_requests_of_clients()
            self._check_turns()
            self._check_questions()
            self._check_prompts()
            self._check_reader_that_came_back()
            self._check_disk()
        finally:
            self.world.close()

    def _settle(self) -> None:
        """Bring everything to its end: no question is answered yes any more."""
        world = self.world
        world.plans.clear()
        gone = world.fickle
        for sent in world.sent:
            if sent.talk is world.steady or sent.talk is gone:
                self._push_until(sent)
        while (running := self._running()) is not None:
            world.fake.resume()
            world.send(world.steady, "turn/interrupt", turnId=running)
            world.breathe(50)
        if world.fickle is None:
            world.come_back()
        world.ask(world.steady, "thread/read", {"threadId": world.thread_id})

    def _push_until(self, sent: Any) -> None:
        """Wait for an answer; a turn that stands in its way is stopped."""
        while not any(
            m.get("id") == sent.request_id and "method" not in m for m in sent.talk.heard
        ):
            self.world.fake.resume()
            if (running := self._running()) is not None:
                params = {"threadId": self.world.thread_id, "turnId": running}
                self.world.call(self.world.steady.request, "turn/interrupt", params)
            self.world.breathe(50)
        self.world.collect(sent)

    def _running(self) -> str | None:
        started = [p["turn"]["id"] for p in self.world.steady.notices("turn/started")]
        ended = {p["turn"]["id"] for p in self.world.steady.notices("turn/completed")}
        return next((turn_id for turn_id in started if turn_id not in ended), None)

    def _check_requests_of_clients(self) -> None:
        """Every submission is answered, and of several with one id at most one starts it."""
        won: Counter[str] = Counter()
        started = Counter(p["turn"]["id"] for p in self.world.steady.notices("turn/started"))
        for sent in self.world.sent:
            chosen = sent.params.get("turnId")
            if sent.method == "turn/start" and chosen is not None:
                if sent.error is None and sent.result:
                    assert sent.result["turn"]["id"] == chosen
                    won[chosen] += 1
                elif sent.error is not None:
                    assert sent.error.code == -32600
        assert all(count == 1 for count in won.values()), won
        assert all(count == 1 for count in started.values()), started
        assert set(won) <= set(started)

    def _check_turns(self) -> None:
        """One end for each turn, items inside it, and nothing of it after the end."""
        ended: set[str] = set()
        open_items: set[str] = set()
        for message in self.world.steady.heard:
            params = message.get("params") or {}
            method = message.get("method", "")
            turn_id = params.get("turnId") or (params.get("turn") or {}).get("id")
            if turn_id is None or "id" in message:
                continue
            if method in ("thread/tokenUsage/updated", "serverRequest/resolved"):
                assert turn_id not in ended, method
            assert turn_id not in ended, f"{method} after the end"
            if method == "item/started":
                open_items.add(params["item"]["id"])
            elif method == "item/completed":
                open_items.remove(params["item"]["id"])
            elif method == "turn/completed":
                assert not open_items
                ended.add(turn_id)

    def _check_questions(self) -> None:
        """One outcome for each question, told once; a command ran only if it was allowed."""
        asked = [r["id"] for r in self.world.steady.requests()]
        assert len(asked) == len(set(asked))
        told = Counter(p["requestId"] for p in self.world.steady.notices("serverRequest/resolved"))
        assert told == Counter(asked)
        done = self.world.workspace / "done"
        lines = done.read_text().split() if done.exists() else []
        assert len(lines) == len(set(lines)), "a tool ran twice"
        allowed = [
            p
            for p in self.world.steady.notices("serverRequest/resolved")
            if p["outcome"] == "accept"
        ]
        assert len(lines) <= len(allowed)

    def _check_prompts(self) -> None:
        """Every prompt is one a model accepts: each call has one output, right after it."""
        for request in self.world.fake.requests:
            calls = [i["call_id"] for i in request["input"] if i["type"] == "function_call"]
            outputs = [
                i["call_id"] for i in request["input"] if i["type"] == "function_call_output"
            ]
            assert sorted(calls) == sorted(outputs)

    def _check_reader_that_came_back(self) -> None:
        """Who lost the connection has heard what the other heard: once, in order."""
        world = self.world
        assert world.fickle is not None
        last = max((m["seq"] for m in world.steady.heard if "seq" in m), default=0)
        heard = world.fickle_heard + [m for m in world.fickle.heard if "seq" in m]
        if last > world.snapshot_at and (not heard or heard[-1]["seq"] < last):
            world.call(world.fickle.until, lambda m: m.get("seq", 0) >= last)
            heard = world.fickle_heard + [m for m in world.fickle.heard if "seq" in m]
        numbers = [m["seq"] for m in heard]
        assert numbers == sorted(set(numbers)), "out of order, or twice"
        ours = [m for m in world.steady.heard if m.get("seq", 0) > world.snapshot_at]
        assert _plain(heard) == _plain(ours)

    def _check_disk(self) -> None:
        """What another process reads is what this one showed."""
        world = self.world
        params = {"threadId": world.thread_id, "includeTurns": True}
        path = world.ask(world.steady, "thread/read", {"threadId": world.thread_id})
        if path["thread"]["path"] is None:
            return
        shown = world.ask(world.steady, "thread/read", params)["thread"]["turns"]
        stored = world.restart()["turns"]
        assert [_turn(turn) for turn in stored] == [_turn(turn) for turn in shown]


def _plain(messages: list[Json]) -> list[tuple[Any, ...]]:
    """Join neighbouring deltas, which may be cut anywhere, and drop what is sent unnumbered."""
    plain: list[tuple[Any, ...]] = []
    for message in messages:
        method, params = message["method"], message["params"]
        if "delta" in params:
            key = (method, params["itemId"])
            if plain and plain[-1][:2] == key:
                plain[-1] = (*key, plain[-1][2] + params["delta"])
            else:
                plain.append((*key, params["delta"]))
        else:
            plain.append((method, repr(params)))
    return plain


def _turn(turn: Json) -> Json:
    times = ("startedAtMs", "completedAtMs")
    items = [
        {k: v for k, v in item.items() if k not in times and v is not None}
        for item in turn["items"]
    ]
    return {"id": turn["id"], "status": turn["status"], "error": turn["error"], "items": items}


def test_sessions_hold_under_every_order() -> None:
    run_state_machine_as_test(
        SessionMachine,
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            print_blob=True,
        ),
    )
