"""One connection with one MCP server, in a task of its own from start to end."""

import importlib
import os
import secrets
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Final

import anyio
import anyio.abc
import anyio.to_thread

from codex_jupyter.errors import CodexError
from codex_jupyter.settings.mcp_servers import McpServer
from codex_jupyter.tools.child_env import TAG_VARIABLE
from codex_jupyter.tools.processes import kill_tagged

__all__ = ["Elicit", "McpConnection", "McpServerError", "Progress"]

Json = dict[str, Any]
Progress = Callable[[str], None]
Elicit = Callable[[Json, str | None], Awaitable[Json]]
"""Puts a server's question to the user; gets its params and the mark of the call that it came with,
if it is known, and returns ``action`` and ``content``."""

_MARK: Final = "codex-jupyter/call"
"""Names a call in its ``_meta``. A server that hands the ``_meta`` of a call on with its question
says by this which call asks; nothing else of the protocol does where all calls share a pipe."""

_calling: ContextVar[str | None] = ContextVar("mcp_call", default=None)
"""The mark of the call by whose HTTP stream a message came: the library carries it along."""

_INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TERM", "USER", "LOGNAME", "SHELL")
"""What a program needs to run. Nothing that could be a key."""

_CONNECTION_CLOSED: Final = (-32_000, "Connection closed")
"""Code and text of the library's own error; servers use the code for errors of theirs, too."""

_TAIL_BYTES: Final = 2_000
_MAX_TOOLS: Final = 1_000


class McpServerError(CodexError):
    """An MCP server could not be started, or did not do what it was asked."""


