"""The methods around messages that wait, a thread's metadata, and a running turn's settings."""

from collections.abc import Awaitable, Callable
from typing import Any

from codex_jupyter.core.session import Session
from codex_jupyter.core.thread_moves import ThreadMoves
from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.ids import new_item_id, parse_thread_id, same_turn_id
from codex_jupyter.protocol.items import UserInput
from codex_jupyter.protocol.ops import TurnOverrides
from codex_jupyter.protocol.queue_requests import (
    QueueAddParams,
    QueueDeleteParams,
    QueueListParams,
    QueueReorderParams,
    QueueStartParams,
    QueueUpdateParams,
    ThreadMetadataParams,
    TurnSettingsParams,
)
from codex_jupyter.rpc import Reply
from codex_jupyter.server.paging import page_of
from codex_jupyter.server.params import check_input, read_params
from codex_jupyter.server.queued_turns import Queued, QueuedTurns
from codex_jupyter.server.submitting import begun_turn
from codex_jupyter.server.subscriptions import Connection

__all__ = ["QueueHandlers"]

Json = dict[str, Any]
Method = Callable[[Connection, Any], Awaitable[Any]]


class QueueHandlers:
    """Thin coroutines over the queues."""

    def __init__(self, threads: ThreadManager, moves: ThreadMoves, queues: QueuedTurns) -> None:
        self._threads = threads
        self._moves = moves
        self._queues = queues
        self.methods: dict[str, Method] = {
            "thread/queue/add": self._add,
            "thread/queue/list": self._list,
            "thread/queue/update": self._update,
            "thread/queue/delete": self._delete,
            "thread/queue/reorder": self._reorder,
            "thread/queue/start": self._start,
            "thread/metadata/update": self._metadata,
            "turn/settings/update": self._turn_settings,
        }

    async def _add(self, connection: Connection, params: Any) -> Reply:
        asked = read_params(QueueAddParams, params)
        session = self._session(asked.thread_id)
        queued = Queued(
            new_item_id(),
            _input(asked.input),
            asked.client_user_message_id,
            asked.responsesapi_client_metadata,
            connection.rights.kernel_id,
        )
        start = await self._queues.add(session, queued)
        return Reply({"queuedSubmission": _shown(queued)}, then=start)

    async def _list(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(QueueListParams, params)
        entries = self._queues.entries(self._session(asked.thread_id))
        page, following = page_of(entries, asked.cursor, asked.limit, "queued submissions")
        return {"data": [_shown(queued) for queued in page], "nextCursor": following}

    async def _update(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(QueueUpdateParams, params)
        changes: Json = {"input": _input(asked.input)}
        if asked.responsesapi_client_metadata is not None:
            changes["metadata"] = asked.responsesapi_client_metadata
        session = self._session(asked.thread_id)
        queued = self._queues.update(session, asked.queued_submission_id, **changes)
        return {"queuedSubmission": _shown(queued)}

    async def _delete(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(QueueDeleteParams, params)
        session = self._session(asked.thread_id)
        return {"deleted": self._queues.delete(session, asked.queued_submission_id)}

    async def _reorder(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(QueueReorderParams, params)
        self._queues.reorder(self._session(asked.thread_id), asked.queued_submission_ids)
        return {}

    async def _start(self, _connection: Connection, params: Any) -> Reply:
        asked = read_params(QueueStartParams, params)
        session = self._session(asked.thread_id)
        accepted = await self._queues.start(session, asked.queued_submission_id)
        return Reply({"turn": begun_turn(accepted.turn_id)}, then=accepted.start)

    async def _metadata(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(ThreadMetadataParams, params)
        thread_id = parse_thread_id(asked.thread_id)
        if asked.git_info is None:
            raise InvalidRequestError("thread metadata update must include at least one field")
        if not asked.git_info.model_fields_set:
            raise InvalidRequestError("gitInfo must include at least one field")
        stated = asked.git_info.model_fields_set
        changes = {
            name: value
            for field, name, value in (
                ("sha", "sha", asked.git_info.sha),
                ("branch", "branch", asked.git_info.branch),
                ("origin_url", "originUrl", asked.git_info.origin_url),
            )
            if field in stated
        }
        return {"thread": await self._moves.update_git(thread_id, changes)}

    async def _turn_settings(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(TurnSettingsParams, params)
        active = self._session(asked.thread_id).active
        if active is None or not same_turn_id(asked.turn_id, active.turn_id):
            return {"status": "targetUnavailable"}
        overrides = TurnOverrides(
            model=asked.model,
            effort=asked.effort,
            summary=asked.summary,
            approvals_reviewer=asked.approvals_reviewer,
        )
        return {"status": "applied" if active.change(overrides) else "targetUnavailable"}

    def _session(self, thread_id: str) -> Session:
        return self._threads.get(parse_thread_id(thread_id))


def _input(given: list[UserInput]) -> tuple[UserInput, ...]:
    if not given:
        raise InvalidRequestError("input must not be empty")
    check_input(given)
    return tuple(given)


def _shown(queued: Queued) -> Json:
    return {
        "id": queued.id,
        "input": [entry.wire() for entry in queued.input],
        "clientUserMessageId": queued.client_message_id,
        "responsesapiClientMetadata": queued.metadata,
    }
