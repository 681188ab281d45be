"""The agent as the ACP library sees it: the one file that knows the library's shapes."""

from collections.abc import AsyncGenerator, Collection, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import acp
from acp import schema
from pydantic import BaseModel, TypeAdapter

from codex_jupyter._version import __version__
from codex_jupyter.acp.mcp_servers import mcp_config
from codex_jupyter.acp.session import Front, Session
from codex_jupyter.acp.updates import sendable
from codex_jupyter.client.aio import CodexClient
from codex_jupyter.embedding import open_in_process
from codex_jupyter.errors import CodexError, RemoteError, UsageError
from codex_jupyter.protocol.jsonrpc import METHOD_NOT_FOUND
from codex_jupyter.settings import Settings

__all__ = ["CodexAgent", "open_agent"]

Json = dict[str, Any]

_OPEN_ALREADY: Final = (
    "This session is open already, so it keeps the MCP servers that it was opened with; close it "
    "first to load it with others."
)
_UPDATES: Final = TypeAdapter[Any](schema.SessionNotification)


class CodexAgent:
    """Threads of one core as sessions of one ACP client. Make it with `open_agent`.

    Each method is one of the protocol's, called by the library in a task of its own. What the
    core refuses becomes a JSON-RPC error with the core's code and sentence.

    Args:
        mcp_names: Names of the MCP servers of config.toml.
    """

    def __init__(self, mcp_names: Collection[str] = ()) -> None:
        self._mcp_names = mcp_names
        self._sessions: dict[str, Session] = {}
        self._parents: dict[str, str] = {}
        """Of the threads that run below others: what they ask, the session at the top asks."""

        self._core: CodexClient | None = None
        self._peer: Any = None
        self._front = Front(self._tell, self._ask)

    def on_connect(self, conn: Any) -> None:
        """Note who is asked and told."""
        self._peer = conn

    def use(self, core: CodexClient) -> None:
        """Note the core, and hear which of its questions are settled."""
        self._core = core
        core.listen(None, self._heard)

    async def initialize(self, protocol_version: int, **_: Any) -> schema.InitializeResponse:
        """Say what this agent can do; newer clients are answered with the version spoken here."""
        spoken: Json = {
            "protocolVersion": min(protocol_version, acp.PROTOCOL_VERSION),
            "agentInfo": {
                "name": "codex_jupyter",
                "title": "Codex Jupyter",
                "version": __version__,
            },
            "agentCapabilities": {
                "loadSession": True,
                "promptCapabilities": {"image": True, "embeddedContext": True},
                "mcpCapabilities": {"http": True, "sse": False},
                "sessionCapabilities": {"list": {}, "close": {}},
            },
            "authMethods": [],
        }
        return schema.InitializeResponse.model_validate(spoken)

    async def new_session(
        self, cwd: str, mcp_servers: Sequence[Any] | None = None, **_: Any
    ) -> schema.NewSessionResponse:
        """Begin a thread in a folder."""
        with _refusals():
            config, notices = self._mcp_config(mcp_servers)
            asked = {"cwd": _folder(cwd), "config": config}
            opened = await self._client.call("thread/start", asked)
            session = self._keep(opened, notices)
            options = await session.options()
        answer = {"sessionId": session.id, "modes": session.modes, "configOptions": options}
        return schema.NewSessionResponse.model_validate(answer)

    async def load_session(
        self, cwd: str, session_id: str, mcp_servers: Sequence[Any] | None = None, **_: Any
    ) -> schema.LoadSessionResponse:
        """Go on with a stored thread, telling the client all of it first."""
        with _refusals():
            config, notices = self._mcp_config(mcp_servers)
            asked = {"threadId": session_id, "cwd": _folder(cwd), "excludeTurns": True}
            opened = await self._client.call("thread/resume", {**asked, "config": config})
            # A prompt that is being answered belongs to the session that is here already.
            session = self._sessions.get(opened["thread"]["id"])
            if session is None:
                session = self._keep(opened, notices)
            elif mcp_servers:
                session.notice(_OPEN_ALREADY)
            await session.replay()
            options = await session.options()
        answer = {"modes": session.modes, "configOptions": options}
        return schema.LoadSessionResponse.model_validate(answer)

    async def list_sessions(
        self, cwd: str | None = None, cursor: str | None = None, **_: Any
    ) -> schema.ListSessionsResponse:
        """List the stored threads, newest first."""
        wanted = {"cursor": cursor, "cwd": cwd}
        asked = {name: value for name, value in wanted.items() if value is not None}
        with _refusals():
            every: Json = {"sortKey": "updated_at", "modelProviders": []}
            page = await self._client.call("thread/list", {**every, **asked})
        sessions = [_session_info(thread) for thread in page["data"]]
        answer = {"sessions": sessions, "nextCursor": page.get("nextCursor")}
        return schema.ListSessionsResponse.model_validate(answer)

    async def close_session(self, session_id: str, **_: Any) -> schema.CloseSessionResponse:
        """Stop what a session does and end all that it runs; it can be loaded again."""
        with _refusals():
            session = self._session(session_id)
            await session.close()
            self._sessions.pop(session_id, None)
        return schema.CloseSessionResponse()

    async def set_session_mode(
        self, session_id: str, mode_id: str, **_: Any
    ) -> schema.SetSessionModeResponse:
        """Choose who is asked about what."""
        with _refusals():
            await self._session(session_id).set_mode(mode_id)
        return schema.SetSessionModeResponse()

    async def set_config_option(
        self, config_id: str, session_id: str, value: str | bool, **_: Any
    ) -> schema.SetSessionConfigOptionResponse:
        """Choose the model."""
        with _refusals():
            session = self._session(session_id)
            await session.set_option(config_id, value)
            options = await session.options()
        return schema.SetSessionConfigOptionResponse.model_validate({"configOptions": options})

    async def prompt(
        self, session_id: str, prompt: Sequence[BaseModel], **_: Any
    ) -> schema.PromptResponse:
        """Answer a prompt, telling the client all that happens meanwhile."""
        blocks = [
            block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in prompt
        ]
        with _refusals():
            reason = await self._session(session_id).prompt(blocks)
        return schema.PromptResponse.model_validate({"stopReason": reason})

    async def cancel(self, session_id: str, **_: Any) -> None:
        """Stop what a session is doing; unknown sessions do nothing."""
        if (session := self._sessions.get(session_id)) is not None:
            await session.cancel()

    async def authenticate(self, method_id: str, **_: Any) -> schema.AuthenticateResponse:
        """Refuse: keys are read from the environment and config.toml."""
        with _refusals():
            raise UsageError(
                f"there is no way to log in called {method_id!r}: the key of a model's provider "
                "is read from the environment variable that config.toml names"
            )

    async def answer(self, method: str, params: Json, request_id: str | int) -> Json:
        """Answer what the core asks."""
        session = self._session_of(params)
        if session is None:
            raise RemoteError(METHOD_NOT_FOUND, "no session of this client has this thread")
        return await session.answer(method, params, str(request_id))

    @property
    def _client(self) -> CodexClient:
        assert self._core is not None  # noqa: S101 - `open_agent` gives it before anybody calls
        return self._core

    def _mcp_config(self, servers: Sequence[BaseModel] | None) -> tuple[Json, list[str]]:
        named = [server.model_dump(mode="json", by_alias=True) for server in servers or ()]
        return mcp_config(named, self._mcp_names)

    def _keep(self, opened: Json, notices: Sequence[str]) -> Session:
        session = Session(self._client, opened, self._front, notices)
        self._sessions[session.id] = session
        return session

    def _session(self, session_id: str) -> Session:
        session = self._sessions.get(session_id)
        if session is None:
            raise UsageError(
                f"there is no session {session_id!r} here: begin one with session/new, or go on "
                "with a stored one with session/load"
            )
        return session

    def _heard(self, method: str, params: Json) -> None:
        match method:
            case "thread/started" if parent := params["thread"].get("parentThreadId"):
                self._parents[params["thread"]["id"]] = parent
            case "thread/closed":
                self._parents.pop(params["threadId"], None)
            case "serverRequest/resolved":
                if (session := self._session_of(params)) is not None:
                    session.withdraw(str(params["requestId"]))
            case _:
                return

    def _session_of(self, params: Json) -> Session | None:
        """Return the session of the thread that asks, or of the nearest one above it."""
        thread = params.get("threadId")
        while thread is not None and thread not in self._sessions:
            thread = self._parents.get(thread)
        return None if thread is None else self._sessions[thread]

    async def _tell(self, session_id: str, update: Json) -> None:
        told = _UPDATES.validate_python({"sessionId": session_id, "update": sendable(update)})
        await self._peer.session_update(session_id=session_id, update=told.update)

    async def _ask(self, session_id: str, tool_call: Json, options: list[Json]) -> Json:
        try:
            answer = await self._peer.request_permission(
                session_id=session_id,
                tool_call=schema.ToolCallUpdate.model_validate(sendable(tool_call)),
                options=[schema.PermissionOption.model_validate(o) for o in sendable(options)],
            )
        except acp.RequestError as error:
            raise RemoteError(error.code, str(error), error.data) from None
        return answer.outcome.model_dump(mode="json", by_alias=True)


