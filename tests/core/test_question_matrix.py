"""Every kind of question a delegate can ask, and every way it can end."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.lowlevel
import pytest

from codex_jupyter.core.delegate import DelegateHandle, DelegateWish
from codex_jupyter.core.session import Session
from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.flow.requests import Refused
from codex_jupyter.protocol.dynamic_tools import DynamicToolFunction
from tests.core.agency import busy
from tests.core.handles import joined, kinds, one_shot, rest_of
from tests.core.tree import LIMIT, Json, Tree, growing, shell
from tests.fake_model import Answer, call

pytestmark = pytest.mark.anyio

MCP_PROGRAM = Path(__file__).parents[1] / "behaviour" / "mcp_program.py"
WEATHER = DynamicToolFunction(name="weather", description="d", input_schema={"type": "object"})
PATCH = "*** Begin Patch\n*** Add File: made\n+x\n*** End Patch"
COLOUR: Json = {"answers": {"colour": {"answers": ["blue"]}, "count": {"answers": ["3"]}}}
ASKED = [{"id": "colour", "question": "Which?"}]

DONE, STOPPED = "Plan updated", "aborted by user"
"""What the call after the one that asks gives back: it ran, or it was not started."""

Seen = tuple[str | None, str]
"""The status of the item, which a question has none of; and what the delegate's model gets."""


@dataclass(frozen=True)
class Kind:
    """A kind of question: the call that asks it, its answers, and what is seen of its ends."""

    call: Answer
    yes: Json
    no: Any
    accepted: Seen
    declined: Seen
    cancelled: Seen
    stopped: Seen
    after_full: str = STOPPED
    """What the call after it gives back if it was answered and nobody takes events."""


@dataclass(frozen=True)
class Way:
    """How a question ends: which of its ends is seen, what comes after it, and the turns' ends."""

    seen: Literal["accepted", "declined", "cancelled", "stopped"]
    after: str
    child: str
    root: str = "completed"


YES: Json = {"decision": "accept"}
NO: Json = {"decision": "decline"}
RAIN: Json = {"contentItems": [{"type": "inputText", "text": "rain"}], "success": True}
UNASKED = (None, "cancelled before receiving")
ABORTED = ("failed", "aborted by user")

KINDS = {
    "exec": Kind(
        shell("touch made", "c1"),
        YES,
        NO,
        accepted=("completed", "Exit code: 0"),
        declined=("declined", "rejected by user"),
        cancelled=("declined", "who stopped the turn"),
        stopped=("declined", "aborted by the user"),
    ),
    "patch": Kind(
        call("apply_patch", {"input": PATCH}, call_id="c1"),
        YES,
        NO,
        accepted=("completed", "A made"),
        declined=("declined", "rejected by user"),
        cancelled=("declined", "who stopped the turn"),
        stopped=("declined", "aborted by the user"),
    ),
    "question": Kind(
        call("request_user_input", {"questions": ASKED}, call_id="c1"),
        COLOUR,
        Refused("no"),
        accepted=(None, '"blue"'),
        declined=UNASKED,
        cancelled=UNASKED,
        stopped=UNASKED,
        after_full=DONE,
    ),
    "client tool": Kind(
        call("weather", {}, call_id="c1"),
        RAIN,
        Refused("no"),
        accepted=("completed", "rain"),
        declined=("failed", "request failed"),
        cancelled=ABORTED,
        stopped=ABORTED,
    ),
    "elicitation": Kind(
        call("mcp__things__choose", {}, call_id="c1"),
        {"action": "accept", "content": {"colour": "blue", "count": 3}},
        Refused("no"),
        accepted=("completed", "blue"),
        declined=("completed", "decline"),
        cancelled=ABORTED,
        stopped=ABORTED,
    ),
    "mcp approval": Kind(
        call("mcp__things__add", {"a": 1, "b": 2}, call_id="c1"),
        YES,
        NO,
        accepted=("completed", "the sum is 3"),
        declined=("failed", "rejected by user"),
        cancelled=("failed", "who stopped the turn"),
        stopped=("failed", "aborted by the user"),
    ),
}
WAYS = {
    "accepted": Way("accepted", DONE, "completed"),
    "declined": Way("declined", DONE, "completed"),
    "cancelled": Way("cancelled", STOPPED, "interrupted"),
    "parent interrupted": Way("stopped", STOPPED, "interrupted", root="interrupted"),
    "child dies": Way("stopped", STOPPED, "interrupted"),
    "consumer full": Way("accepted", STOPPED, "interrupted"),
    "consumer gone": Way("stopped", STOPPED, "interrupted"),
}


