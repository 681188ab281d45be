"""Recorded talks of the original, said again to our server: the same kinds of answers, in order.

What is compared, and how a talk becomes what is replayed, is in `normalise.py`. Where ours differs
on purpose, the tables below say so and why; a difference that is gone makes its test fail.
"""

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Talk, connect
from tests.fake_model import Answer, call, custom_call, failed, reason, say
from tests.replay.normalise import Json, kind_of

pytestmark = pytest.mark.anyio

TALKS = Path(__file__).parents[1] / "data" / "transcripts"
LIMIT = 5.0


ANSWERED_FIRST = frozenset(
    {
        "thread/name/set",
        "thread/queue/add",
        "thread/unarchive",
        "turn/interrupt",
        "turn/start",
    }
)
"""Their answers come before what they cause. Where others stand among it says nothing: what they
tell everybody is told when it is stored, here as a rule just before the answer."""

CLOSED_ITEMS = "what is open is completed before its turn is, instead of being left open for ever"
OWN_IDS = "`threadId` and `turnId` are the caller's here, and an id of another spelling is the same"

NOT_REPLAYED = {
    "policy_untrusted_vs_never": "nothing is sandboxed, so more is asked",
    "request_user_input": "questions work in every mode; see tests/behaviour/test_questions.py",
}
"""Talks that go another way from some step on, and why."""

NOT_STORED = "a thread without a first message is not stored: it has no turns and no archive"
IN_MEMORY = "an ephemeral thread is read from memory, as long as it is loaded"
UNLOADED = "whoever heard a thread is told that it is closed before it is put away"
LATER = "the original tells this when the next request has come; here it is told at once"
SPOKEN = ["item/started userMessage", "item/completed userMessage"]
ANSWERED = ["item/started agentMessage", "item/completed agentMessage"]
REVIEWING = [
    *("=review/start", "turn/started", "item/started enteredReviewMode"),
    "item/completed enteredReviewMode",
]
REVIEWED = ["item/started exitedReviewMode", "item/completed exitedReviewMode", *ANSWERED]
ONE_TURN = (
    "a review's turn is told by the id that was announced, before what happens in it; what the "
    "reviewer is asked, and what it says before that is read, is its own affair"
)
BEGUN = ["=turn/start", "turn/started", *SPOKEN]
DONE = "turn/completed completed"

