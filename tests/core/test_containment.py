"""Errors that nobody foresaw end what they happen in, and nothing beside it."""

import anyio
import pytest

from codex_jupyter.core.config import ThreadOptions
from codex_jupyter.core.session import Session
from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.protocol.events import (
    Event,
    ItemCompleted,
    ItemStarted,
    StatusChanged,
    TextDelta,
    ThreadClosed,
    TurnCompleted,
    TurnStarted,
)
from codex_jupyter.protocol.ops import UserShell
from tests.core.handles import joined, one_shot
from tests.core.tree import LIMIT, Tree
from tests.fake_model import say

pytestmark = [pytest.mark.anyio, pytest.mark.contains_errors]


class Fault:
    """Fails once: at the first event of a kind of one thread, when it was told."""

    def __init__(self, kind: type, thread: Session | None = None) -> None:
        self._kind, self._thread = kind, thread
        self.happened = False

    def __call__(self, event: Event) -> None:
        is_meant = self._thread is None or event.thread_id == self._thread.thread_id
        if is_meant and isinstance(event.msg, self._kind) and not self.happened:
            self.happened = True
            raise RuntimeError("nobody foresaw this")


async def closed(tree: Tree, session: Session) -> None:
    await tree.until(lambda: [e for e in tree.of(session) if isinstance(e.msg, ThreadClosed)])


async def test_a_turn_fails_and_its_thread_goes_on(tree: Tree) -> None:
    other, broken = await tree.root(), await tree.root()
    tree.also = Fault(TextDelta, broken)
    ended = await tree.turn(broken, "#broken")
    assert ended["status"] == "failed"
    assert "RuntimeError: nobody foresaw this" in ended["error"]["message"]
    for session in (other, broken):
        assert (await tree.turn(session, "#more"))["status"] == "completed"


@pytest.mark.parametrize("kind", [StatusChanged, TurnStarted, ItemStarted, TurnCompleted])
async def test_a_thread_whose_turn_cannot_be_told_is_closed_and_can_be_opened_again(
    tree: Tree, kind: type
) -> None:
    other, broken = await tree.root(), await tree.root()
    tree.plan("#other", say("slow", deltas=3).hang(after=3))
    running = await tree.begin(other, "#other")
    await tree.hanging()
    tree.also = Fault(kind, broken)
    await tree.begin(broken, "#broken")
    await closed(tree, broken)
    tree.fake.resume()
    assert (await tree.end_of(running))["status"] == "completed"
    again, _ = await tree.manager.resume(broken.thread_id, ThreadOptions())
    (turn,) = again.state.transcript.turns()
    assert turn["status"] == ("completed" if kind is TurnCompleted else "interrupted")
    assert (await tree.turn(again, "and more"))["status"] == "completed"


async def test_what_runs_beside_a_turn_fails_that_turn_only(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("#root", say("slow", deltas=3).hang(after=3))
    turn_id = await tree.begin(root, "#root")
    await tree.hanging()
    tree.also = Fault(ItemStarted, root)
    await tree.begin(root, UserShell("true"))
    assert (await tree.end_of(turn_id))["status"] == "failed"
    assert (await tree.turn(root, "#more"))["status"] == "completed"


@pytest.mark.parametrize("kind", [TurnStarted, TurnCompleted, ItemCompleted, ThreadClosed])
async def test_a_delegate_ends_for_its_owner_too(tree: Tree, kind: type) -> None:
    root = await tree.root()
    handle = await one_shot(tree, root, CancelToken())
    tree.also = Fault(kind)
    with anyio.fail_after(LIMIT):
        async for _ in handle:
            pass
    await joined(handle)
    assert handle.status == "closed"
    assert tree.manager.loaded == (root.thread_id,)
    assert (await tree.turn(root, "#more"))["status"] == "completed"
