"""The methods that work on whole threads: copies, names, the archive, their settings and memory."""

from collections.abc import Awaitable, Callable
from typing import Any

from codex_jupyter.core.thread_moves import ThreadMoves
from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.errors import InvalidIdError, InvalidRequestError, OutOfRangeError
from codex_jupyter.ids import ThreadId, new_turn_id, parse_thread_id, parse_turn_id
from codex_jupyter.protocol.ops import Compact, Submission, UserShell
from codex_jupyter.protocol.thread_requests import (
    ThreadArchiveParams,
    ThreadCompactParams,
    ThreadDeleteParams,
    ThreadForkParams,
    ThreadInjectParams,
    ThreadLoadedListParams,
    ThreadNameParams,
    ThreadRevertParams,
    ThreadRollbackParams,
    ThreadSettingsParams,
    ThreadShellParams,
    ThreadUnarchiveParams,
    ThreadUndoParams,
    ThreadUnsubscribeParams,
)
from codex_jupyter.rollout.cutting import Cut
from codex_jupyter.rpc import Reply
from codex_jupyter.server.asked import options_of, overrides_of
from codex_jupyter.server.opened import opened_shape
from codex_jupyter.server.params import read_params
from codex_jupyter.server.rights import check_config, require_owner
from codex_jupyter.server.submitting import chosen_turn_id
from codex_jupyter.server.subscriptions import Connection, Subscriptions
from codex_jupyter.server.thread_sources import ThreadSources, check_items
from codex_jupyter.server.turn_pages import newest

__all__ = ["ThreadHandlers"]

Json = dict[str, Any]
Method = Callable[[Connection, Any], Awaitable[Any]]

_MAX_SHELL_SECONDS = 3600.0