DIFFERENT: dict[str, dict[int, tuple[str, list[str]]]] = {
    "archive_list_read": {
        33: (NOT_STORED, ["=thread/read -32600"]),
        35: (IN_MEMORY, ["=thread/read"]),
        36: (NOT_STORED, ["=thread/archive -32600"]),
        38: (UNLOADED, ["=thread/archive", "thread/closed", "thread/archived"]),
    },
    "compact": {
        4: (
            "the notification that the original has replaced by the item is told as well",
            [
                "=thread/compact/start",
                "turn/started",
                "item/started contextCompaction",
                "item/completed contextCompaction",
                "thread/compacted",
                DONE,
            ],
        ),
    },
    "dynamic_tools": {
        10: (
            "an interrupt is answered before anything ends by it",
            [
                "=turn/interrupt",
                "item/completed dynamicToolCall failed",
                "turn/completed interrupted",
            ],
        ),
        20: ("the name of a built-in tool would never be called", ["=thread/start -32600"]),
    },
    "interrupt_approval": {
        4: (
            CLOSED_ITEMS + ", and so is what was asked",
            [
                "=turn/interrupt",
                "serverRequest/resolved",
                "item/completed commandExecution declined",
                "turn/completed interrupted",
            ],
        ),
    },
    "interrupt_command": {
        4: (
            CLOSED_ITEMS,
            [
                "=turn/interrupt",
                "item/completed commandExecution failed",
                "turn/completed interrupted",
            ],
        ),
    },
    "interrupt_streaming": {
        4: (
            CLOSED_ITEMS,
            ["=turn/interrupt", "item/completed agentMessage", "turn/completed interrupted"],
        ),
    },
    "new_history": {
        12: ("an ephemeral copy may tell its turns", ["=thread/fork"]),
        14: (LATER, ["=thread/revert", "thread/reverted"]),
        15: (LATER, ["=thread/turns/list"]),
        17: (LATER, ["=thread/settings/update", "thread/settings/updated"]),
        18: (
            LATER,
            [
                "=thread/shellCommand",
                "turn/started",
                "item/started commandExecution",
                "item/completed commandExecution completed",
                DONE,
            ],
        ),
        19: ("there are no goals", ["=thread/goal/get -32600"]),
        22: (
            "a copy needs nothing of its source. " + UNLOADED,
            ["=thread/delete", "thread/closed", "thread/deleted"],
        ),
        25: (UNLOADED, ["=thread/delete", "thread/closed", "thread/deleted"]),
    },
    "plan_update": {
        3: ("the plan is told", [*BEGUN, "turn/plan/updated", *ANSWERED, DONE]),
    },
    "review_inline": {
        3: (
            ONE_TURN,
            [
                *REVIEWING,
                "item/started reasoning",
                "item/completed reasoning",
                *REVIEWED,
                DONE,
            ],
        ),
    },
    "review_interrupt": {
        3: (ONE_TURN, REVIEWING),
        4: (
            "the id that was announced stops it",
            ["=turn/interrupt", *REVIEWED, "turn/completed interrupted"],
        ),
        5: ("it was stopped in step 4", ["=turn/interrupt -32600"]),
    },
    "sandbox_workspace_write": {
        3: (
            "nothing is sandboxed: what would need it is refused where nobody may be asked",
            [
                *BEGUN,
                "item/started commandExecution",
                "item/completed commandExecution declined",
                *ANSWERED,
                DONE,
            ],
        ),
    },
    "unknown_id_fields": {
        4: (OWN_IDS, ["=turn/start -32600"]),
        5: ("nothing was said in it, see step 4", ["=thread/fork -32600"]),
    },
    "steer": {
        8: (OWN_IDS, ["=turn/steer"]),
        10: (
            "the message that was being told is completed; three were said, see step 8",
            [
                "=turn/steer",
                "item/completed agentMessage",
                *SPOKEN,
                *SPOKEN,
                *SPOKEN,
                *ANSWERED,
                DONE,
            ],
        ),
    },
}
"""For each talk, for each step that differs: why, and what is heard in it here."""

UNHEARD = {"review_interrupt": {3}}
"""After which steps a model is in the middle of an answer that nobody here is told of."""


@dataclass(frozen=True, slots=True)
class Step:
    send: Json
    hear: list[str]
    bind: dict[str, list[Any]]
    """Name of an id to the method of what tells it, and where in that it stands."""


