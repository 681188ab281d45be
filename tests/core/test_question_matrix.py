"""Every kind of question a delegate can ask, and every way it can end."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from codex_jupyter.core.delegate import DelegateHandle, DelegateWish
from codex_jupyter.core.session import Session
from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.flow.requests import Refused
from codex_jupyter.protocol.events import Event
from codex_jupyter.protocol.requests import DynamicToolSpec
from tests.core.agency import busy
from tests.core.handles import joined, kinds, one_shot, rest_of
from tests.core.tree import LIMIT, Json, Tree, growing, shell
from tests.fake_model import Answer, call

pytestmark = pytest.mark.anyio

MCP_PROGRAM = Path(__file__).parents[1] / "behaviour" / "mcp_program.py"
WEATHER = DynamicToolSpec(name="weather", description="d", input_schema={"type": "object"})
PATCH = "*** Begin Patch\n*** Add File: made\n+x\n*** End Patch"
COLOUR: Json = {"answers": {"colour": {"answers": ["blue"]}, "count": {"answers": ["3"]}}}
ASKED = [{"id": "colour", "question": "Which?"}]

CALLS: dict[str, Answer] = {
    "exec": shell("touch made", "c1"),
    "patch": call("apply_patch", {"input": PATCH}, call_id="c1"),
    "question": call("request_user_input", {"questions": ASKED}, call_id="c1"),
    "client tool": call("weather", {}, call_id="c1"),
    "elicitation": call("mcp__things__choose", {}, call_id="c1"),
    "mcp approval": call("mcp__things__add", {"a": 1, "b": 2}, call_id="c1"),
}
YES: dict[str, Json] = {
    "exec": {"decision": "accept"},
    "patch": {"decision": "accept"},
    "question": COLOUR,
    "client tool": {"contentItems": [{"type": "inputText", "text": "rain"}], "success": True},
    "elicitation": {"action": "accept", "content": {"colour": "blue", "count": 3}},
    "mcp approval": {"decision": "accept"},
}
NO: dict[str, Any] = {
    "exec": {"decision": "decline"},
    "patch": {"decision": "decline"},
    "question": Refused("no"),
    "client tool": Refused("no"),
    "elicitation": Refused("no"),
    "mcp approval": {"decision": "decline"},
}

DONE, STOPPED = "Plan updated", "aborted by user"
"""What the call after the one that asks gives back: it ran, or it was not started."""


@dataclass(frozen=True)
class Cell:
    """How a question ends: what is seen of it, and of the turns."""

    item: str | None
    """The status of the item; a question has none."""

    output: str
    """Is in what the model of the delegate gets."""

    after: str
    child: str
    root: str = "completed"


# fmt: off
TABLE: dict[tuple[str, str], Cell] = {
    ("exec", "accepted"): Cell("completed", "Exit code: 0", DONE, "completed"),
    ("exec", "declined"): Cell("declined", "rejected by user", DONE, "completed"),
    ("exec", "cancelled"): Cell("declined", "who stopped the turn", STOPPED, "interrupted"),
    ("exec", "parent interrupted"): Cell("declined", "aborted by the user", STOPPED, "interrupted", "interrupted"),  # noqa: E501
    ("exec", "child dies"): Cell("declined", "aborted by the user", STOPPED, "interrupted"),
    ("exec", "consumer full"): Cell("completed", "Exit code: 0", STOPPED, "interrupted"),
    ("exec", "consumer gone"): Cell("declined", "aborted by the user", STOPPED, "interrupted"),
    ("patch", "accepted"): Cell("completed", "A made", DONE, "completed"),
    ("patch", "declined"): Cell("declined", "rejected by user", DONE, "completed"),
    ("patch", "cancelled"): Cell("declined", "who stopped the turn", STOPPED, "interrupted"),
    ("patch", "parent interrupted"): Cell("declined", "aborted by the user", STOPPED, "interrupted", "interrupted"),  # noqa: E501
    ("patch", "child dies"): Cell("declined", "aborted by the user", STOPPED, "interrupted"),
    ("patch", "consumer full"): Cell("completed", "A made", STOPPED, "interrupted"),
    ("patch", "consumer gone"): Cell("declined", "aborted by the user", STOPPED, "interrupted"),
    ("question", "accepted"): Cell(None, '"blue"', DONE, "completed"),
    ("question", "declined"): Cell(None, "cancelled before receiving", DONE, "completed"),
    ("question", "cancelled"): Cell(None, "cancelled before receiving", STOPPED, "interrupted"),
    ("question", "parent interrupted"): Cell(None, "cancelled before receiving", STOPPED, "interrupted", "interrupted"),  # noqa: E501
    ("question", "child dies"): Cell(None, "cancelled before receiving", STOPPED, "interrupted"),
    ("question", "consumer full"): Cell(None, '"blue"', DONE, "interrupted"),
    ("question", "consumer gone"): Cell(None, "cancelled before receiving", STOPPED, "interrupted"),
    ("client tool", "accepted"): Cell("completed", "rain", DONE, "completed"),
    ("client tool", "declined"): Cell("failed", "request failed", DONE, "completed"),
    ("client tool", "cancelled"): Cell("failed", "aborted by user", STOPPED, "interrupted"),
    ("client tool", "parent interrupted"): Cell("failed", "aborted by user", STOPPED, "interrupted", "interrupted"),  # noqa: E501
    ("client tool", "child dies"): Cell("failed", "aborted by user", STOPPED, "interrupted"),
    ("client tool", "consumer full"): Cell("completed", "rain", STOPPED, "interrupted"),
    ("client tool", "consumer gone"): Cell("failed", "aborted by user", STOPPED, "interrupted"),
    ("elicitation", "accepted"): Cell("completed", "blue", DONE, "completed"),
    ("elicitation", "declined"): Cell("completed", "decline", DONE, "completed"),
    ("elicitation", "cancelled"): Cell("failed", "aborted by user", STOPPED, "interrupted"),
    ("elicitation", "parent interrupted"): Cell("failed", "aborted by user", STOPPED, "interrupted", "interrupted"),  # noqa: E501
    ("elicitation", "child dies"): Cell("failed", "aborted by user", STOPPED, "interrupted"),
    ("elicitation", "consumer full"): Cell("completed", "blue", STOPPED, "interrupted"),
    ("elicitation", "consumer gone"): Cell("failed", "aborted by user", STOPPED, "interrupted"),
    ("mcp approval", "accepted"): Cell("completed", "the sum is 3", DONE, "completed"),
    ("mcp approval", "declined"): Cell("failed", "rejected by user", DONE, "completed"),
    ("mcp approval", "cancelled"): Cell("failed", "who stopped the turn", STOPPED, "interrupted"),
    ("mcp approval", "parent interrupted"): Cell("failed", "aborted by the user", STOPPED, "interrupted", "interrupted"),  # noqa: E501
    ("mcp approval", "child dies"): Cell("failed", "aborted by the user", STOPPED, "interrupted"),
    ("mcp approval", "consumer full"): Cell("completed", "the sum is 3", STOPPED, "interrupted"),
    ("mcp approval", "consumer gone"): Cell("failed", "aborted by the user", STOPPED, "interrupted"),  # noqa: E501
}
# fmt: on


async def end_it(
    tree: Tree, root: Session, handle: DelegateHandle, asked: Event, cell: Any
) -> None:
    """Do to the question, or to those around it, what the cell names."""
    kind, way = cell
    match way:
        case "accepted" | "consumer full":
            assert tree.answer(root, asked, YES[kind])
        case "declined":
            assert tree.answer(root, asked, NO[kind])
        case "cancelled" if "decision" in YES[kind]:
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


@pytest.mark.parametrize("cell", TABLE, ids=" - ".join)
async def test_a_question_ends_as_the_table_says(
    tmp_path: Path, cell: tuple[str, str], request: pytest.FixtureRequest
) -> None:
    kind, way = cell
    wanted = TABLE[cell]
    end = ""
    if kind in ("elicitation", "mcp approval"):
        end = f'[mcp_servers.things]\nurl = "{request.getfixturevalue("mcp_address")}"'
    async with growing(tmp_path, end=end) as tree:
        access = "danger-full-access" if kind == "elicitation" else "workspace-write"
        policy = "never" if kind == "elicitation" else "on-request"
        root = await tree.root(approval_policy=policy, sandbox=access)
        turn = await busy(tree, root)
        plan = call("update_plan", {"plan": [{"step": "s", "status": "pending"}]}, call_id="c2")
        tree.plan("#child", CALLS[kind] + plan)
        wish = DelegateWish(source={"subagent": {"other": "test"}}, dynamic_tools=[WEATHER])
        limit = 1 if way == "consumer full" else 512
        handle = await one_shot(tree, root, CancelToken(), wish=wish, turn=turn, limit=limit)
        child = tree.manager.get(handle.thread_id)
        await end_it(tree, root, handle, await tree.question(), cell)
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
        assert shown == ([] if wanted.item is None else [wanted.item])
        first, second = outputs(child)
        assert wanted.output in first
        assert wanted.after in second
        # Nothing was asked or started after a stop.
        assert len(tree.asked()) == 1
        assert (tree.workspace / "made").exists() == (wanted.item == "completed" and kind in FILES)
        if wanted.after == STOPPED:
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


def test_the_table_is_whole() -> None:
    ways = {way for _, way in TABLE}
    assert set(TABLE) == {(kind, way) for kind in CALLS for way in ways}
    assert len(ways) == 7
