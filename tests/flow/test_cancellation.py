"""Cancel tokens: trees, threads, and both orders of opening and cancelling."""

import gc
import threading
import weakref

import anyio
import anyio.to_thread
import pytest

from codex_jupyter.flow.cancellation import CancelToken

pytestmark = pytest.mark.anyio


async def held(token: CancelToken, entered: anyio.Event, left: list[str]) -> None:
    with token.scope() as scope:
        entered.set()
        await anyio.sleep_forever()
    left.append("caught" if scope.cancelled_caught else "left")


async def test_cancelling_ends_every_scope_of_the_tree() -> None:
    root = CancelToken()
    tokens = [root, root.child(), root.child().child()]
    left: list[str] = []
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for token in tokens:
                entered = anyio.Event()
                tasks.start_soon(held, token, entered, left)
                await entered.wait()
            root.cancel("stop")
    assert left == ["caught"] * 3
    assert [token.reason for token in tokens] == ["stop"] * 3


async def test_a_child_does_not_cancel_its_parent_or_siblings() -> None:
    root = CancelToken()
    one, two = root.child(), root.child()
    one.cancel("one")
    assert (root.reason, one.reason, two.reason) == (None, "one", None)
    root.cancel("root")
    assert (root.reason, one.reason, two.reason) == ("root", "one", "root")


async def test_a_scope_opened_after_the_cancel_ends_at_its_first_wait() -> None:
    token = CancelToken()
    token.cancel("early")
    reached: list[str] = []
    with anyio.fail_after(30), token.scope() as scope:
        reached.append("body")
        await anyio.sleep_forever()
    assert reached == ["body"]
    assert scope.cancelled_caught


async def test_a_child_of_a_cancelled_token_is_cancelled() -> None:
    token = CancelToken()
    token.cancel("early")
    assert token.child().child().reason == "early"


async def test_the_first_reason_wins() -> None:
    token = CancelToken()
    token.cancel("first")
    token.cancel("second")
    assert token.reason == "first"


async def test_after_its_scope_the_task_goes_on() -> None:
    token = CancelToken()
    with token.scope():
        token.cancel("stop")
        await anyio.sleep_forever()
    await anyio.lowlevel.checkpoint()
    with CancelToken().scope() as other:
        await anyio.lowlevel.checkpoint()
    assert not other.cancelled_caught


async def test_a_closed_scope_is_not_cancelled_later() -> None:
    token = CancelToken()
    with token.scope() as scope:
        await anyio.lowlevel.checkpoint()
    token.cancel("late")
    await anyio.lowlevel.checkpoint()
    assert not scope.cancelled_caught


async def test_scopes_of_one_token_may_nest() -> None:
    token = CancelToken()
    with anyio.fail_after(30), token.scope() as outer:
        with token.scope() as inner:
            token.cancel("stop")
            await anyio.sleep_forever()
        assert inner.cancel_called
        await anyio.sleep_forever()
    assert outer.cancelled_caught


async def test_another_cancellation_passes_through() -> None:
    token = CancelToken()
    with anyio.CancelScope() as outside, token.scope() as scope:
        outside.cancel()
        await anyio.sleep_forever()
    assert outside.cancelled_caught
    assert not scope.cancelled_caught
    assert token.reason is None


async def test_an_error_passes_through() -> None:
    with pytest.raises(KeyError), CancelToken().scope():
        raise KeyError


async def test_another_thread_may_cancel() -> None:
    token = CancelToken()
    child = token.child()
    left: list[str] = []
    entered = anyio.Event()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(held, child, entered, left)
            await entered.wait()
            thread = threading.Thread(target=token.cancel, args=("from afar",))
            thread.start()
            thread.join()
            assert child.reason == "from afar", "visible as soon as cancel returns"
    assert left == ["caught"]


async def test_a_cancel_from_afar_that_comes_too_late_hurts_nobody() -> None:
    token = CancelToken()
    with token.scope() as scope:
        thread = threading.Thread(target=token.cancel, args=("late",))
        thread.start()
        thread.join()  # the loop has not run since: the cancel is still on its way
    for _ in range(3):
        await anyio.lowlevel.checkpoint()
    with anyio.move_on_after(5) as after:
        await anyio.lowlevel.checkpoint()
    assert not scope.cancelled_caught
    assert not after.cancelled_caught


async def test_a_token_may_be_used_on_several_loops_at_once() -> None:
    token = CancelToken()
    ready = threading.Event()
    results: list[bool] = []

    async def elsewhere() -> None:
        with anyio.fail_after(30), token.scope() as scope:
            ready.set()
            await anyio.sleep_forever()
        results.append(scope.cancelled_caught)

    thread = threading.Thread(target=anyio.run, args=(elsewhere,))
    thread.start()
    assert await anyio.to_thread.run_sync(ready.wait, 5)
    with token.scope() as here:
        token.cancel("both")
        await anyio.sleep_forever()
    await anyio.to_thread.run_sync(thread.join)
    assert results == [here.cancelled_caught] == [True]


async def test_a_child_that_nobody_holds_is_forgotten() -> None:
    root = CancelToken()
    child = weakref.ref(root.child())
    gc.collect()
    assert child() is None
    root.cancel("stop")


async def test_many_threads_may_cancel_and_branch_at_once() -> None:
    root = CancelToken()
    children: list[CancelToken] = []
    begin = threading.Barrier(8)

    def branch() -> None:
        begin.wait(5)
        children.extend(root.child() for _ in range(200))

    def cancel() -> None:
        begin.wait(5)
        root.cancel("stop")

    threads = [threading.Thread(target=branch) for _ in range(7)]
    threads.append(threading.Thread(target=cancel))
    for thread in threads:
        thread.start()
    for thread in threads:
        await anyio.to_thread.run_sync(thread.join)
    assert {child.reason for child in children} == {"stop"}
