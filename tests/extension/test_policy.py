"""Who answers where no page is: the policy that the server was given, and no kernel."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.behaviour.talk import Json
from tests.extension.conftest import configure
from tests.extension.jupyter import Jupyter, jupyter_server, until
from tests.fake_model import FakeModelInThread

pytestmark = pytest.mark.anyio


@contextmanager
def headless(folder: Path, model: FakeModelInThread, *options: str) -> Generator[Jupyter]:
    (folder / "home").mkdir(exist_ok=True)
    configure(folder, model)
    with jupyter_server(folder, *options) as server:
        yield server


async def run_in_kernel(server: Jupyter, prompt: str) -> Json:
    """Start a turn as a kernel does, and return its end."""
    kernel_id = server.start_kernel()
    async with server.kernel(kernel_id) as kernel:
        thread_id = await kernel.start_thread(server.workspace, approvalPolicy="untrusted")
        turn_id = await kernel.start_turn(thread_id, prompt)
        await until(
            lambda: any(done["turn"]["id"] == turn_id for done in kernel.notices("turn/completed")),
            "the turn has ended",
        )
        return await kernel.turn_end(turn_id)


async def test_without_a_policy_the_turn_fails_and_names_the_setting(
    tmp_path: Path, model: FakeModelInThread
) -> None:
    with headless(tmp_path, model) as server:
        turn = await run_in_kernel(server, "run: touch made")
        assert turn["status"] == "failed"
        message = turn["error"]["message"]
        assert "CodexExtension.headless" in message
        assert "touch made" in message
        assert not (server.workspace / "made").exists()
        assert (await run_in_kernel(server, "ask"))["status"] == "failed"
        assert "Traceback" not in server.log


@pytest.mark.parametrize(
    ("policy", "made"),
    [
        ("deny", False),
        pytest.param("allow command:touch", True, marks=pytest.mark.slow),
        pytest.param("allow run_python", False, marks=pytest.mark.slow),
    ],
)
async def test_a_stated_policy_decides(
    tmp_path: Path, model: FakeModelInThread, policy: str, made: bool
) -> None:
    waits = ("--CodexExtension.headless_wait=0.1", f"--CodexExtension.headless={policy}")
    with headless(tmp_path, model, *waits) as server:
        turn = await run_in_kernel(server, "run: touch made")
        assert turn["status"] == "completed"
        assert (server.workspace / "made").exists() == made
        assert (await run_in_kernel(server, "ask"))["status"] == "completed"
        assert f"the policy `{policy}` answered `command` ('touch made')" in server.log
        assert "Traceback" not in server.log


@pytest.mark.slow
async def test_a_page_that_is_there_or_comes_in_time_keeps_the_question(
    tmp_path: Path, model: FakeModelInThread
) -> None:
    """A request that a page saw stays open, even when the page has gone."""
    waits = ("--CodexExtension.headless_wait=30", "--CodexExtension.headless=deny")
    with headless(tmp_path, model, *waits) as server:
        kernel_id = server.start_kernel()
        async with server.kernel(kernel_id) as kernel:
            thread_id = await kernel.start_thread(server.workspace, approvalPolicy="untrusted")
            turn_id = await kernel.start_turn(thread_id, "run: touch made")
            await kernel.told("thread/status/changed", threadId=thread_id)
            await until(
                lambda: any(
                    told["status"].get("activeFlags") == ["waitingOnApproval"]
                    for told in kernel.notices("thread/status/changed")
                ),
                "the turn waits for an answer",
            )
            async with server.page() as page:
                [request] = (await page.ask("serverRequest/list", {}))["data"]
            async with server.page() as page:
                assert (await page.ask("serverRequest/list", {}))["data"] == [request]
                answer = {"requestId": request["requestId"], "digest": request.get("digest")}
                given = await page.ask("serverRequest/answer", {**answer, "decision": "accept"})
                assert given == {"status": "ok"}
            assert (await kernel.turn_end(turn_id))["status"] == "completed"
            assert (server.workspace / "made").exists()
