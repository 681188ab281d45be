"""One session of an ACP client: a thread, and the prompt that is being answered in it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import anyio

from codex_jupyter.acp.modes import MODEL, mode_of, mode_state, model_option, settings_of
from codex_jupyter.acp.permissions import permissions_for, read_approval, read_choices
from codex_jupyter.acp.prompts import user_input
from codex_jupyter.acp.updates import TurnUpdates, replayed, thought
from codex_jupyter.client.aio import CodexClient, TurnStream
from codex_jupyter.errors import CodexError, RemoteError, UsageError
from codex_jupyter.ids import new_turn_id
from codex_jupyter.protocol.jsonrpc import METHOD_NOT_FOUND

__all__ = ["Front", "PromptFailedError", "Session"]

Json = dict[str, Any]

_REACHED: Final = "acp/reached"
"""Marks in a turn's stream what was said before a question; travels on no wire."""

_PAGE: Final = 10
"""Turns asked for at once, pictures and all; a message has a limit."""


@dataclass(frozen=True, slots=True)
class Front:
    """What a session needs of its client."""

    tell: Callable[[str, Json], Awaitable[None]]
    """Sends one session update: ``(session id, update)``."""

    ask: Callable[[str, Json, list[Json]], Awaitable[Json]]
    """Asks ``(session id, tool call, options)`` and returns the outcome."""


class PromptFailedError(CodexError):
    """The turn that answers a prompt failed."""

    def __init__(self, error: Json) -> None:
        super().__init__(str(error.get("message") or "the turn failed"))
        self._error = error

    @property
    def data(self) -> Json:
        """What lies behind the sentence, as the app server tells it."""
        return {
            "codexErrorInfo": self._error.get("codexErrorInfo"),
            "details": self._error.get("additionalDetails"),
        }


@dataclass(slots=True)
class _Prompt:
    """A prompt that is being answered."""

    updates: TurnUpdates
    turn_id: str = field(default_factory=new_turn_id)
    stream: TurnStream | None = None
    """There once the server has the turn."""

    is_cancelled: bool = False
    ended: anyio.Event = field(default_factory=anyio.Event)
    marks: dict[int, anyio.Event] = field(default_factory=dict[int, anyio.Event])