@asynccontextmanager
async def open_agent(settings: Settings) -> AsyncGenerator[CodexAgent]:
    """Run a core and an agent over it; leaving ends every turn and closes every rollout."""
    agent = CodexAgent(settings.sources.file.table.get("mcp_servers") or {})
    async with open_in_process(settings, answer=agent.answer) as core:
        agent.use(core)
        yield agent


@contextmanager
def _refusals() -> Generator[None]:
    """Let what we refuse leave as an error of the protocol, with its code, sentence and data."""
    try:
        yield
    except RemoteError as error:
        raise acp.RequestError(error.code, error.message, error.remote_data) from None
    except CodexError as error:
        code = -32602 if isinstance(error, UsageError) else error.rpc_code
        raise acp.RequestError(code, str(error), error.data) from None


def _folder(cwd: str) -> str:
    if not Path(cwd).is_absolute():
        raise UsageError(f"cwd must be an absolute path, found {cwd!r}")
    if not Path(cwd).is_dir():
        raise UsageError(f"there is no folder {cwd!r} to work in")
    return cwd


def _session_info(thread: Json) -> Json:
    updated = datetime.fromtimestamp(thread["updatedAt"], UTC)
    title = thread.get("name") or " ".join(str(thread["preview"]).split())[:80]
    return {
        "sessionId": thread["id"],
        "cwd": thread["cwd"],
        "title": title or None,
        "updatedAt": updated.isoformat(),
    }