class ThreadHandlers:
    """Thin coroutines over the thread manager."""

    def __init__(
        self,
        threads: ThreadManager,
        moves: ThreadMoves,
        subscriptions: Subscriptions,
        sources: ThreadSources,
    ) -> None:
        self._threads = threads
        self._moves = moves
        self._subscriptions = subscriptions
        self._sources = sources
        self.methods: dict[str, Method] = {
            "thread/fork": self._fork,
            "thread/rollback": self._rollback,
            "thread/revert": self._revert,
            "thread/loaded/list": self._loaded_list,
            "thread/name/set": self._name,
            "thread/archive": self._archive,
            "thread/unarchive": self._unarchive,
            "thread/delete": self._delete,
            "thread/unsubscribe": self._unsubscribe,
            "thread/compact/start": self._compact,
            "thread/inject_items": self._inject,
            "thread/undo": self._undo,
            "thread/settings/update": self._settings,
            "thread/shellCommand": self._shell,
        }

    async def _fork(self, connection: Connection, params: Any) -> Reply:
        asked = read_params(ThreadForkParams, params)
        check_config(connection.rights, asked.config)
        source_id = await self._sources.named(asked.thread_id, asked.path)
        chosen = None if asked.new_thread_id is None else parse_thread_id(asked.new_thread_id)
        if asked.last_turn_id is not None and asked.before_turn_id is not None:
            raise InvalidRequestError("`beforeTurnId` cannot be combined with `lastTurnId`")
        session = await self._threads.fork(
            source_id,
            options_of(asked),
            cut=Cut(_stored_id(asked.last_turn_id), _stored_id(asked.before_turn_id)),
            thread_id=chosen,
            ephemeral=asked.ephemeral,
        )
        self._subscriptions.subscribe(connection, session.thread_id)
        with_turns = not asked.exclude_turns
        return Reply(
            opened_shape(self._threads, session, include_turns=with_turns),
            then=lambda: self._threads.announce(session, include_turns=with_turns),
        )

    async def _rollback(self, connection: Connection, params: Any) -> Json:
        require_owner(connection.rights, "take turns back")
        asked = read_params(ThreadRollbackParams, params)
        session = self._threads.get(parse_thread_id(asked.thread_id))
        await session.edits.roll_back(asked.num_turns)
        return {"thread": self._threads.shape(session, include_turns=True)}

    async def _revert(self, connection: Connection, params: Any) -> Json:
        require_owner(connection.rights, "take turns back")
        asked = read_params(ThreadRevertParams, params)
        session = self._threads.get(parse_thread_id(asked.thread_id))
        await session.edits.revert(asked.before_turn_id)
        thread = self._threads.shape(session, include_turns=True)
        return {"thread": thread, **newest(session.state.transcript)}

    async def _loaded_list(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(ThreadLoadedListParams, params)
        ids = sorted(self._threads.loaded)
        if asked.cursor is not None:
            after = _cursor(asked.cursor)
            ids = [thread_id for thread_id in ids if thread_id > after]
        limit = len(ids) if asked.limit is None else max(1, asked.limit)
        return {"data": ids[:limit], "nextCursor": ids[limit - 1] if len(ids) > limit else None}

    async def _name(self, _connection: Connection, params: Any) -> Reply:
        asked = read_params(ThreadNameParams, params)
        tell = await self._moves.rename(parse_thread_id(asked.thread_id), asked.name)
        return Reply({}, then=tell)

    async def _archive(self, connection: Connection, params: Any) -> Reply:
        require_owner(connection.rights, "move threads")
        asked = read_params(ThreadArchiveParams, params)
        return Reply({}, then=await self._moves.archive(parse_thread_id(asked.thread_id)))

    async def _unarchive(self, connection: Connection, params: Any) -> Reply:
        require_owner(connection.rights, "move threads")
        asked = read_params(ThreadUnarchiveParams, params)
        thread, tell = await self._moves.unarchive(parse_thread_id(asked.thread_id))
        return Reply({"thread": thread}, then=tell)

    async def _delete(self, connection: Connection, params: Any) -> Reply:
        require_owner(connection.rights, "delete threads")
        asked = read_params(ThreadDeleteParams, params)
        return Reply({}, then=await self._moves.delete(parse_thread_id(asked.thread_id)))

    async def _unsubscribe(self, connection: Connection, params: Any) -> Json:
        asked = read_params(ThreadUnsubscribeParams, params)
        thread_id = parse_thread_id(asked.thread_id)
        if thread_id not in self._threads.loaded:
            return {"status": "notLoaded"}
        heard = self._subscriptions.unsubscribe(connection, thread_id)
        if asked.unload and not self._subscriptions.is_heard(thread_id):
            await self._threads.close(thread_id)
        return {"status": "unsubscribed" if heard else "notSubscribed"}

    async def _compact(self, _connection: Connection, params: Any) -> Reply:
        asked = read_params(ThreadCompactParams, params)
        session = self._threads.get(parse_thread_id(asked.thread_id))
        turn_id, is_chosen = chosen_turn_id(asked.turn_id)
        accepted = await session.submit(Submission(turn_id, Compact(), is_chosen))
        return Reply({}, then=accepted.start)

    async def _inject(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(ThreadInjectParams, params)
        if not asked.items:
            raise InvalidRequestError("items must not be empty")
        check_items(asked.items, "items")
        await self._threads.get(parse_thread_id(asked.thread_id)).inject(asked.items)
        return {}

    async def _undo(self, connection: Connection, params: Any) -> Json:
        require_owner(connection.rights, "take patches back")
        asked = read_params(ThreadUndoParams, params)
        turn_id, files = await self._threads.get(parse_thread_id(asked.thread_id)).edits.undo()
        return {"turnId": turn_id, "files": files}

    async def _settings(self, _connection: Connection, params: Any) -> Reply:
        asked = read_params(ThreadSettingsParams, params)
        session = self._threads.get(parse_thread_id(asked.thread_id))
        session.update_settings(overrides_of(asked))
        return Reply({}, then=session.tell_settings)

    async def _shell(self, connection: Connection, params: Any) -> Reply:
        asked = read_params(ThreadShellParams, params)
        # Nobody is asked about such a command, so whoever may not agree may not order it.
        require_owner(connection.rights, "run the user's commands")
        if not asked.command.strip():
            raise InvalidRequestError("command must not be empty")
        session = self._threads.get(parse_thread_id(asked.thread_id))
        if (asked.timeout_ms or 0) < 0:
            raise OutOfRangeError(
                f"thread/shellCommand timeoutMs must be non-negative, got {asked.timeout_ms}"
            )
        timeout = (asked.timeout_ms or 0) / 1000 or _MAX_SHELL_SECONDS
        op = UserShell(asked.command, min(max(timeout, 0.001), _MAX_SHELL_SECONDS))
        accepted = await session.submit(Submission(new_turn_id(), op, chosen_by_caller=False))
        return Reply({}, then=accepted.start)


def _stored_id(text: str | None) -> str | None:
    """Return a turn id as it is stored; those of old files may be any string."""
    if text is None:
        return None
    try:
        return parse_turn_id(text)
    except InvalidIdError:
        return text


def _cursor(text: str) -> ThreadId:
    try:
        return parse_thread_id(text)
    except InvalidIdError:
        raise InvalidRequestError(f"invalid cursor: {text[:100]}") from None
