"""A kernel's link: its file, its rights, its renewal, and what ends with it."""

import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from jupyter_client.asynchronous.client import AsyncKernelClient

from codex_jupyter.errors import PeerClosedError
from codex_jupyter.extension.kernel_links import kernel_url
from codex_jupyter.transports.ws_client import open_ws
from tests.behaviour.talk import Json, Talk
from tests.extension.conftest import configure
from tests.extension.jupyter import (
    Jupyter,
    in_thread,
    jupyter_server,
    make_certificate,
    talk_to,
    until,
)
from tests.fake_model import FakeModelInThread

pytestmark = pytest.mark.anyio

_IN_KERNEL = """
import asyncio, json, os, pathlib

async def live(link, folder, prompt):
    from codex_jupyter.client.aio import CodexClient
    from codex_jupyter.transports.ws_client import open_ws
    streams = await open_ws(
        link["url"], {"Authorization": "codex-kernel " + link["token"]}, link["ca"])
    async with CodexClient.open(streams) as client:
        opened = await client.call("thread/start", {"cwd": folder})
        thread = opened["thread"]["id"]
        turn = await client.call("turn/start", {
            "threadId": thread, "input": [{"type": "text", "text": prompt}]})
        said = json.dumps([thread, turn["turn"]["id"]])
        pathlib.Path(folder, "begun.part").write_text(said)
        pathlib.Path(folder, "begun.part").rename(pathlib.Path(folder, NAME))
        await asyncio.sleep(3600)

_link = json.loads(pathlib.Path(os.environ["CODEX_JUPYTER_LINK"]).read_text())
_task = asyncio.ensure_future(live(_link, FOLDER, "hang"))
"""


@pytest.fixture
def kernel_id(server: Jupyter) -> Iterator[str]:
    kernel_id = server.start_kernel()
    yield kernel_id
    if kernel_id in {kernel["id"] for kernel in server.call("GET", "kernels")}:
        server.call("DELETE", f"kernels/{kernel_id}")


async def run(server: Jupyter, kernel_id: str, code: str) -> None:
    """Run code in a kernel as a front end does."""
    path = server.runtime / f"kernel-{kernel_id}.json"
    client = AsyncKernelClient(connection_file=str(path))
    client.load_connection_file()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        reply: Any = await client.execute_interactive(
            code, timeout=60, output_hook=lambda message: None
        )
        assert reply["content"]["status"] == "ok", reply["content"]
    finally:
        client.stop_channels()
        client.context.destroy(linger=0)


async def begin_turn(server: Jupyter, kernel_id: str) -> tuple[str, str]:
    """Let a real kernel connect by its link and begin a turn that lasts."""
    begun = server.workspace / f"begun-{kernel_id}"
    begun.unlink(missing_ok=True)
    code = _IN_KERNEL.replace("FOLDER", repr(str(server.workspace)))
    await run(server, kernel_id, code.replace("NAME", repr(begun.name)))
    await until(begun.exists, "the kernel has begun a turn")
    thread_id, turn_id = json.loads(begun.read_text())
    return thread_id, turn_id


async def watch(page: Talk, thread_id: str) -> None:
    await page.ask("thread/resume", {"threadId": thread_id})


async def status_of(page: Talk, ids: tuple[str, str]) -> bool:
    seen = await page.ask("turn/watch", {"threadId": ids[0], "turnId": ids[1]})
    return bool(seen["running"])


# The file.


async def test_a_kernel_finds_a_private_file_with_its_own_token(
    server: Jupyter, kernel_id: str
) -> None:
    [path] = server.link_files(kernel_id)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    link = json.loads(path.read_text())
    assert link == {
        "url": f"ws://{server.host}/user/x%40y/codex/kernel",
        "token": link["token"],
        "kernelId": kernel_id,
        "ca": None,
    }
    assert len(link["token"]) >= 43
    seen = server.workspace / "seen.json"
    await run(
        server,
        kernel_id,
        "import json, os, pathlib\n"
        f"pathlib.Path({str(seen)!r}).write_text(json.dumps("
        "{k: v for k, v in os.environ.items() if k.startswith('CODEX_JUPYTER_')}))",
    )
    found = json.loads(seen.read_text())
    assert found["CODEX_JUPYTER_LINK"] == str(path)
    assert found["CODEX_JUPYTER_KERNEL_ID"] == kernel_id
    assert link["token"] not in seen.read_text() + server.log


