"""One server, a fake model and two clients that come and go, driven from outside their loop."""

import tempfile
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
from anyio.from_thread import BlockingPortal, start_blocking_portal

from codex_jupyter.server.app import AppServer
from tests.behaviour.talk import Json, RefusedError, Talk, connect, serving, write_config
from tests.fake_model import Answer, FakeModel, say

__all__ = ["Conversation", "Sent"]

LIMIT = 40.0
"""Seconds any wait may last; it takes milliseconds unless something hangs."""


@dataclass
class Sent:
    """A request that was sent and not waited for."""

    talk: Talk
    request_id: int
    method: str
    params: Json
    error: RefusedError | None = None
    result: Json = field(default_factory=dict[str, Any])


class Conversation:
    """The world of one run. Every method is called from the test's thread."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.home, self.workspace = folder / "home", folder / "workspace"
        self.workspace.mkdir()
        self.plans: deque[Answer] = deque()
        self._portal: BlockingPortal = self._stack.enter_context(start_blocking_portal())
        enter = self._portal.wrap_async_context_manager
        self.fake: FakeModel = self._stack.enter_context(enter(FakeModel(self._answer)))
        write_config(self.home, self.fake.base_url, stream_max_retries=2)
        self._server_stack = self._stack.enter_context(ExitStack())
        self.server: AppServer = self._server_stack.enter_context(enter(serving(self.home)))
        self.steady: Talk = self._server_stack.enter_context(
            enter(connect(self.server, eventSequences=True))
        )
        opened = self.ask(self.steady, "thread/start", {"cwd": str(self.workspace)})
        self.thread_id: str = opened["thread"]["id"]
        self.epoch: str = opened["epoch"]
        self.sent: list[Sent] = []
        self._fickle_stack = ExitStack()
        self.fickle: Talk | None = None
        self.fickle_heard: list[Json] = []
        self.snapshot_at = 0
        """Number of the last event that the second client knows from a snapshot only."""

    def _answer(self, _body: Json) -> Answer:
        return self.plans.popleft() if self.plans else say("nothing more to say")

    def call(self, act: Any, *args: Any) -> Any:
        """Run a coroutine function on the loop, within the limit."""

        async def within() -> Any:
            with anyio.fail_after(LIMIT):
                return await act(*args)

        return self._portal.call(within)

    def ask(self, talk: Talk, method: str, params: Json) -> Json:
        return self.call(talk.ask, method, params)

    def send(self, talk: Talk, method: str, **params: Any) -> Sent:
        """Send a request about the thread and do not wait for its answer."""
        whole = {"threadId": self.thread_id, **params}
        sent = Sent(talk, self.call(talk.request, method, whole), method, whole)
        self.sent.append(sent)
        return sent

    def collect(self, sent: Sent) -> Sent:
        try:
            sent.result = self.call(sent.talk.response, sent.request_id)
        except RefusedError as error:
            sent.error = error
        return sent

    def breathe(self, steps: int) -> None:
        """Let the loop go round some times, wherever that leads."""

        async def rounds() -> None:
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()

        self.call(rounds)

    def leave(self) -> None:
        """Let the second client lose its connection, keeping what it has heard."""
        if self.fickle is not None:
            self._fickle_stack.close()
            self.fickle_heard += [m for m in self.fickle.heard if "seq" in m]
            self.fickle = None

    def come_back(self) -> None:
        """Let the second client connect, and go on after what it heard last."""
        enter = self._portal.wrap_async_context_manager
        self._fickle_stack = ExitStack()
        talk: Talk = self._fickle_stack.enter_context(
            enter(connect(self.server, eventSequences=True))
        )
        last = max((m["seq"] for m in self.fickle_heard), default=0)
        place = {"epoch": self.epoch, "sequence": last}
        params = {"threadId": self.thread_id, "after": place}
        resumed = self.ask(talk, "thread/resume", params)
        if not resumed["replayed"]:
            # A snapshot stands for everything up to its number.
            self.fickle_heard = []
            self.snapshot_at = resumed["sequence"]
        self.fickle = talk

    def restart(self) -> Json:
        """End the server, start another, and return the thread as that one reads it."""
        self.leave()
        self._server_stack.close()
        enter = self._portal.wrap_async_context_manager
        with enter(serving(self.home)) as server, enter(connect(server)) as talk:
            params = {"threadId": self.thread_id, "includeTurns": True}
            return self.ask(talk, "thread/read", params)["thread"]

    def close(self) -> None:
        self._fickle_stack.close()
        self._stack.close()
