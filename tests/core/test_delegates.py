"""Delegates as their owners hold them: input, events, ends."""

import pytest

from codex_jupyter.core.delegate import DelegateWish, run_delegate_one_shot
from codex_jupyter.errors import DelegateError, DuplicateIdError, InvalidRequestError
from codex_jupyter.flow.cancellation import CancelToken
from codex_jupyter.ids import new_thread_id, new_turn_id
from codex_jupyter.protocol.events import (
    ItemStarted,
    RequestOpened,
    RequestResolved,
    SettingsChanged,
    StatusChanged,
    TextDelta,
    ThreadClosed,
    ThreadNamed,
    ThreadStarted,
    TokenUsageUpdated,
    TurnCompleted,
    TurnStarted,
)
from codex_jupyter.protocol.ops import UserTurn
from tests.core.handles import OTHER, interactive, joined, kinds, one_shot, rest_of
from tests.core.tree import Tree, prompt, refusal, shell, words_of
from tests.fake_model import say

pytestmark = pytest.mark.anyio


async def test_a_submission_keeps_the_id_of_its_caller(tree: Tree) -> None:
    root, token = await tree.root(), CancelToken()
    async with await interactive(tree, root, token) as handle:
        assert handle.status == "waiting"
        chosen = new_turn_id()
        assert await handle.submit(UserTurn(prompt("#child")), submission_id=chosen) == chosen
        assert handle.status == "running"
        assert (await tree.end_of(chosen))["status"] == "completed"
        assert handle.status == "completed"
        with pytest.raises(DuplicateIdError):
            await handle.submit(UserTurn(prompt("again")), submission_id=chosen)
    assert handle.status == "closed"
    assert token.reason is None


