"""The methods around commands that outlive their turns."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.ids import parse_thread_id
from codex_jupyter.protocol.terminal_requests import (
    TerminalsCleanParams,
    TerminalsListParams,
    TerminalsTerminateParams,
)
from codex_jupyter.server.params import read_params
from codex_jupyter.server.subscriptions import Connection
from codex_jupyter.tools.terminals import Terminal

__all__ = ["TerminalHandlers"]

Json = dict[str, Any]
Method = Callable[[Connection, Any], Awaitable[Any]]

_MAX_DIGITS: Final = 20


class TerminalHandlers:
    """See them, and end them."""

    def __init__(self, threads: ThreadManager) -> None:
        self._threads = threads
        self.methods: dict[str, Method] = {
            "thread/backgroundTerminals/list": self._list,
            "thread/backgroundTerminals/terminate": self._terminate,
            "thread/backgroundTerminals/clean": self._clean,
        }

    async def _list(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(TerminalsListParams, params)
        session = self._threads.get(parse_thread_id(asked.thread_id))
        return {"data": [_shown(terminal) for terminal in session.terminals.live]}

    async def _terminate(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(TerminalsTerminateParams, params)
        terminals = self._threads.get(parse_thread_id(asked.thread_id)).terminals
        # No terminal has a number so long, and Python reads none of thousands of digits.
        named = asked.process_id if len(asked.process_id) <= _MAX_DIGITS else ""
        process_id = int(named) if named.isdecimal() else None
        terminal = terminals.find(process_id)
        if terminal is None or not terminal.is_live:
            return {"terminated": False}
        await terminals.end(terminal)
        return {"terminated": True}

    async def _clean(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(TerminalsCleanParams, params)
        await self._threads.get(parse_thread_id(asked.thread_id)).terminals.end_all()
        return {}


def _shown(terminal: Terminal) -> Json:
    return {
        "itemId": terminal.item["id"],
        "processId": str(terminal.process_id),
        "command": terminal.item["command"],
        "cwd": terminal.item["cwd"],
        "osPid": terminal.group.pid,
        "turnId": terminal.turn_id,
    }