async def end_it(tree: Tree, root: Session, handle: DelegateHandle, kind: Kind, way: str) -> None:
    """Do to the question, or to those around it, what the way names."""
    asked = await tree.question()
    match way:
        case "accepted" | "consumer full":
            assert tree.answer(root, asked, kind.yes)
        case "declined":
            assert tree.answer(root, asked, kind.no)
        case "cancelled" if "decision" in kind.yes:
            assert tree.answer(root, asked, "cancel")
        case "cancelled":
            handle.interrupt()
        case "parent interrupted":
            assert root.active is not None
            root.interrupt(root.active.turn_id)
        case "child dies":
            await tree.manager.close(handle.thread_id)
        case _:
            await handle.aclose()


async def waits_for_its_reader(handle: DelegateHandle) -> None:
    with anyio.fail_after(LIMIT):
        while not handle._events._taken.waiting:
            await anyio.lowlevel.checkpoint()


def outputs(child: Session) -> Sequence[str]:
    """Return what the tools gave back, as the delegate remembers it."""
    return [str(item["output"]) for item in child.state.history.items if "output" in item]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", KINDS)
async def test_a_question_ends_as_the_tables_say(
    tmp_path: Path, name: str, way: str, request: pytest.FixtureRequest
) -> None:
    kind, wanted = KINDS[name], WAYS[way]
    status, output = getattr(kind, wanted.seen)
    after = kind.after_full if way == "consumer full" else wanted.after
    end = ""
    if name in ("elicitation", "mcp approval"):
        end = f'[mcp_servers.things]\nurl = "{request.getfixturevalue("mcp_address")}"'
    async with growing(tmp_path, end=end) as tree:
        access = "danger-full-access" if name == "elicitation" else "workspace-write"
        policy = "never" if name == "elicitation" else "on-request"
        root = await tree.root(approval_policy=policy, sandbox=access)
        turn = await busy(tree, root)
        plan = call("update_plan", {"plan": [{"step": "s", "status": "pending"}]}, call_id="c2")
        tree.plan("#child", kind.call + plan)
        wish = DelegateWish(source={"subagent": {"other": "test"}}, dynamic_tools=[WEATHER])
        limit = 1 if way == "consumer full" else 512
        handle = await one_shot(tree, root, CancelToken(), wish=wish, turn=turn, limit=limit)
        child = tree.manager.get(handle.thread_id)
        await end_it(tree, root, handle, kind, way)
        if way == "consumer full":
            # It goes on until what it did is to be told, and no further.
            await waits_for_its_reader(handle)
            tree.fake.resume()
        await joined(handle)
        tree.fake.resume()
        assert (await tree.end_of(turn.turn_id))["status"] == wanted.root
        (ended,) = tree.ends(child)
        assert ended["status"] == wanted.child
        shown = [i["status"] for i in items_of(tree, child)]
        assert shown == ([] if status is None else [status])
        first, second = outputs(child)
        assert output in first
        assert after in second
        # Nothing was asked or started after a stop.
        assert len(tree.asked()) == 1
        assert (tree.workspace / "made").exists() == (status == "completed" and name in FILES)
        if after == STOPPED:
            assert len(tree.requests["#child"]) == 1
        assert kinds(await rest_of(handle))[-1].__name__ == "ThreadClosed"
        assert not root.state.broker.open_requests
        assert tree.manager.loaded == (root.thread_id,)
        order = [end["id"] for end in tree.ends()]
        assert order.index(ended["id"]) < order.index(turn.turn_id)


FILES = ("exec", "patch")


def items_of(tree: Tree, child: Session) -> list[Json]:
    names = ("commandExecution", "fileChange", "dynamicToolCall", "mcpToolCall")
    return [item for name in names for item in tree.items(child, name)]