async def test_input_joins_a_turn_that_runs(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("#child", say("wait", deltas=3).hang(after=3), say("both"))
    async with await interactive(tree, root, CancelToken()) as handle:
        first = await handle.submit(UserTurn(prompt("#child")))
        await tree.hanging()
        assert await handle.submit(UserTurn(prompt("and this"))) == first
        tree.fake.resume()
        await tree.end_of(first)
        assert "and this" in words_of(tree.requests["#child"][-1])


async def test_events_come_as_envelopes_without_what_would_look_like_the_parents(
    tree: Tree,
) -> None:
    root = await tree.root()
    tree.plan("#child", shell("touch made"), say("done"))
    handle = await one_shot(tree, root, CancelToken())
    question = await tree.question()
    assert tree.answer(root, question, "accept")
    envelopes = await rest_of(handle)
    assert {envelope.thread_id for envelope in envelopes} == {handle.thread_id}
    assert {envelope.event.thread_id for envelope in envelopes} == {handle.thread_id}
    heard = kinds(envelopes)
    assert heard[0] is TurnStarted
    assert heard[-2:] == [TurnCompleted, ThreadClosed]
    swallowed = {SettingsChanged, StatusChanged, ThreadNamed, ThreadStarted, TokenUsageUpdated}
    assert not {*swallowed, RequestOpened, RequestResolved} & set(heard)
    assert (tree.workspace / "made").exists()
    # Whoever listens to the thread itself hears all of it.
    told = {type(event.msg) for event in tree.of(handle.thread_id)}
    assert {StatusChanged, TokenUsageUpdated, RequestOpened, RequestResolved} <= told


async def test_deltas_reach_the_owner_once_and_merge_while_it_lags(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("#child", say("one two three four five six", deltas=6))
    handle = await one_shot(tree, root, CancelToken())
    await joined(handle)
    texts = [e.event.msg.delta for e in await rest_of(handle) if isinstance(e.event.msg, TextDelta)]
    assert texts == ["one two three four five six"]


async def test_a_one_shot_takes_nothing_more_and_closes_itself(tree: Tree) -> None:
    root, token = await tree.root(), CancelToken()
    handle = await one_shot(tree, root, token)
    with pytest.raises(DelegateError, match="one-shot"):
        await handle.submit(UserTurn(prompt("more")))
    await joined(handle)
    assert handle.status == "closed"
    assert handle.last is not None
    assert (handle.last.status, handle.last.text) == ("completed", "ok #child")
    assert token.reason is None
    assert tree.manager.loaded == (root.thread_id,)
    assert not root.kin.children
    with pytest.raises(DelegateError):
        await handle.submit(UserTurn(prompt("more")))


async def test_a_one_shot_that_fails_says_why(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("#child", refusal("the model has no idea"))
    handle = await one_shot(tree, root, CancelToken())
    await joined(handle)
    assert handle.last is not None
    assert handle.last.status == "failed"
    assert "the model has no idea" in (handle.last.error or {})["message"]


async def test_a_prompt_that_is_refused_leaves_nothing(tree: Tree) -> None:
    root = await tree.root()
    with pytest.raises(InvalidRequestError, match="empty"):
        await run_delegate_one_shot(tree.manager, root, OTHER, (), CancelToken())
    assert tree.manager.loaded == (root.thread_id,)


async def test_a_closed_delegate_refuses_input(tree: Tree) -> None:
    root = await tree.root()
    handle = await interactive(tree, root, CancelToken())
    await handle.aclose()
    assert kinds(await rest_of(handle)) == [ThreadClosed]
    with pytest.raises(DelegateError, match="has ended"):
        await handle.submit(UserTurn(prompt("more")))


async def test_closing_stops_the_turn_and_waits_for_its_end(tree: Tree) -> None:
    root, token = await tree.root(), CancelToken()
    tree.plan("#child", say("long", deltas=4).hang(after=3))
    handle = await interactive(tree, root, token)
    await handle.submit(UserTurn(prompt("#child")))
    await tree.hanging()
    await handle.aclose()
    assert [end["status"] for end in tree.ends(handle.thread_id)] == ["interrupted"]
    assert token.reason is None
    assert tree.manager.loaded == (root.thread_id,)


async def test_an_interrupted_delegate_can_be_given_work_again(tree: Tree) -> None:
    root = await tree.root()
    tree.plan("#child", say("long", deltas=4).hang(after=3), say("again"))
    async with await interactive(tree, root, CancelToken()) as handle:
        turn_id = await handle.submit(UserTurn(prompt("#child")))
        await tree.hanging()
        handle.interrupt()
        assert (await tree.end_of(turn_id))["status"] == "interrupted"
        assert handle.status == "interrupted"
        second = await handle.submit(UserTurn(prompt("go on")))
        assert (await tree.end_of(second))["status"] == "completed"


async def test_initial_history_reaches_the_first_request(tree: Tree) -> None:
    root = await tree.root()
    content = [{"type": "input_text", "text": "the number is 42"}]
    wish = DelegateWish(
        source={"subagent": {"other": "test"}},
        history=[{"type": "message", "role": "user", "content": content}],
        base_instructions="You are brief.",
        model="other-model",
    )
    handle = await one_shot(tree, root, CancelToken(), wish=wish)
    await joined(handle)
    (request,) = tree.requests["#child"]
    words = words_of(request)
    assert words.index("the number is 42") < words.index("#child do it")
    assert (request["instructions"], request["model"]) == ("You are brief.", "other-model")


async def test_an_id_that_is_taken_leaves_nothing(tree: Tree) -> None:
    root = await tree.root()
    wish = DelegateWish(source={"subagent": {"other": "test"}}, thread_id=root.thread_id)
    with pytest.raises(DuplicateIdError):
        await interactive(tree, root, CancelToken(), wish=wish)
    assert tree.manager.loaded == (root.thread_id,)
    assert not root.kin.children


async def test_usage_of_a_delegate_is_added_to_the_totals_of_all_above(tree: Tree) -> None:
    root = await tree.root()
    await tree.turn(root, "#root")
    wish = DelegateWish(source={"subagent": {"other": "test"}}, thread_id=new_thread_id())
    async with await interactive(tree, root, CancelToken(), wish=wish) as handle:
        child = tree.manager.get(handle.thread_id)
        inner = await one_shot(tree, child, CancelToken(), words="#grandchild")
        await joined(inner)
        assert child.state.total_tokens == 15
        await tree.end_of(await handle.submit(UserTurn(prompt("#child"))))
        assert child.state.total_tokens == 30
    told = [e.msg.usage for e in tree.of(root) if isinstance(e.msg, TokenUsageUpdated)]
    assert [usage["total"]["totalTokens"] for usage in told] == [15, 30, 45]
    assert told[-1]["last"] == told[0]["last"]


async def test_a_reasoning_delta_is_told_once_to_each_listener(tree: Tree) -> None:
    from tests.fake_model import reason

    root = await tree.root()
    tree.plan("#child", reason("thinking") + say("done"))
    handle = await one_shot(tree, root, CancelToken())
    envelopes = await rest_of(handle)
    thoughts = [
        e for e in envelopes if isinstance(e.event.msg, TextDelta) and e.event.msg.kind == "summary"
    ]
    assert len(thoughts) == 1
    started = [e.event.msg.item["type"] for e in envelopes if isinstance(e.event.msg, ItemStarted)]
    assert started == ["userMessage", "reasoning", "agentMessage"]
    assert not [e for e in tree.of(root) if isinstance(e.msg, TextDelta | ItemStarted)]
