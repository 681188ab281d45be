"""A core whose turns are maps on Dask clusters: it speaks the app server's methods of delegates.

So a map is driven, shown, waited for and stopped by what does that for delegates of this kernel.
"""

import atexit
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.abc

from codex_jupyter.client.aio import CodexClient
from codex_jupyter.embedding import CoreThread
from codex_jupyter.errors import NoActiveTurnError, RemoteError
from codex_jupyter.protocol.jsonrpc import METHOD_NOT_FOUND
from codex_jupyter.rpc import Peer, Reply
from codex_jupyter.transports.streams import memory_pair

if TYPE_CHECKING:
    from codex_jupyter.notebook.cluster_map import ClusterMap

__all__ = ["ClusterCore"]

Json = dict[str, Any]

LEAVE_LIMIT: Final = 3.0
"""Seconds that maps get to stop their workers when the kernel exits."""


class ClusterCore:
    """The maps of this kernel, on a loop in a thread of their own. One per kernel.

    Args:
        hear: Takes every notification, on that loop.
    """

    def __init__(self, hear: Callable[[str, Json], None]) -> None:
        self._maps: dict[str, ClusterMap] = {}
        self._tasks: anyio.abc.TaskGroup | None = None
        self._peer: Peer | None = None
        self.thread = CoreThread(self._connect)
        self.thread.listen_all(hear)
        atexit.register(self.close)

    def enlist(self, host_id: str, mapped: "ClusterMap") -> None:
        """Let delegate/start for the thread ``host_id`` mean this map; from any thread."""
        self._maps[host_id] = mapped

    def strike_off(self, host_id: str) -> None:
        """Forget a map whose turn has ended, or was stopped before it began; from any thread."""
        self._maps.pop(host_id, None)

    def close(self) -> None:
        """Stop every map and end; waits."""
        atexit.unregister(self.close)
        with suppress(TimeoutError):
            self.thread.post(self._stop_all).exception(2 * LEAVE_LIMIT)
        self.thread.close()

    async def _stop_all(self, _client: CodexClient) -> None:
        for host_id, mapped in self._maps.items():
            mapped.stop(host_id)
        with anyio.move_on_after(LEAVE_LIMIT):
            for mapped in list(self._maps.values()):
                await mapped.ended.wait()

    @asynccontextmanager
    async def _connect(self) -> AsyncGenerator[CodexClient]:
        ours, theirs = memory_pair()
        self._peer = Peer(theirs, on_request=self._asked, on_notification=_nothing)
        async with anyio.create_task_group() as self._tasks:
            self._tasks.start_soon(self._peer.run)
            async with CodexClient.open(ours, answer=_no_questions) as client:
                yield client
            self._tasks.cancel_scope.cancel()

    async def _asked(self, method: str, params: Any, _request_id: str | int) -> Any:
        match method:
            case "initialize" | "thread/unsubscribe":
                return {}
            case "delegate/start":
                return self._start(params)
            case "delegate/add":
                self._map(params).add(params["tasks"])
                return {"tasks": []}
            case "delegate/close":
                self._map(params).close()
                return {}
            case "turn/interrupt":
                self._map(params).stop(params["threadId"])
                return {}
            case _:
                raise RemoteError(METHOD_NOT_FOUND, f"a cluster does not know `{method}`")

    def _start(self, params: Json) -> Reply:
        host_id, turn_id = params["hostThreadId"], params["turnId"]
        mapped = self._maps[host_id]

        def begin() -> None:
            assert self._tasks is not None  # noqa: S101 - whoever asks is connected
            self._tasks.start_soon(self._run, host_id, mapped)

        result = {
            "thread": {"id": host_id},
            "turn": {"id": turn_id, "status": "inProgress", "items": []},
            "tasks": [],
        }
        return Reply(result, then=begin)

    async def _run(self, host_id: str, mapped: "ClusterMap") -> None:
        """Do a map, hearing its workers meanwhile."""
        assert self._peer is not None  # noqa: S101 - whoever asks is connected
        mapped.listen(self.thread.call_soon, self._heard)
        try:
            await mapped.run(self._peer.notify)
        finally:
            self.strike_off(host_id)
            mapped.ended.set()
            if not any(other.topic == mapped.topic for other in self._maps.values()):
                mapped.unlisten()
        await mapped.forget()

    def _heard(self, told: Json) -> None:
        """Take a batch of a worker's, for whichever map it is."""
        if (mapped := self._maps.get(str(told.get("host")))) is not None:
            mapped.hear(told["thread"], told["told"])

    def _map(self, params: Json) -> "ClusterMap":
        for mapped in self._maps.values():
            if mapped.has(params["threadId"]):
                return mapped
        raise NoActiveTurnError("interrupt")


async def _no_questions(method: str, _params: Json, _request_id: str | int) -> Json:
    raise RemoteError(METHOD_NOT_FOUND, f"a cluster does not ask `{method}`")


def _nothing(_method: str, _params: Any) -> None:
    """Take nothing: no client tells a cluster anything."""