def load(name: str) -> tuple[list[list[Json]], list[str], list[Step]]:
    with gzip.open(TALKS / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        head, *steps = map(json.loads, file)
    return head["answers"], head["config"], [Step(**step) for step in steps]


def answer_of(parts: Sequence[Json]) -> Answer:
    answer = Answer()
    hang: int | None = None
    for part in parts:
        if "text" in part:
            pieces = -(-len(part["text"]) // part.get("chunk", len(part["text"])))
            if "gate" in part:
                hang = 2 + part["gate_after"]
            answer += say(part["text"], deltas=pieces, phase=part.get("phase"))
        elif "call" in part:
            answer += call(part["call"], part["args"], call_id=part["call_id"])
        elif "custom" in part:
            answer += custom_call(part["custom"], part["input"], call_id=part["call_id"])
        elif "reasoning" in part:
            answer += reason(*part["reasoning"], raw_text="".join(part.get("raw", ())))
        elif "failed" in part:
            answer = failed(part["failed"]["code"], part["failed"]["message"])
    return answer if hang is None else answer.hang(after=hang)


class Replay:
    """One talk, said step by step; each is said when what came before it has been heard."""

    def __init__(self, lab: Lab, talk: Talk, release: set[int]) -> None:
        self._lab = lab
        self._talk = talk
        self._release = release
        self._ids: dict[str, str] = {}
        self._asked: dict[Any, str] = {}
        self.heard: list[list[str]] = []

    async def say(self, number: int, step: Step, expected: list[str]) -> None:
        begin = len(self._talk.heard)
        message = self._filled(step.send)
        if "method" in message:
            self._asked[message.get("id")] = message["method"]
        else:
            message["id"] = self._talk.requests()[message["id"]]["id"]
        await self._talk.send(message)
        if number in self._release:
            self._lab.fake.resume()
        wanted = Counter(expected)
        with anyio.move_on_after(LIMIT):
            while wanted - Counter(self._kinds(begin)):
                await self._talk.more()
        self._bind(step, begin)
        self.heard.append(self._kinds(begin))

    def _kinds(self, begin: int) -> list[str]:
        kinds = (kind_of(message, self._asked) for message in self._talk.heard[begin:])
        return [kind for kind in kinds if kind is not None]

    def _bind(self, step: Step, begin: int) -> None:
        for name, (method, *path) in step.bind.items():
            for message in self._talk.heard[begin:]:
                value: Any = message
                if message.get("method") != method:
                    continue
                try:
                    for key in path:
                        value = value[key]
                except (KeyError, IndexError, TypeError):
                    continue
                self._ids.setdefault(name, str(value))

    def _filled(self, message: Json) -> Json:
        text = json.dumps(message)
        for pattern, change in (
            (r"\$id([0-9]+)", str.lower),
            (r"\$ID([0-9]+)", str.upper),
            (r"\$hex([0-9]+)", lambda value: value.replace("-", "")),
        ):
            text = re.sub(pattern, self._value(change), text)
        folder = str(self._lab.workspace)
        return json.loads(text.replace("$WS", folder).replace("$LAB", str(self._lab.home.parent)))

    def _value(self, change: Callable[[str], str]) -> Callable[[re.Match[str]], str]:
        return lambda match: change(self._ids.get(f"$id{match[1]}", match[0]))


def gates(answers: list[list[Json]], steps: list[Step]) -> set[int]:
    """Return the steps after which a model that waits goes on: where its answer was completed."""
    messages = [part for parts in answers for part in parts if "text" in part]
    done, found = 0, set[int]()
    for number, step in enumerate(steps):
        for kind in step.hear:
            if kind == "item/completed agentMessage" and done < len(messages):
                if messages[done].get("gate") == "go":
                    found.add(number)
                done += 1
    return found


NAMES = sorted(path.name.removesuffix(".jsonl.gz") for path in TALKS.glob("*.jsonl.gz"))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NOT_REPLAYED])
async def test_a_recorded_talk_goes_the_same_way(lab: Lab, name: str) -> None:
    answers, config, steps = load(name)
    lab.configure(*config, freeform_tools=True)
    # The recorder's model had something to say for ever.
    lab.fake.add(*map(answer_of, answers), *[say("done")] * 20)
    edits = DIFFERENT.get(name, {})
    expected = [
        edits[number][1] if number in edits else step.hear for number, step in enumerate(steps)
    ]
    async with lab.serving() as server, connect(server, greet=False) as talk:
        replay = Replay(lab, talk, gates(answers, steps))
        for number, step in enumerate(steps):
            await replay.say(number, step, expected[number])
            if number in UNHEARD.get(name, ()):
                with anyio.fail_after(LIMIT):
                    await lab.fake.wait_for_hang()
    assert shown(replay.heard) == shown(expected)
    for number, (_, edit) in edits.items():
        as_recorded = shown([steps[number].hear]) == shown([edit])
        assert not as_recorded, f"step {number} is as recorded: take its entry away"


def shown(steps: list[list[str]]) -> list[str]:
    """Number the steps, so that a failure says which one, and put answers where they count."""
    return [f"{number}: {' | '.join(_ordered(kinds))}" for number, kinds in enumerate(steps)]


def _ordered(kinds: list[str]) -> list[str]:
    free = [kind for kind in kinds if kind[0] == "=" and kind[1:].split()[0] not in ANSWERED_FIRST]
    return [*free, *(kind for kind in kinds if kind not in free)]


def test_the_tables_name_talks_that_exist() -> None:
    assert {*NOT_REPLAYED, *DIFFERENT, *UNHEARD} <= {*NAMES}
    assert not {*NOT_REPLAYED} & {*DIFFERENT}
