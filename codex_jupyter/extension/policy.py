"""Answers by the stated policy where no page is: a client of the core like any other."""

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.abc

from codex_jupyter.client.aio import CodexClient
from codex_jupyter.errors import CodexError
from codex_jupyter.notebook.headless import HeadlessPolicy, what_is_asked
from codex_jupyter.server.rights import POLICY
from codex_jupyter.transports.streams import memory_pair

if TYPE_CHECKING:
    from codex_jupyter.server.app import AppServer

__all__ = ["PolicyDesk"]

Json = dict[str, Any]
_log = logging.getLogger(__name__)

_LOOK_EVERY: Final = 0.1
"""Seconds between two looks at whether a page has come."""

_ADVICE: Final = (
    "Open the notebook in a page of this server, or state a policy when the server is started: "
    '--CodexExtension.headless="deny" or "allow RULES"'
)


class PolicyDesk:
    """Hears of every request, and answers those that no page will see.

    A request that opens while a page is connected, or that a page comes for in time, is left to
    the person in front of it, however long that takes.

    Args:
        app: The core.
        policy: What to answer.
        has_page: Tells whether a page is connected now.
        patience: Returns how many seconds to wait for one.
    """

    def __init__(
        self,
        app: "AppServer",
        policy: HeadlessPolicy,
        has_page: Callable[[], bool],
        patience: Callable[[], float],
    ) -> None:
        self._app = app
        self._policy = policy
        self._has_page = has_page
        self._patience = patience
        self._waiting: dict[str, anyio.CancelScope] = {}

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Serve until cancelled; reports that it has started once it hears everything."""
        ours, theirs = memory_pair()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._app.serve, theirs, POLICY)
            async with CodexClient.open(ours) as client:

                def hear(method: str, params: Json) -> None:
                    if method == "serverRequest/opened":
                        tasks.start_soon(self._decide, client, params["request"])
                    elif method == "serverRequest/resolved":
                        self._withdraw(params["requestId"])

                client.listen(None, hear)
                task_status.started()
                await anyio.sleep_forever()

    async def _decide(self, client: CodexClient, request: Json) -> None:
        request_id: str = request["requestId"]
        with anyio.CancelScope() as scope:
            self._waiting[request_id] = scope
            try:
                if not await self._page_comes():
                    await self._answer(client.call, request)
            except CodexError as problem:
                _log.warning("the policy could not answer a request: %s", problem)
            finally:
                self._waiting.pop(request_id, None)

    async def _page_comes(self) -> bool:
        with anyio.move_on_after(self._patience()):
            while not self._has_page():  # noqa: ASYNC110 - pages come as sockets, not as events
                await anyio.sleep(_LOOK_EVERY)
        return self._has_page()

    async def _answer(self, call: Callable[[str, Json], Awaitable[Json]], request: Json) -> None:
        decision = self._policy.decide(request)
        answer: Json = {"requestId": request["requestId"], "digest": request.get("digest")}
        if decision == "fail":
            decision = "cancel"
            self._app.fail_turn(request["threadId"], request["turnId"], _nobody(request))
        if request["kind"] == "question":
            answer["answers"] = {}
        else:
            answer["decision"] = decision
        given = await call("serverRequest/answer", answer)
        _log.info(
            "no page is connected: the policy `%s` answered %s with %s (%s)",
            self._policy,
            what_is_asked(request),
            decision,
            given["status"],
        )

    def _withdraw(self, request_id: str) -> None:
        if (scope := self._waiting.pop(request_id, None)) is not None:
            scope.cancel()


def _nobody(request: Json) -> str:
    return (
        f"the turn asks for approval of {what_is_asked(request)}, but no page is connected to this "
        "Jupyter server, and CodexExtension.headless states no other answer. " + _ADVICE
    )