class McpConnection:
    """A server that runs, or one that can be started again.

    The library's contexts must be left by the task that entered them, so one task holds them;
    calls come from any task.
    """

    def __init__(self, server: McpServer, environ: Mapping[str, str], elicit: Elicit) -> None:
        self.server = server
        self.tools: list[Json] = []
        self._environ = environ
        self._elicit = elicit
        self._session: Any = None
        self._stop = anyio.Event()
        self._ended = anyio.Event()
        self._ended.set()
        self._problem: str | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it can be asked."""
        return self._session is not None and not self._stop.is_set()

    @property
    def problem(self) -> str | None:
        """Why it cannot, if it was tried."""
        return self._problem

    async def start(self, tasks: anyio.abc.TaskGroup) -> None:
        """Start the server and learn its tools.

        Args:
            tasks: Owns the connection's task.

        Raises:
            McpServerError: It does not start in time, or not at all; the text has its last words.
        """
        await self.aclose()
        self._stop, self._ended, self._problem = anyio.Event(), anyio.Event(), None
        ready = anyio.Event()
        tasks.start_soon(self._run, ready)
        with anyio.move_on_after(self.server.startup_timeout):
            await ready.wait()
        if self._problem is None and not ready.is_set():
            self._problem = f"it did not start within {self.server.startup_timeout:g} s"
        if self._problem is not None:
            await self.aclose()
            raise McpServerError(f"MCP server `{self.server.name}`: {self._problem}")

    async def call(self, tool: str, arguments: Json, progress: Progress, mark: str) -> Json:
        """Call a tool and return its result in wire shape.

        ``mark`` names the call: a question that can be told to be its own is put with it.

        Raises:
            McpServerError: It took too long, the server is gone, or refused.
        """
        session, server = self._session, self.server
        if session is None:
            raise McpServerError(f"MCP server `{server.name}` does not run")

        async def tell(done: float, total: float | None, message: str | None) -> None:
            progress(message or (f"{done:g} of {total:g}" if total else f"{done:g}"))

        before = _calling.set(mark)
        try:
            with anyio.fail_after(server.tool_timeout):
                result = await session.call_tool(
                    tool, arguments, progress_callback=tell, meta={_MARK: mark}
                )
        except TimeoutError:
            raise McpServerError(
                f"{tool} of MCP server `{server.name}` took more than {server.tool_timeout:g} s; "
                "raise tool_timeout_sec if that is too short"
            ) from None
        except Exception as error:  # noqa: BLE001 - a library's boundary: whatever it raises
            text = str(error) or type(error).__name__
            if _is_gone(error):
                self._stop.set()  # so that the next call starts it again
            raise McpServerError(f"MCP server `{server.name}`: {text}") from None
        finally:
            _calling.reset(before)
        return result.model_dump(mode="json", by_alias=True, exclude_none=True)

    async def aclose(self) -> None:
        """End the server and everything it started; return when it is gone."""
        self._stop.set()
        with anyio.CancelScope(shield=True):
            await self._ended.wait()

    async def _run(self, ready: anyio.Event) -> None:
        tag = secrets.token_hex(8)
        try:
            with tempfile.TemporaryFile() as words:
                await self._hold(tag, words, ready)
        except OSError as error:
            self._problem = f"there is no file for what it says: {error}"
        finally:
            self._session = None
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(kill_tagged, (tag,))
            ready.set()
            self._ended.set()

    async def _hold(self, tag: str, words: Any, ready: anyio.Event) -> None:
        """Keep the connection until it is to stop, or has failed."""
        try:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._cancel_when_stopped, scope, ready)
                    async with self._connected(tag, words) as session:
                        self._session = session
                        self.tools = await _all_tools(session)
                        ready.set()
                        await self._stop.wait()
                    tasks.cancel_scope.cancel()
        except Exception as error:  # noqa: BLE001 - a library's boundary: whatever it raises
            self._problem = _words_of(error, words)

    async def _cancel_when_stopped(self, scope: anyio.CancelScope, ready: anyio.Event) -> None:
        await self._stop.wait()
        # One that never answered is not asked to leave in order.
        if ready.is_set():
            await anyio.sleep(self.server.startup_timeout)
        scope.cancel()

    @asynccontextmanager
    async def _connected(self, tag: str, words: Any) -> AsyncGenerator[Any]:
        mcp: Any = await anyio.to_thread.run_sync(importlib.import_module, "mcp")
        async with (
            self._transport(tag, words) as streams,
            mcp.ClientSession(streams[0], streams[1], elicitation_callback=self._answer) as session,
        ):
            await session.initialize()
            yield session

    @asynccontextmanager
    async def _transport(self, tag: str, words: Any) -> AsyncGenerator[Any]:
        server = self.server
        if server.command is not None:
            stdio: Any = importlib.import_module("mcp.client.stdio")
            parameters = stdio.StdioServerParameters(
                command=server.command,
                args=list(server.args),
                env=self._program_environment(tag),
                cwd=server.cwd,
            )
            async with stdio.stdio_client(parameters, errlog=words) as streams:
                yield streams
            return
        http: Any = importlib.import_module("mcp.client.streamable_http")
        client = http.create_mcp_http_client(headers=self._headers())
        async with client, http.streamable_http_client(server.url, http_client=client) as streams:
            yield streams

    def _program_environment(self, tag: str) -> dict[str, str]:
        names = (*_INHERITED, *self.server.env_vars)
        inherited = {name: self._environ[name] for name in names if name in self._environ}
        outer = self._environ.get(TAG_VARIABLE)
        return {
            **inherited,
            **self.server.env,
            TAG_VARIABLE: f"{outer}:{tag}" if outer else tag,
        }

    def _headers(self) -> dict[str, str]:
        server = self.server
        headers = dict(server.http_headers)
        for name, variable in server.env_http_headers.items():
            if value := self._environ.get(variable):
                headers[name] = value
        if server.bearer_token_env_var is not None:
            token = self._environ.get(server.bearer_token_env_var, "").strip()
            if not token:
                raise McpServerError(
                    f"the variable {server.bearer_token_env_var}, which holds its token, is not set"
                )
            headers["Authorization"] = f"Bearer {token}"
        return headers

    async def _answer(self, _context: Any, params: Any) -> Any:
        """Answer a question of the server's; an answer that the library refuses is a no."""
        types: Any = importlib.import_module("mcp.types")
        asked: Json = params.model_dump(mode="json", by_alias=True, exclude_none=True)
        meta: Json = asked.pop("_meta", None) or {}
        mark = meta.pop(_MARK, None) or _calling.get()
        meta.pop("progressToken", None)
        asked.pop("task", None)
        if meta:
            asked["_meta"] = meta
        answer = await self._elicit(asked, mark if isinstance(mark, str) else None)
        try:
            return types.ElicitResult.model_validate(answer)
        except ValueError:
            return types.ElicitResult(action="decline")


def _is_gone(error: Exception) -> bool:
    """Whether the server has ended; the library words it in several ways.

    An answer of the server's that speaks of something closed is no end.
    """
    lost = (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream)
    if (code := getattr(error, "code", None)) is not None:
        return (code, getattr(error, "message", None)) == _CONNECTION_CLOSED
    return isinstance(error, lost) or "closed" in str(error).lower()


async def _all_tools(session: Any) -> list[Json]:
    types: Any = importlib.import_module("mcp.types")
    tools: list[Json] = []
    cursor: str | None = None
    while len(tools) < _MAX_TOOLS:
        params = types.PaginatedRequestParams(cursor=cursor) if cursor else None
        listed = (await session.list_tools(params=params)).model_dump(
            mode="json", by_alias=True, exclude_none=True
        )
        tools += listed.get("tools") or []
        cursor = listed.get("nextCursor")
        if not cursor:
            break
    return tools


def _words_of(error: BaseException, words: Any) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    if isinstance(error, FileNotFoundError):
        text = f"{error.filename}: command not found"
    elif isinstance(error, ImportError):
        text = "the extra is not installed: pip install 'codex-jupyter[mcp]'"
    else:
        text = str(error) or type(error).__name__  # pyright: ignore[reportUnknownArgumentType]
    size = words.seek(0, os.SEEK_END)
    words.seek(max(0, size - _TAIL_BYTES))
    tail = words.read().decode("utf-8", "replace").strip()
    return f"{text}; it said: {tail}" if tail else text
