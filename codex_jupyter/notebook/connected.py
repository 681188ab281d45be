"""Other servers of the same protocol for this kernel, such as the original `codex app-server`."""

import shlex
from collections.abc import Sequence
from typing import Any, Final

import anyio

from codex_jupyter.errors import RemoteError, UsageError
from codex_jupyter.notebook.asking import OnApproval
from codex_jupyter.notebook.headless import HeadlessPolicy
from codex_jupyter.notebook.program_place import ProgramPlace
from codex_jupyter.notebook.runtime import KernelRuntime
from codex_jupyter.notebook.tool_runs import METHOD_NOT_FOUND
from codex_jupyter.notebook.turn_handle import TurnHandle
from codex_jupyter.tools.policy import SessionApprovals
from codex_jupyter.tools.visible import visible
from codex_jupyter.view.forms import ELICITATION, is_tool_approval
from codex_jupyter.view.requests import answer_for, pending_request

__all__ = ["ConnectedRuntime", "connected"]

Json = dict[str, Any]

_ASKED: Final = frozenset(
    {
        "item/commandExecution/requestApproval",
        "item/fileChange/requestApproval",
        "item/tool/requestUserInput",
        ELICITATION,
    }
)
_CODE: Final = {"run_python": "code"}
"""The tools that run the user's code, and the argument that has it."""

_REFUSED: Final = (
    "rejected by policy. The approval policy is `never`, and code in the user's kernel is not "
    "sandboxed. Work without it, or tell the user"
)
_NOT_RERUNNABLE: Final = (
    "`{name}` gives its turns ids of its own, so a cell that is run again asks its model again"
)


