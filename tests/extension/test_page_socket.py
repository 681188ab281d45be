"""The page's connection: a whole turn over it, its cap, and what it says when it cannot serve."""

import json
from pathlib import Path

import anyio
import pytest

from codex_jupyter.transports.ws_client import open_ws
from tests.behaviour.talk import Json, RefusedError
from tests.extension.conftest import configure
from tests.extension.jupyter import TOKEN, Jupyter, jupyter_server, until
from tests.fake_model import FakeModelInThread

pytestmark = pytest.mark.anyio


async def test_a_turn_runs_and_asks_through_the_page(server: Jupyter) -> None:
    async with server.page() as page:
        thread_id = await page.start_thread(server.workspace, approvalPolicy="untrusted")
        turn_id = await page.start_turn(thread_id, "run: touch made-by-page")
        opened = await page.told("serverRequest/opened")
        request: Json = opened["request"]
        answer = {"requestId": request["requestId"], "digest": request.get("digest")}
        assert await page.ask("serverRequest/answer", {**answer, "decision": "accept"}) == {
            "status": "ok"
        }
        assert (await page.turn_end(turn_id))["status"] == "completed"
        assert (server.workspace / "made-by-page").exists()
        late = await page.ask("serverRequest/answer", {**answer, "decision": "accept"})
        assert late == {"status": "gone"}


async def test_a_second_page_sees_the_turn_of_the_first(server: Jupyter) -> None:
    async with server.page() as one, server.page() as two:
        thread_id = await one.start_thread(server.workspace)
        turn_id = await one.start_turn(thread_id, "hang")
        await one.told("item/agentMessage/delta")
        seen = await two.ask("turn/watch", {"threadId": thread_id, "turnId": turn_id})
        assert seen["known"]
        assert seen["running"]
        await two.ask("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})
        assert (await one.turn_end(turn_id))["status"] == "interrupted"


async def test_a_message_above_the_cap_ends_the_connection_with_1009(server: Jupyter) -> None:
    headers = {"Authorization": f"token {TOKEN}", "Origin": server.origin}
    streams = await open_ws(server.socket_url("page"), headers)
    small = {"id": 1, "method": "x", "params": "ü" * (1024 * 1024)}
    await streams.send([small])
    with anyio.fail_after(30):
        [answer] = await streams.receive()
        assert isinstance(answer, dict)
        assert "unknown variant `x`" in answer["error"]["message"]
    assert len(json.dumps(small, ensure_ascii=False).encode()) < 4 * 1024 * 1024
    await streams.send([{"id": 2, "method": "x", "params": "ü" * (2 * 1024 * 1024)}])
    with anyio.fail_after(30), pytest.raises(anyio.EndOfStream):
        await streams.receive()
    assert streams._connection.close_code == 1009
    assert streams.close_reason == "a message may have 4194304 bytes"
    await streams.aclose()


async def test_what_is_no_message_is_refused_and_the_connection_goes_on(server: Jupyter) -> None:
    async with server.page() as page:
        await page._streams._connection.write_message("{nonsense")  # pyright: ignore[reportAttributeAccessIssue]
        wrong = await page.until(lambda message: "error" in message)
        assert wrong["error"]["code"] == -32700
        assert "data" in await page.ask("thread/list", {})


async def test_a_mistake_in_the_configuration_is_told_and_can_be_mended(
    tmp_path: Path, model: FakeModelInThread
) -> None:
    configure(tmp_path, model)
    config = tmp_path / "home" / "config.toml"
    good = config.read_text()
    config.write_text("model = [\n")
    with jupyter_server(tmp_path) as server:
        async with server.page(greet=False) as page:
            with pytest.raises(RefusedError) as refused:
                await page.greet()
            assert str(config) in refused.value.message
            await page.finished()
        config.write_text(good)
        async with server.page() as page:
            assert "data" in await page.ask("thread/list", {})
        assert "Traceback" not in server.log


async def test_the_end_of_the_server_ends_turns_and_connections_cleanly(
    tmp_path: Path, model: FakeModelInThread
) -> None:
    configure(tmp_path, model)
    with jupyter_server(tmp_path) as server:
        kernel_id = server.start_kernel()
        async with server.page() as page:
            thread_id = await page.start_thread(server.workspace)
            await page.start_turn(thread_id, "hang")
            await page.told("item/agentMessage/delta")
            server.process.terminate()
            await page.finished()
        await until(lambda: server.process.poll() is not None, "the server has left")
        assert server.link_files(kernel_id) == []
        assert "Traceback" not in server.log
        assert TOKEN not in server.log
