"""A task as its worker does it, in a core of this process: stopped while it looks for its turn."""

from pathlib import Path
from typing import Any, cast

import anyio
import pytest

from codex_jupyter.client.aio import CodexClient
from codex_jupyter.embedding import open_in_process
from codex_jupyter.errors import RemoteError
from codex_jupyter.ids import new_thread_id
from codex_jupyter.notebook.remote_task import RemoteTask, attempt_id, thread_params
from codex_jupyter.notebook.remote_turn import RemoteTurn
from codex_jupyter.settings import Settings
from tests.fake_model import FakeModel, say
from tests.notebook.kernel_driver import provider_config

pytestmark = pytest.mark.anyio

Json = dict[str, Any]


class StopsAfter:
    """A client that stops a task as soon as one of its calls has been answered."""

    def __init__(self, client: CodexClient, method: str, turn: RemoteTurn) -> None:
        self._client = client
        self._method = method
        self._turn = turn

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def call(self, method: str, params: Json) -> Json:
        answer = await self._client.call(method, params)
        if method == self._method:
            self._turn.stop()
            await anyio.wait_all_tasks_blocked()
        return answer


async def _answers_nothing(method: str, _params: Json, _request_id: str | int) -> Json:
    raise RemoteError(-32601, method)


@pytest.mark.parametrize("method", ["thread/resume", "thread/turns/list"])
async def test_a_stop_while_it_finds_a_turn_that_runs_stops_that_turn(
    tmp_path: Path, method: str
) -> None:
    """It was attached to and never stopped: the stop waited for another beginning."""
    async with FakeModel() as fake:
        fake.add(say("never", deltas=9).hang(after=4))
        (tmp_path / "config.toml").write_text(provider_config(fake.base_url))
        environ = {"CODEX_JUPYTER_HOME": str(tmp_path), "FAKE_KEY": "secret"}
        settings = Settings.load(environ=environ)
        async with open_in_process(settings, answer=_answers_nothing) as client:
            thread_id = str(new_thread_id())
            task: Json = {"input": [{"type": "text", "text": "Go"}], "threadId": thread_id}
            remote = RemoteTask("host", thread_id, task, "deny", "topic")
            params = thread_params(remote, settings)
            await client.call("thread/start", params)
            begun = {"turnId": attempt_id(thread_id, 0), "input": task["input"]}
            await client.call("turn/start", {"threadId": thread_id, **begun})
            await fake.wait_for_hang()
            turn = RemoteTurn(remote, params, lambda _batch: None)
            with anyio.fail_after(10):
                result = await turn.run(cast("CodexClient", StopsAfter(client, method, turn)))
            assert (result["status"], result["turnId"]) == ("interrupted", begun["turnId"])
