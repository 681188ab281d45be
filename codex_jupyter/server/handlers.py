"""Each method of the protocol as one thin coroutine."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from codex_jupyter.core.spoken import Spoken
from codex_jupyter.core.thread_reader import ThreadReader
from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.errors import (
    InvalidRequestError,
    NoActiveTurnError,
    ThreadNotFoundError,
)
from codex_jupyter.ids import parse_thread_id
from codex_jupyter.protocol.ops import Submission, UserTurn
from codex_jupyter.protocol.requests import (
    ThreadListParams,
    ThreadReadParams,
    ThreadResumeParams,
    ThreadStartParams,
    TurnInterruptParams,
    TurnStartParams,
    TurnSteerParams,
)
from codex_jupyter.rollout.store import ListQuery
from codex_jupyter.rpc import Reply
from codex_jupyter.server.asked import options_of, overrides_of
from codex_jupyter.server.kernel_turns import KernelTurns
from codex_jupyter.server.opened import opened_shape, resumed_shape
from codex_jupyter.server.params import (
    check_gate,
    check_input,
    read_params,
    tool_message_of,
    unknown_method,
)
from codex_jupyter.server.rights import check_config
from codex_jupyter.server.submitting import begun_turn, chosen_turn_id, submit_for
from codex_jupyter.server.subscriptions import Connection, Subscriptions
from codex_jupyter.server.thread_sources import ThreadSources

__all__ = ["Handlers"]

Json = dict[str, Any]


class MethodTable(Protocol):
    """Some methods, by name."""

    @property
    def methods(self) -> Mapping[str, Callable[[Connection, Any], Awaitable[Any]]]: ...


class Handlers:
    """The methods after the handshake, for all connections."""

    def __init__(
        self,
        threads: ThreadManager,
        reader: ThreadReader,
        subscriptions: Subscriptions,
        kernels: KernelTurns,
        sources: ThreadSources,
        *others: MethodTable,
    ) -> None:
        self._threads = threads
        self._reader = reader
        self._subscriptions = subscriptions
        self._kernels = kernels
        self._sources = sources
        self._methods: dict[str, Callable[[Connection, Any], Awaitable[Any]]] = {
            "thread/start": self._thread_start,
            "thread/resume": self._thread_resume,
            "thread/read": self._thread_read,
            "thread/list": self._thread_list,
            "turn/start": self._turn_start,
            "turn/steer": self._turn_steer,
            "turn/interrupt": self._turn_interrupt,
        }
        for part in others:
            self._methods |= part.methods

    async def handle(self, connection: Connection, method: str, params: Any) -> Any:
        """Answer one request.

        Raises:
            CodexError: The request was refused; nothing was changed.
        """
        if not connection.experimental:
            check_gate(method, params)
        answer = self._methods.get(method)
        if answer is None:
            raise unknown_method(method)
        return await answer(connection, params)

    async def _thread_start(self, connection: Connection, params: Any) -> Reply:
        asked = read_params(ThreadStartParams, params)
        check_config(connection.rights, asked.config)
        thread_id = None if asked.thread_id is None else parse_thread_id(asked.thread_id)
        session = await self._threads.start(
            options_of(asked),
            thread_id=thread_id,
            dynamic_tools=asked.dynamic_tools or (),
            ephemeral=bool(asked.ephemeral),
        )
        self._subscriptions.subscribe(connection, session.thread_id)
        return Reply(
            opened_shape(self._threads, session), then=lambda: self._threads.announce(session)
        )

    async def _thread_resume(self, connection: Connection, params: Any) -> Any:
        asked = read_params(ThreadResumeParams, params)
        check_config(connection.rights, asked.config)
        if asked.history is not None:
            session = await self._sources.begin(asked.thread_id, asked.history, options_of(asked))
        else:
            thread_id = await self._sources.named(asked.thread_id, asked.path)
            session, _joined = await self._threads.resume(thread_id, options_of(asked))
        # From here to the end there is no await: what is in the snapshot is not sent again, and
        # what comes after it is not missed.
        log, after = session.state.log, asked.after
        missed = None
        if after is not None and after.epoch == log.epoch:
            missed = log.since(after.sequence)
        with_turns = missed is None and not asked.exclude_turns
        resumed = {
            **opened_shape(self._threads, session, include_turns=with_turns),
            **resumed_shape(session.state.transcript, asked.initial_turns_page),
            "replayed": missed is not None,
        }
        tree = [session, *session.kin.descendants()]
        pending = session.state.broker.open_requests

        def go_on() -> None:
            self._subscriptions.replay(connection, missed or ())
            for member in tree:
                self._subscriptions.subscribe(connection, member.thread_id, pending)

        return Reply(resumed, then=go_on)

    async def _thread_read(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(ThreadReadParams, params)
        thread_id = parse_thread_id(asked.thread_id)
        return {"thread": await self._reader.read(thread_id, include_turns=asked.include_turns)}

    async def _thread_list(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(ThreadListParams, params)
        return await self._reader.list(
            ListQuery(
                cursor=asked.cursor,
                limit=asked.limit if asked.limit is not None else 25,
                sort_key=asked.sort_key or "created_at",
                sort_direction=asked.sort_direction or "desc",
                model_providers=tuple(asked.model_providers or ()),
                cwd=tuple(asked.cwd) if isinstance(asked.cwd, list) else asked.cwd,
                archived=bool(asked.archived),
                search_term=asked.search_term,
                source_kinds=tuple(asked.source_kinds or ()),
                parent_id=_id(asked.parent_thread_id),
                ancestor_id=_id(asked.ancestor_thread_id),
            )
        )

    async def _turn_start(self, connection: Connection, params: Any) -> Reply:
        asked = read_params(TurnStartParams, params)
        check_input(asked.input)
        delivered = tool_message_of(asked)
        session = self._threads.get(parse_thread_id(asked.thread_id))
        turn_id, is_chosen = chosen_turn_id(asked.turn_id)
        op = UserTurn(
            tuple(asked.input),
            overrides_of(asked),
            output_schema=asked.output_schema,
            client_message_id=asked.client_user_message_id,
            delivered=delivered,
        )
        accepted = await submit_for(
            connection.rights.kernel_id, self._kernels, session, Submission(turn_id, op, is_chosen)
        )
        return Reply({"turn": begun_turn(accepted.turn_id)}, then=accepted.start)

    async def _turn_steer(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(TurnSteerParams, params)
        check_input(asked.input)
        session = self._threads.get(parse_thread_id(asked.thread_id))
        if session.active_turn_id is not None:
            if not asked.expected_turn_id:
                raise InvalidRequestError("expectedTurnId must not be empty")
            if not asked.input:
                raise InvalidRequestError("input must not be empty")
        spoken = Spoken(tuple(asked.input), asked.client_user_message_id)
        return {"turnId": await session.steer(asked.expected_turn_id, spoken)}

    async def _turn_interrupt(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(TurnInterruptParams, params)
        thread_id = parse_thread_id(asked.thread_id)
        try:
            self._threads.get(thread_id).interrupt(asked.turn_id)
        except (ThreadNotFoundError, NoActiveTurnError):
            # A delegate that waits for its place has ids, but no turn yet.
            if not self._threads.stop_task(thread_id, asked.turn_id):
                raise
        return {}


def _id(text: str | None) -> str | None:
    return None if text is None else parse_thread_id(text)
