"""How delegates end: closed by others, cancelled at every moment, full, unread."""

import asyncio
from pathlib import Path

import anyio
import anyio.lowlevel
import psutil
import pytest

from codex_jupyter.core.delegate import DelegateHandle, DelegateWish
from codex_jupyter.core.delegate_events import Envelope
from codex_jupyter.core.session import Session
from codex_jupyter.errors import CodexError, DelegateError, ThreadNotFoundError
from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.ids import new_thread_id
from codex_jupyter.protocol.events import ItemCompleted, ThreadClosed, TurnCompleted
from codex_jupyter.protocol.ops import UserTurn
from tests.behaviour.talk import background
from tests.core.agency import busy
from tests.core.handles import interactive, joined, kinds, one_shot, rest_of
from tests.core.hanging import Hanging
from tests.core.tree import LIMIT, Tree, growing, prompt, shell, words_of
from tests.fake_model import say

pytestmark = pytest.mark.anyio


async def check_nothing_is_left(tree: Tree, root: Session) -> None:
    """Nothing below the root is loaded, owned, or asks."""
    assert tree.manager.loaded == (root.thread_id,)
    assert not root.kin.children
    assert not root.state.broker.open_requests
    begun = [turn["id"] for turn in tree.begins()]
    assert sorted(begun) == sorted(turn["id"] for turn in tree.ends())
    assert tree.manager._store._held == {root.thread_id}


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("closed", ["child", "parent"])
async def test_closed_by_somebody_else_it_ends_for_its_owner_too(
    tree: Tree, running: bool, closed: str
) -> None:
    root, token = await tree.root(), CancelToken()
    tree.plan("#child", say("long", deltas=4).hang(after=3))
    handle = await interactive(tree, root, token)
    if running:
        await handle.submit(UserTurn(prompt("#child")))
        await tree.hanging()
    await tree.manager.close(handle.thread_id if closed == "child" else root.thread_id)
    await joined(handle)
    assert kinds(await rest_of(handle))[-1] is ThreadClosed
    assert handle.status == "closed"
    assert token.reason is None
    with pytest.raises(DelegateError, match="has ended"):
        await handle.submit(UserTurn(prompt("more")))
    assert handle.thread_id not in tree.manager.loaded


async def test_a_thread_that_comes_back_after_its_delegate_is_not_closed_by_it(tree: Tree) -> None:
    from codex_jupyter.core.config import ThreadOptions

    root = await tree.root()
    handle = await interactive(tree, root, CancelToken())
    await tree.end_of(await handle.submit(UserTurn(prompt("#child"))))
    await tree.manager.close(handle.thread_id)
    session, _ = await tree.manager.resume(handle.thread_id, ThreadOptions())
    await handle.aclose()
    assert tree.manager.find(handle.thread_id) is session
    assert (await tree.turn(session, "#child"))["status"] == "completed"


@pytest.mark.parametrize("steps", range(12))
@pytest.mark.parametrize("by", ["token", "task"])
async def test_a_start_that_is_cancelled_at_any_moment_leaves_nothing(
    tree: Tree, steps: int, by: str
) -> None:
    root, token = await tree.root(), CancelToken()
    content = [{"type": "input_text", "text": "earlier"}]
    history = [{"type": "message", "role": "user", "content": content}]
    wish = DelegateWish(source={"subagent": {"other": "test"}}, history=history)
    handles: list[DelegateHandle] = []

    async def start(scope: anyio.CancelScope) -> None:
        with scope:
            try:
                handles.append(await one_shot(tree, root, token, wish=wish))
            except DelegateError as error:
                assert "not started" in str(error)

    scope = anyio.CancelScope()
    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(start, scope)
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()
            if by == "token":
                token.cancel("enough")
            else:
                scope.cancel()
        for handle in handles:
            await handle.join()
        await tree.until(lambda: tree.manager.loaded == (root.thread_id,))
    await check_nothing_is_left(tree, root)


async def test_a_token_that_is_cancelled_already_starts_nothing(tree: Tree) -> None:
    root, token = await tree.root(), CancelToken()
    token.cancel("too late")
    before = len(tree.events)
    with pytest.raises(DelegateError, match="too late"):
        await interactive(tree, root, token)
    await check_nothing_is_left(tree, root)
    assert len(tree.events) == before


async def test_cancelled_right_after_its_start_it_never_asks_the_model(tree: Tree) -> None:
    root, token = await tree.root(), CancelToken()
    handle = await one_shot(tree, root, token)
    token.cancel("changed my mind")
    await joined(handle)
    assert [end["status"] for end in tree.ends(handle.thread_id)] == ["interrupted"]
    assert tree.requests["#child"] == []
    await check_nothing_is_left(tree, root)


