"""Recorded talks of the original, said again to our server: the same kinds of answers, in order.

What is compared, and how a talk becomes what is replayed, is in `normalise.py`. Where ours differs
on purpose, the tables of `differences.py` say so and why; a difference that is gone makes its test
fail.
"""

from collections.abc import Mapping
from contextlib import AsyncExitStack

import anyio
import pytest

from tests.behaviour.conftest import Lab
from tests.replay.differences import DIFFERENT, SAID_LATER, UNHEARD
from tests.replay.recorded_model import answer_of
from tests.replay.replaying import LIMIT, TALKS, Replay, gates, load

pytestmark = pytest.mark.anyio

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

ASKED_AT_MOST = 20
"""Requests for an answer after the recorded ones."""

NAMES = sorted(path.name.removesuffix(".jsonl.gz") for path in TALKS.glob("*.jsonl.gz"))


@pytest.mark.parametrize("name", NAMES)
async def test_a_recorded_talk_goes_the_same_way(lab: Lab, name: str) -> None:
    talk = load(name)
    lab.configure(*talk.config, freeform_tools=True, **talk.patience)
    lab.fake.add(*map(answer_of, [*talk.answers, *[talk.default] * ASKED_AT_MOST]))
    edits = DIFFERENT.get(name, {})
    expected = [
        edits[number][1] if number in edits else step.hear for number, step in enumerate(talk.steps)
    ]
    released = gates(talk)
    numbers = order(len(talk.steps), SAID_LATER.get(name, {}))
    heard: dict[int, list[str]] = {}
    async with AsyncExitStack() as stack:
        replay = Replay(lab, stack)
        for number in numbers:
            await replay.say(talk.steps[number], expected[number], resume=number in released)
            heard[number] = replay.heard
            if number in UNHEARD.get(name, ()):
                with anyio.fail_after(LIMIT):
                    await lab.fake.wait_for_hang()
        heard[numbers[-1]] = await replay.settle(talk.steps[numbers[-1]])
    assert shown([heard[number] for number in sorted(heard)]) == shown(expected)
    for number, (_, edit) in edits.items():
        as_recorded = shown([talk.steps[number].hear]) == shown([edit])
        assert not as_recorded, f"step {number} is as recorded: take its entry away"


def order(steps: int, later: Mapping[int, int]) -> list[int]:
    """Return the numbers of the steps, some of them only after another one that came later."""
    return sorted(range(steps), key=lambda number: (later.get(number, number), number in later))


def shown(steps: list[list[str]]) -> list[str]:
    """Number the steps, so that a failure says which one, and put answers where they count."""
    return [f"{number}: {' | '.join(_ordered(kinds))}" for number, kinds in enumerate(steps)]


def _ordered(kinds: list[str]) -> list[str]:
    free = [kind for kind in kinds if kind[0] == "=" and kind[1:].split()[0] not in ANSWERED_FIRST]
    return [*free, *(kind for kind in kinds if kind not in free)]


def test_the_tables_name_talks_that_exist() -> None:
    assert {*DIFFERENT, *SAID_LATER, *UNHEARD} <= {*NAMES}