class Session:
    """A thread as an ACP client sees it.

    Args:
        client: Knows the server; the thread was started or resumed with it.
        opened: The answer to thread/start or thread/resume.
        front: The ACP client.
        notices: What the person shall be told first.
    """

    def __init__(
        self, client: CodexClient, opened: Json, front: Front, notices: Sequence[str] = ()
    ) -> None:
        self.id: str = opened["thread"]["id"]
        self._client = client
        self._cwd: str = opened["cwd"]
        self._front = front
        self._sandbox: Json = opened["sandbox"]
        self._mode = mode_of(opened)
        self._model: str = opened["model"]
        told = [notice["text"] for notice in opened.get("notices") or ()]
        self._notices = [*told, *notices]
        self._prompt: _Prompt | None = None
        self._questions: dict[str, anyio.CancelScope] = {}
        self._settled: set[str] = set()
        """Ids of what was settled during the prompt: its task may begin only afterwards."""

    @property
    def modes(self) -> Json:
        """The modes there are, and the current one."""
        return mode_state(self._mode)

    async def prompt(self, blocks: Sequence[Json]) -> str:
        """Have a prompt answered; return why it ended: ``end_turn`` or ``cancelled``.

        A caller that is cancelled leaves the turn running.

        Raises:
            UsageError: There is nothing to say, or a prompt is being answered already.
            PromptFailedError: The turn failed.
            CodexError: It could not be started.
        """
        if self._prompt is not None:
            raise UsageError("a prompt is being answered in this session: wait, or cancel it")
        asked = user_input(blocks)
        prompt = self._prompt = _Prompt(TurnUpdates(self._cwd))
        try:
            notices, self._notices = self._notices, []
            for notice in notices:
                await self._front.tell(self.id, thought(f"{notice}\n"))
            if prompt.is_cancelled:
                return "cancelled"
            return _stop_reason(await self._answer_prompt(prompt, asked))
        finally:
            self._prompt = None
            self._settled.clear()
            prompt.ended.set()
            for reached in prompt.marks.values():
                reached.set()

    async def cancel(self) -> None:
        """Stop the prompt that is being answered, if one is; also before it has begun."""
        prompt = self._prompt
        if prompt is not None:
            prompt.is_cancelled = True
            if prompt.stream is not None:
                await self._interrupt(prompt)

    def notice(self, text: str) -> None:
        """Tell the person something with the next prompt."""
        self._notices.append(text)

    async def close(self) -> None:
        """Stop the prompt that is being answered, wait for its end, and unload the thread."""
        if (prompt := self._prompt) is not None:
            await self.cancel()
            await prompt.ended.wait()
        await self._client.call("thread/unsubscribe", {"threadId": self.id, "unload": True})

    async def set_mode(self, mode: str) -> None:
        """Enter another mode; it counts from the next question on.

        Raises:
            UsageError: There is no such mode.
        """
        settings = settings_of(mode, self._sandbox)
        await self._client.call("thread/settings/update", {"threadId": self.id, **settings})
        self._mode = mode

    async def options(self) -> list[Json]:
        """Return what can be chosen beside the mode; without a list of models, nothing."""
        try:
            listed = await self._client.call("model/list", {})
        except RemoteError:
            return []
        return [model_option(self._model, listed["data"])]

    async def set_option(self, option: str, value: str | bool) -> None:
        """Choose another model, from the next turn on.

        Raises:
            UsageError: There is no such option, or no such model.
        """
        known = {shown["id"]: shown for shown in await self.options()}
        if option != MODEL or option not in known:
            raise UsageError(f"there is no option {option!r} to set; there is `{MODEL}`")
        names = [choice["value"] for choice in known[MODEL]["options"]]
        if not isinstance(value, str) or value not in names:
            raise UsageError(f"there is no model {value!r}; there are {', '.join(names)}")
        await self._client.call("thread/settings/update", {"threadId": self.id, "model": value})
        self._model = value

    async def replay(self) -> None:
        """Tell the client the whole thread, oldest turn first."""
        asked: Json = {"threadId": self.id, "sortDirection": "asc", "limit": _PAGE}
        asked["itemsView"] = "full"
        while True:
            page = await self._client.call("thread/turns/list", asked)
            for update in replayed(page["data"], self._cwd):
                await self._front.tell(self.id, update)
            if page["nextCursor"] is None:
                return
            asked["cursor"] = page["nextCursor"]

    async def answer(self, method: str, params: Json, request_id: str) -> Json:
        """Answer a question of the server's by asking the person.

        Raises:
            RemoteError: No prompt is being answered, so nobody would see why it is asked.
        """
        prompt = self._prompt
        if prompt is None or method == "item/tool/call":
            raise RemoteError(METHOD_NOT_FOUND, f"this client does not answer `{method}` now")
        with anyio.CancelScope() as scope:
            self._questions[request_id] = scope
            try:
                if request_id not in self._settled:
                    await self._catch_up(prompt)
                    return await self._ask(prompt, method, params)
            finally:
                del self._questions[request_id]
        # Taken back: the turn has ended, or somebody else has answered. This counts for nothing.
        return {"decision": "cancel", "action": "cancel", "answers": {}}

    def withdraw(self, request_id: str) -> None:
        """Stop asking: the server takes no answer any more."""
        if self._prompt is not None:
            self._settled.add(request_id)
        if (scope := self._questions.get(request_id)) is not None:
            scope.cancel()

    async def _answer_prompt(self, prompt: _Prompt, asked: list[Json]) -> Json:
        """Run the turn to its end; return the turn."""
        params: Json = {"turnId": prompt.turn_id, "input": asked}
        ended: Json = {}
        async with self._client.turn(self.id, params) as stream:
            prompt.stream = stream
            if prompt.is_cancelled:
                await self._interrupt(prompt)
            async for method, told in stream:
                if method == _REACHED:
                    prompt.marks.pop(told["mark"]).set()
                    continue
                for update in prompt.updates.take(method, told):
                    await self._front.tell(self.id, update)
                if method == "turn/completed":
                    ended = told["turn"]
        return ended

    async def _interrupt(self, prompt: _Prompt) -> None:
        try:
            asked = {"threadId": self.id, "turnId": prompt.turn_id}
            await self._client.call("turn/interrupt", asked)
        except RemoteError:
            return  # it has ended by itself

    async def _catch_up(self, prompt: _Prompt) -> None:
        """Wait until the client was told what had been said when the question was asked."""
        if prompt.stream is None:
            return
        mark, reached = len(prompt.marks), anyio.Event()
        while mark in prompt.marks:
            mark += 1
        prompt.marks[mark] = reached
        prompt.stream.put(_REACHED, {"mark": mark})
        await reached.wait()

    async def _ask(self, prompt: _Prompt, method: str, params: Json) -> Json:
        item = prompt.updates.items.get(params.get("itemId") or "")
        chosen: dict[str, str] = {}
        for permission in permissions_for(method, params, item, self._cwd):
            outcome = await self._front.ask(self.id, permission.tool_call, permission.options)
            if permission.question_id is None:
                return read_approval(outcome, params.get("digest"))
            if outcome.get("outcome") != "selected":
                break
            chosen[permission.question_id] = str(outcome.get("optionId"))
        return read_choices(method, params, chosen)


def _stop_reason(turn: Json) -> str:
    match turn["status"]:
        case "completed":
            return "end_turn"
        case "interrupted":
            return "cancelled"
        case _:
            raise PromptFailedError(turn.get("error") or {})