async def test_a_start_that_waits_ends_with_its_token(tree: Tree) -> None:
    root, token = await tree.root(), CancelToken()
    wish = DelegateWish(source={"subagent": {"other": "test"}}, thread_id=new_thread_id())
    assert wish.thread_id is not None
    failed: list[str] = []

    async def start() -> None:
        try:
            await interactive(tree, root, token, wish=wish)
        except CodexError as error:
            failed.append(str(error))

    with anyio.fail_after(LIMIT):
        async with tree.manager.alone_with(root.thread_id, "being looked at"):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(start)
                token.cancel("enough")
    assert len(failed) == 1
    await check_nothing_is_left(tree, root)


async def test_a_parent_that_is_closing_gets_no_more_children(tree: Tree) -> None:
    root = await tree.root()
    first = await interactive(tree, root, CancelToken())
    refused: list[CodexError] = []

    async def start() -> None:
        while not refused:
            try:
                await interactive(tree, root, CancelToken())
            except CodexError as error:
                refused.append(error)
            await anyio.lowlevel.checkpoint()

    with anyio.fail_after(LIMIT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(start)
            await anyio.lowlevel.checkpoint()
            await tree.manager.close(root.thread_id)
    assert isinstance(refused[0], ThreadNotFoundError)
    await joined(first)
    assert tree.manager.loaded == ()


async def test_a_closed_thread_takes_no_turn(tree: Tree) -> None:
    root = await tree.root()
    await tree.manager.close(root.thread_id)
    with pytest.raises(ThreadNotFoundError):
        await tree.begin(root, "#root")


async def test_a_full_queue_makes_the_delegate_wait_and_nobody_else(tree: Tree) -> None:
    root, token = await tree.root(), CancelToken()
    tree.plan("#child", shell("touch made", "c1"), say("never"))
    handle = await one_shot(tree, root, token, limit=1)
    question = await tree.question()
    assert tree.answer(root, question, "accept")
    # The command runs; its item cannot become final, because nobody reads.
    await tree.until(lambda: tree.outcomes() == ["accept"])
    assert (await tree.turn(root, "#root"))["status"] == "completed"
    assert len(tree.requests["#child"]) == 1
    token.cancel("enough")
    await joined(handle)
    (end,) = tree.ends(handle.thread_id)
    assert end["status"] == "interrupted"
    envelopes = await rest_of(handle)
    assert kinds(envelopes)[-2:] == [TurnCompleted, ThreadClosed]
    final = [e.event.msg.item for e in envelopes if isinstance(e.event.msg, ItemCompleted)]
    assert {"userMessage", "commandExecution"} <= {item["type"] for item in final}
    assert await handle.next_event() is None
    await check_nothing_is_left(tree, root)


async def test_a_full_queue_goes_on_when_it_is_read(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("#child", *(shell(f"echo {n}", f"c{n}") for n in range(3)), say("done"))
    handle = await one_shot(tree, root, CancelToken(), limit=1)
    envelopes = await rest_of(handle)
    assert kinds(envelopes)[-2:] == [TurnCompleted, ThreadClosed]
    assert len(tree.requests["#child"]) == 4


async def test_an_owner_that_leaves_stops_it(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("#child", say("long", deltas=4).hang(after=3))
    async with await one_shot(tree, root, CancelToken()) as handle:
        await tree.hanging()
    assert [end["status"] for end in tree.ends(handle.thread_id)] == ["interrupted"]
    await check_nothing_is_left(tree, root)


async def test_a_cancelled_wait_for_an_event_loses_none(tree: Tree) -> None:
    root = await tree.root()
    async with await interactive(tree, root, CancelToken()) as handle:
        async with background() as tasks:
            tasks.start_soon(handle.next_event)
            await anyio.lowlevel.checkpoint()
        await tree.end_of(await handle.submit(UserTurn(prompt("#child"))))
    assert TurnCompleted in kinds(await rest_of(handle))


async def test_a_cancelled_close_still_closes(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("#child", say("long", deltas=4).hang(after=3))
    handle = await one_shot(tree, root, CancelToken())
    await tree.hanging()
    with anyio.move_on_after(0):
        await handle.aclose()
    await joined(handle)
    await check_nothing_is_left(tree, root)


async def test_nothing_runs_on_when_delegates_have_ended(tree: Tree) -> None:
    root = await tree.root()
    await tree.turn(root, "#root")
    before = asyncio.all_tasks()
    handle = await interactive(tree, root, CancelToken())
    await tree.end_of(await handle.submit(UserTurn(prompt("#child"))))
    await handle.aclose()
    await (await one_shot(tree, root, CancelToken())).join()
    # Connections with the model may stay; they are the fake's tasks.
    own = {t for t in asyncio.all_tasks() - before if "fake_model" not in repr(t.get_coro())}
    with anyio.fail_after(LIMIT):
        while not all(task.done() for task in own):
            await anyio.lowlevel.checkpoint()


async def test_the_end_of_everything_ends_delegates_first(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("#child", say("long", deltas=4).hang(after=3))
    tree.plan("#root", say("long", deltas=4).hang(after=3))
    await tree.begin(root, "#root")
    handle = await one_shot(tree, root, CancelToken(), turn=root.active)
    await tree.hanging(2)
    await tree.manager.close(root.thread_id)
    ended = [e.thread_id for e in tree.events if isinstance(e.msg, TurnCompleted)]
    assert ended == [handle.thread_id, root.thread_id]
    assert "#child do it" in words_of(tree.requests["#child"][0])


async def test_a_turn_that_is_stopped_gets_no_delegate_while_it_waits_for_others(
    tree: Tree,
) -> None:
    root = await tree.root()
    tree.plan("#root", say("long", deltas=4).hang(after=3))
    await tree.begin(root, "#root")
    turn = root.active
    assert turn is not None
    # It is waited for, because the command it has started winds down slowly.
    tree.plan("#slow", shell("trap 'sleep 1; exit' TERM; echo on > made; sleep 60 & wait"))
    slow = await one_shot(tree, root, CancelToken(), words="#slow")
    assert tree.answer(root, await tree.question(), "accept")
    with anyio.fail_after(LIMIT):
        while not (tree.workspace / "made").exists():
            await anyio.lowlevel.checkpoint()
    root.interrupt(turn.turn_id)
    await tree.until(lambda: tree.items(root, "agentMessage"))
    with pytest.raises(DelegateError, match="interrupted"):
        await one_shot(tree, root, CancelToken(), turn=turn)
    await tree.end_of(turn.turn_id)
    await slow.aclose()
    assert not tree.requests["#child"]


@pytest.mark.parametrize("how", ["token", "parent", "close", "twice"])
async def test_a_stuck_command_is_killed_with_its_group(tree: Tree, how: str) -> None:
    root = await tree.root(approval_policy="never", sandbox="danger-full-access")
    turn, token = await busy(tree, root), CancelToken()
    deaf = "trap '' TERM INT HUP; sleep 300 & echo $! >> asked; echo $$ >> asked; wait; sleep 300"
    tree.plan("#child", shell(deaf))
    handle = await one_shot(tree, root, token, turn=turn)
    asked = tree.workspace / "asked"
    with anyio.fail_after(LIMIT):
        while not (asked.exists() and len(asked.read_text().split()) == 2):
            await anyio.lowlevel.checkpoint()
    numbers = [int(number) for number in asked.read_text().split()]
    assert all(_lives(number) for number in numbers)
    match how:
        case "token":
            token.cancel("enough")
        case "close":
            with anyio.fail_after(LIMIT):
                await handle.aclose()
        case _:
            root.interrupt(turn.turn_id)
            if how == "twice":
                await anyio.lowlevel.checkpoint()
                root.interrupt(turn.turn_id)
            await tree.end_of(turn.turn_id)
            # The parent's end comes after the child's, and after its processes'.
            assert handle.status == "closed"
    await joined(handle)
    assert [number for number in numbers if _lives(number)] == []
    assert [end["status"] for end in tree.ends(handle.thread_id)] == ["interrupted"]


def _lives(number: int) -> bool:
    """Tell whether a process works; where nobody reaps orphans the dead are still listed."""
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def words_said(envelope: Envelope | None) -> set[str]:
    """Return what the user said in an event."""
    assert envelope is not None
    match envelope.event.msg:
        case ItemCompleted({"type": "userMessage", "content": list(content)}):
            return {part["text"] for part in content}
        case _:
            return set()


@pytest.mark.parametrize("cancelled", [False, True])
async def test_more_submissions_than_are_on_their_way_at_once_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cancelled: bool
) -> None:
    monkeypatch.setattr("codex_jupyter.core.delegate._MAX_SUBMITTING", 2)
    hanging = Hanging()
    async with growing(tmp_path, disk=hanging.disk) as tree:
        root = await tree.root()
        handle = await interactive(tree, root, CancelToken())
        scopes = [anyio.CancelScope() for _ in range(4)]

        async def submit(number: int) -> None:
            with scopes[number]:
                await handle.submit(UserTurn(prompt(f"#{number}")))

        def waiting() -> int:
            return handle._submitting.statistics().tasks_waiting

        hanging.gate.clear()
        async with anyio.create_task_group() as tasks:
            for number in range(4):
                tasks.start_soon(submit, number)
            with anyio.fail_after(LIMIT):
                while waiting() < 2:
                    await anyio.lowlevel.checkpoint()
            if cancelled:
                scopes[2].cancel()
                with anyio.fail_after(LIMIT):
                    while waiting() > 1:
                        await anyio.lowlevel.checkpoint()
            hanging.gate.set()
        expected = {"#0", "#1", "#3"} if cancelled else {"#0", "#1", "#2", "#3"}
        said: set[str] = set()
        with anyio.fail_after(LIMIT):
            while said < expected:
                said |= words_said(await handle.next_event())
        await handle.aclose()
        for envelope in await rest_of(handle):
            said |= words_said(envelope)
        assert said == expected