async def test_a_restart_renews_the_link_and_kills_the_old_one_at_once(
    server: Jupyter, kernel_id: str
) -> None:
    old, [old_path] = server.link(kernel_id), server.link_files(kernel_id)
    async with server.kernel(kernel_id) as talk:
        await in_thread(server.call, "POST", f"kernels/{kernel_id}/restart")
        await talk.finished()
    new = server.link(kernel_id)
    assert new["token"] != old["token"]
    assert not old_path.exists()
    with pytest.raises(PeerClosedError, match="403"):
        await open_ws(old["url"], {"Authorization": f"codex-kernel {old['token']}"})
    async with server.kernel(kernel_id) as talk:
        assert "data" in await talk.ask("thread/list", {})


async def test_a_kernel_that_was_shut_down_leaves_no_link(server: Jupyter) -> None:
    kernel_id = server.start_kernel()
    link = server.link(kernel_id)
    await in_thread(server.call, "DELETE", f"kernels/{kernel_id}")
    assert server.link_files(kernel_id) == []
    with pytest.raises(PeerClosedError, match="403"):
        await open_ws(link["url"], {"Authorization": f"codex-kernel {link['token']}"})


@pytest.mark.parametrize(
    ("local", "ip", "base", "url"),
    [
        ("http://127.0.0.1:8888/lab?token=x", "localhost", "/", "ws://127.0.0.1:8888/codex/kernel"),
        ("http://127.0.0.1:1/", "0.0.0.0", "/a%40b/", "ws://127.0.0.1:1/a%40b/codex/kernel"),
        ("https://127.0.0.1:1/", "", "/", "wss://127.0.0.1:1/codex/kernel"),
        ("http://127.0.0.1:1/", "10.1.2.3", "/", "ws://10.1.2.3:1/codex/kernel"),
        ("http://[::1]:1/", "::", "/", "ws://[::1]:1/codex/kernel"),
        ("http://[::1]:1/", "fe80::7", "/", "ws://[fe80::7]:1/codex/kernel"),
        ("http+unix://%2Frun%2Fj.sock/", "localhost", "/", None),
    ],
)
def test_the_address_for_kernels(local: str, ip: str, base: str, url: str | None) -> None:
    assert kernel_url(local, ip, base) == url


async def test_a_kernel_of_a_server_with_tls_believes_that_server_only(
    tmp_path: Path, model: FakeModelInThread
) -> None:
    (tmp_path / "home").mkdir()
    configure(tmp_path, model)
    key, certificate = make_certificate(tmp_path, "somewhere")
    files = (f"--ServerApp.certfile={certificate}", f"--ServerApp.keyfile={key}")
    with jupyter_server(tmp_path, *files, certificate=certificate) as server:
        kernel_id = server.start_kernel()
        link = server.link(kernel_id)
        assert link["url"] == f"wss://{server.host}/codex/kernel"
        assert link["ca"] == str(certificate)
        async with server.kernel(kernel_id) as kernel:
            assert "data" in await kernel.ask("thread/list", {})


# What a kernel may.


async def test_the_answer_of_a_kernel_is_refused(server: Jupyter, kernel_id: str) -> None:
    """Nor is it asked: neither by a request nor by a notification."""
    async with server.page() as page, server.kernel(kernel_id) as kernel:
        thread_id = await kernel.start_thread(server.workspace, approvalPolicy="untrusted")
        turn_id = await kernel.start_turn(thread_id, "run: touch made-by-kernel")
        request: Json = (await page.told("serverRequest/opened"))["request"]
        answer = {
            "requestId": request["requestId"],
            "digest": request.get("digest"),
            "decision": "accept",
        }
        refusal = await kernel.refused("serverRequest/answer", answer)
        assert refusal.code == -32600
        assert "may not answer" in refusal.message
        await kernel.refused("serverRequest/list", {})
        forged = {"decision": "accept", "digest": request.get("digest")}
        await kernel.send(
            {"id": request["requestId"], "result": forged}, {"id": 1, "result": forged}
        )
        assert kernel.requests() == []
        assert not (server.workspace / "made-by-kernel").exists()
        assert await page.ask("serverRequest/answer", {**answer, "decision": "decline"}) == {
            "status": "ok"
        }
        await kernel.turn_end(turn_id)
        assert not (server.workspace / "made-by-kernel").exists()


async def test_a_frame_of_a_kernel_above_the_cap_ends_its_connection(
    server: Jupyter, kernel_id: str
) -> None:
    async with server.kernel(kernel_id) as kernel:
        await kernel.send({"id": 5, "method": "x", "params": "y" * (4 * 1024 * 1024)})
        await kernel.finished()
        assert kernel._streams._connection.close_code == 1009  # pyright: ignore[reportAttributeAccessIssue]