class ConnectedRuntime(KernelRuntime):
    """What this kernel has of a program; shares the kernel and its pages with the main one.

    Args:
        main: The runtime of the kernel's own core.
        argv: The program and its arguments.
    """

    def __init__(self, main: KernelRuntime, argv: Sequence[str]) -> None:
        self._program = ProgramPlace(argv, self._answer)
        super().__init__(self._program)
        self.argv = self._program.argv
        self._main = main
        self._number = len(main.connected) + 1
        self._has_told = False
        self._approvals = SessionApprovals()
        """Code that was accepted, for the session or, as our own server asks by itself, for the
        call that follows."""

        self._asking: dict[str, list[anyio.CancelScope]] = {}
        self.cells.refusal = _NOT_RERUNNABLE.format(name=self._program.name)

    def add_turn(self, handle: TurnHandle, on_approval: OnApproval | None) -> None:
        """Let a turn ask questions and run kernel tools; the first says what is different here."""
        super().add_turn(handle, on_approval)
        if self.shell is not None and not self._has_told:
            self._has_told = True
            handle.state.notice(str(self.cells.refusal))

    def remove_turn(self, turn_id: str) -> None:
        """Forget a turn that has ended, and what it still asks: nobody takes that back for it."""
        super().remove_turn(turn_id)
        self._wake(lambda: self._withdraw(turn_id))

    def close(self) -> None:
        """End every turn and the program; what was accepted for the session ends with it."""
        super().close()
        self._approvals = SessionApprovals()

    def note_front_end(self) -> None:
        """Remember what the front end of the running cell can do."""
        self.page_wait = self._main.page_wait
        super().note_front_end()

    def hello(self, turn_id: str) -> Json | None:
        """Note that a page shows a turn."""
        return super().hello(self._own_id(turn_id))

    def interrupt(self, turn_id: str) -> bool:
        """Stop a turn, from any thread."""
        return super().interrupt(self._own_id(turn_id))

    async def name_servers_nearby(self, handle: TurnHandle) -> None:
        """Say nothing: the program has a model already."""

    def headless_policy(self) -> HeadlessPolicy | None:
        """Return what is answered where nobody can be asked: said here, else of the kernel."""
        return self.headless or self._main.headless_policy()

    def _told(self, method: str, params: Json) -> None:
        if method == "serverRequest/resolved":
            self._desk.withdraw(self._name(params["requestId"]))

    async def _answer(self, method: str, params: Json, request_id: str | int) -> Json:
        handle = self._handle_of(params)
        if handle is None:
            raise RemoteError(METHOD_NOT_FOUND, "this kernel does not know the turn")
        if method == "item/tool/call":
            return await self._call_tool(handle, params, request_id)
        if method not in _ASKED:
            raise RemoteError(METHOD_NOT_FOUND, f"this client does not answer `{method}`")
        asked = {"sandboxing": "as the server decides", **params}
        answer = await self._ask(handle, method, asked, request_id)
        if params.get("kind") == "dynamicTool":
            self._note_decision(handle, params["itemId"], str(params.get("command")), answer)
        if is_tool_approval(params) and answer.get("decision") == "cancel":
            handle.interrupt()  # to the server it means this call only
        return answer_for(method, params, answer)

    async def _call_tool(self, handle: TurnHandle, params: Json, request_id: str | int) -> Json:
        """Run a kernel tool, asking first where our own server would have asked."""
        tool, arguments = str(params["tool"]), dict(params.get("arguments") or {})
        if tool in _CODE and params.get("namespace") is None:
            code = visible(str(arguments.get(_CODE[tool]) or ""))
            problem = await self._why_not(handle, params, code, request_id)
            if problem is not None:
                text = {"type": "inputText", "text": f"{tool} not run: {problem}"}
                return {"contentItems": [text], "success": False}
        return await self._tools.run(handle, params)

    async def _why_not(
        self, handle: TurnHandle, params: Json, code: str, request_id: str | int
    ) -> str | None:
        """Return why code may not run, for the model; ``None`` if it may."""
        thread_id, call_id = handle.thread_id, params["callId"]
        verdict = self._program.policy_of(thread_id).verdict
        known = [("session", thread_id, code)], [(call_id, thread_id, code)]
        if verdict == "allow" or any(self._approvals.covers(keys) for keys in known):
            return None
        if verdict == "refuse":
            return _REFUSED
        asked = {
            "kind": "dynamicTool",
            "itemId": call_id,
            "command": code,
            "reason": f"{params['tool']} runs with your full rights in your kernel",
        }
        method = "item/commandExecution/requestApproval"
        answer = await self._ask(handle, method, asked, request_id)
        if answer.get("decision") == "cancel":
            handle.interrupt()
        return None if self._note_decision(handle, call_id, code, answer) else "rejected by user"

    def _note_decision(self, handle: TurnHandle, call_id: str, code: str, answer: Json) -> bool:
        """Remember what was accepted; return whether it was."""
        scopes = {"accept": [call_id], "acceptForSession": [call_id, "session"]}
        covered = scopes.get(str(answer.get("decision")), [])
        self._approvals.remember((scope, handle.thread_id, code) for scope in covered)
        return bool(covered)

    async def _ask(
        self, handle: TurnHandle, method: str, params: Json, request_id: str | int
    ) -> Json:
        """Put a question to whoever is there; one that outlives its turn is answered with a no."""
        item = handle.item(params.get("itemId") or "")
        if item is None and method != ELICITATION:
            item = {"tool": "run_python"}
        shown = {**params, "turnId": handle.turn_id}
        request = pending_request(method, shown, self._name(request_id), item)
        with anyio.CancelScope() as scope:
            self._asking.setdefault(handle.turn_id, []).append(scope)
            on_approval = self._approvers.get(handle.turn_id)
            answer = await self._asker.answer(handle, request, on_approval)
            return {name: value for name, value in answer.items() if value is not None}
        self._desk.withdraw(request["requestId"])
        return {"decision": "cancel"}

    def _withdraw(self, turn_id: str) -> None:
        for scope in self._asking.pop(turn_id, ()):
            scope.cancel()

    def _handle_of(self, params: Json) -> TurnHandle | None:
        """Find the turn that asks; a thread runs one at a time, so its id may not be known yet."""
        thread_id = params.get("threadId")
        running = [handle for handle in self.running_turns if handle.thread_id == thread_id]
        same = [handle for handle in running if handle.server_turn_id == params.get("turnId")]
        return next(iter([*same, *running]), None)

    def _own_id(self, turn_id: str) -> str:
        """Return the id under which a turn is known here; pages may have heard the server's."""
        handles = list(self._turns.values())
        return next((h.turn_id for h in handles if h.server_turn_id == turn_id), turn_id)

    def _name(self, request_id: str | int) -> str:
        """Name a question so that no other server's has its name."""
        return f"server-{self._number}/{request_id}"


def connected(main: KernelRuntime, command: str | Sequence[str]) -> ConnectedRuntime:
    """Return what the kernel has of a program, the same for the same command.

    Raises:
        UsageError: ``command`` is empty or cannot be read.
    """
    argv = _argv(command)
    known = main.connected.get(argv)
    if not isinstance(known, ConnectedRuntime):
        known = ConnectedRuntime(main, argv)
        main.connected[argv] = known
        main.switchboard.add(known)
    return known


def _argv(command: str | Sequence[str]) -> tuple[str, ...]:
    try:
        argv = tuple(shlex.split(command) if isinstance(command, str) else command)
    except ValueError as error:
        raise UsageError(f"the command {command!r} cannot be read: {error}") from None
    if not argv or not argv[0]:
        raise UsageError("name the server's program, e.g. `codex app-server`")
    return argv
