"""An ACP client over the pipes of `codex-jupyter acp`, made of the library's own client side."""

import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.behaviour.talk import LIMIT, environment

acp = pytest.importorskip("acp", reason="the extra `acp` is not installed")

__all__ = ["Editor", "Question", "editing", "said", "started"]

Json = dict[str, Any]
START_LIMIT = 20.0
"""Seconds for a process to import the library and load its engine on a busy machine."""


@dataclass
class Question:
    """A permission that the agent asks for."""

    session_id: str
    tool_call: Json
    options: list[Json]
    outcome: Json | None = None
    answered: anyio.Event = field(default_factory=anyio.Event)

    def choose(self, option: str) -> None:
        self.outcome = {"outcome": "selected", "optionId": option}
        self.answered.set()

    def dismiss(self) -> None:
        self.outcome = {"outcome": "cancelled"}
        self.answered.set()


class Editor:
    """What an editor hears, in order, and its connection to the agent."""

    def __init__(self) -> None:
        self.agent: Any = None
        self.process: Any = None
        self.heard: list[tuple[str, Json]] = []
        self.questions: list[Question] = []
        self.limit = LIMIT
        """Seconds that a wait may last."""

        self._news = anyio.Event()

    def on_connect(self, conn: Any) -> None:
        """The library's hook; the connection is kept by `editing`."""

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        told = update.model_dump(mode="json", by_alias=True, exclude_none=True)
        self.heard.append((session_id, told))
        self._stir()

    async def request_permission(
        self, session_id: str, tool_call: Any, options: list[Any], **_: Any
    ) -> Any:
        asked = tool_call.model_dump(mode="json", by_alias=True, exclude_none=True)
        choices = [option.model_dump(mode="json", by_alias=True) for option in options]
        question = Question(session_id, asked, choices)
        self.questions.append(question)
        self._stir()
        await question.answered.wait()
        return acp.RequestPermissionResponse.model_validate({"outcome": question.outcome})

    def forget(self) -> None:
        """Forget what was heard and asked."""
        self.heard.clear()
        self.questions.clear()

    def updates(self, session_id: str, kind: str = "") -> list[Json]:
        """Return what one session was told, of one kind if it is named."""
        told = [update for of, update in self.heard if of == session_id]
        return [u for u in told if not kind or u["sessionUpdate"] == kind]

    async def until(self, is_true: Callable[[], Any]) -> Any:
        """Wait until something holds of what was heard; return what it returns."""
        with anyio.fail_after(self.limit):
            while not (found := is_true()):
                await self._news.wait()
        return found

    async def asked(self, n: int = 1) -> Question:
        """Wait for the ``n``-th permission request."""
        await self.until(lambda: len(self.questions) >= n)
        return self.questions[n - 1]

    async def begin(self, cwd: Path) -> Any:
        """Begin a session."""
        return await self.agent.new_session(cwd=str(cwd), mcp_servers=[])

    async def prompt(self, session_id: str, words: str = "Hello") -> str:
        """Say something and return why the turn stopped."""
        with anyio.fail_after(self.limit):
            answer = await self.agent.prompt(session_id=session_id, prompt=[acp.text_block(words)])
        return answer.stop_reason

    async def refused(self, asked: Any) -> Any:
        """Wait for what must be refused, and return the error."""
        with anyio.fail_after(LIMIT):
            try:
                answer = await asked
            except acp.RequestError as error:
                return error
        raise AssertionError(f"not refused: {answer}")

    def _stir(self) -> None:
        self._news.set()
        self._news = anyio.Event()


@asynccontextmanager
async def editing(home: Path, *options: str) -> AsyncGenerator[Editor]:
    """Run the agent in a process of its own and greet it."""
    editor = Editor()
    command = [sys.executable, "-m", "codex_jupyter.cli", *options, "acp"]
    spawned = acp.spawn_agent_process(
        editor, *command, env=environment(home), transport_kwargs={"stderr": None}
    )
    async with spawned as (editor.agent, editor.process):
        with anyio.fail_after(START_LIMIT):
            await editor.agent.initialize(protocol_version=acp.PROTOCOL_VERSION)
        yield editor


@asynccontextmanager
async def started(
    editor: Editor, session_id: str, words: str = "Hello"
) -> AsyncGenerator[list[str]]:
    """Have a prompt answered beside the block; the list gets why it stopped, by its end."""
    reasons: list[str] = []

    async def prompt() -> None:
        reasons.append(await editor.prompt(session_id, words))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(prompt)
        yield reasons


def said(updates: list[Json], kind: str = "agent_message_chunk") -> str:
    """Join the text of messages."""
    return "".join(u["content"]["text"] for u in updates if u["sessionUpdate"] == kind)