# What ends with it.


async def test_an_interrupt_stops_the_turns_of_that_kernel_only(server: Jupyter) -> None:
    one, two = server.start_kernel(), server.start_kernel()
    async with server.page() as page, server.kernel(one) as first, server.kernel(two) as second:
        turns: list[tuple[str, str]] = []
        for talk in (first, first, second, page):
            thread_id = await talk.start_thread(server.workspace)
            turns.append((thread_id, await talk.start_turn(thread_id, "hang")))
            await talk.told("item/agentMessage/delta", threadId=thread_id)
        await in_thread(server.call, "POST", f"kernels/{one}/interrupt")
        for _, turn_id in turns[:2]:
            assert (await first.turn_end(turn_id))["status"] == "interrupted"
        assert [await status_of(page, ids) for ids in turns] == [False, False, True, True]
        for thread_id, turn_id in turns[2:]:
            await page.ask("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})
    for kernel_id in (one, two):
        await in_thread(server.call, "DELETE", f"kernels/{kernel_id}")


@pytest.mark.parametrize("end", ["kill", "restart", "shutdown"])
async def test_the_end_of_a_kernel_ends_its_turns_within_five_seconds(
    server: Jupyter, kernel_id: str, end: str
) -> None:
    """Steps: 1. a real kernel begins a turn; 2. it ends; 3. a page hears that the turn ended.

    The limit is that of every wait of `Talk`: five seconds.
    """
    async with server.page() as page:
        thread_id, turn_id = await begin_turn(server, kernel_id)
        await watch(page, thread_id)
        assert await status_of(page, (thread_id, turn_id))
        match end:
            case "kill":
                os.kill(server.kernel_pid(kernel_id), signal.SIGKILL)
            case "restart":
                await in_thread(server.call, "POST", f"kernels/{kernel_id}/restart")
            case _:
                await in_thread(server.call, "DELETE", f"kernels/{kernel_id}")
        assert (await page.turn_end(turn_id))["status"] == "interrupted"
        assert not await status_of(page, (thread_id, turn_id))


async def test_a_kernel_that_was_killed_and_restarted_by_itself_has_a_new_link(
    server: Jupyter, kernel_id: str
) -> None:
    old = server.link(kernel_id)
    os.kill(server.kernel_pid(kernel_id), signal.SIGKILL)

    def is_renewed() -> bool:
        files = server.link_files(kernel_id)
        return len(files) == 1 and files[0].read_text() != json.dumps(old)

    await until(is_renewed, "the server has restarted the kernel")
    with pytest.raises(PeerClosedError, match="403"):
        await open_ws(old["url"], {"Authorization": f"codex-kernel {old['token']}"})
    async with server.kernel(kernel_id) as kernel:
        assert "data" in await kernel.ask("thread/list", {})


async def test_a_connection_that_drops_may_come_back_and_its_turns_go_on(
    server: Jupyter, kernel_id: str
) -> None:
    async with server.page() as page:
        async with server.kernel(kernel_id) as kernel:
            thread_id = await kernel.start_thread(server.workspace)
            turn_id = await kernel.start_turn(thread_id, "hang")
            await kernel.told("item/agentMessage/delta")
        with anyio.fail_after(30):
            async with server.kernel(kernel_id) as kernel:
                assert await status_of(page, (thread_id, turn_id))
                await kernel.ask("thread/resume", {"threadId": thread_id})
                await kernel.ask("turn/interrupt", {"threadId": thread_id, "turnId": turn_id})
                await kernel.turn_end(turn_id)


async def test_a_kernel_that_stays_away_loses_its_turns(server: Jupyter, kernel_id: str) -> None:
    """Its process lives, but nobody can run the tools of its turns or show them in its cell."""
    async with server.page() as page:
        link = server.link(kernel_id)
        headers = {"Authorization": f"codex-kernel {link['token']}"}
        async with talk_to(link["url"], headers) as kernel:
            thread_id = await kernel.start_thread(server.workspace)
            turn_id = await kernel.start_turn(thread_id, "hang")
            await kernel.told("item/agentMessage/delta")
        await watch(page, thread_id)
        assert await status_of(page, (thread_id, turn_id))
        await until(
            lambda: any(done["turn"]["id"] == turn_id for done in page.notices("turn/completed")),
            "its turn has ended",
        )
        assert Path(f"/proc/{server.kernel_pid(kernel_id)}").exists()
