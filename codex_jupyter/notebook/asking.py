"""How the questions of a turn find somebody to answer them, in a kernel that embeds the core."""

from collections.abc import Callable
from getpass import getpass
from typing import Any, Final, Protocol

import anyio
import anyio.to_thread

from codex_jupyter.errors import NobodyToAskError, UsageError
from codex_jupyter.notebook.desk import Desk, Pending
from codex_jupyter.notebook.headless import HeadlessPolicy, what_is_asked
from codex_jupyter.notebook.turn_handle import TurnHandle

__all__ = ["Asker", "FrontEnd"]

Json = dict[str, Any]
OnApproval = Callable[[Json], str]

HEADLESS_WAIT: Final = 1.0
"""Seconds a driver gets to subscribe, before an unstated headless policy fails the turn."""

_NO_NUMBER: Final = 10
"""Digits of what is no option's number any more."""

_LEAST_WAIT: Final = 0.05
"""Seconds between two looks for somebody to ask."""


class FrontEnd(Protocol):
    """What is known of whoever sits before this kernel."""

    @property
    def page_wait(self) -> float:
        """Seconds a page gets to say that it shows the turn, before ``input()`` is tried."""
        ...

    def has_page(self, turn_id: str) -> bool:
        """Whether a page has said that it shows this turn."""
        ...

    def has_stdin(self) -> bool:
        """Whether ``input()`` reaches a person."""
        ...


class Asker:
    """Puts questions on the desk and finds who answers: a callback, a page, a prompt, a policy.

    Args:
        desk: Where pages find them.
        front_end: Who is there.
        policy: The headless policy, ``None`` while none is stated.
    """

    def __init__(
        self, desk: Desk, front_end: FrontEnd, policy: Callable[[], HeadlessPolicy | None]
    ) -> None:
        self._desk = desk
        self._front_end = front_end
        self._policy = policy

    async def answer(
        self, handle: TurnHandle, request: Json, on_approval: OnApproval | None
    ) -> Json:
        """Return the answer to a server request; it is shown in the turn while it is open."""
        pending = self._desk.open(request)
        handle.ask(request)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._find_somebody, handle, pending, on_approval)
            await pending.settled.wait()
            tasks.cancel_scope.cancel()
        answer = pending.answer or {}
        handle.settle(request["requestId"], _outcome(pending))
        return answer

    async def _find_somebody(
        self, handle: TurnHandle, pending: Pending, on_approval: OnApproval | None
    ) -> None:
        request = pending.request
        if on_approval is not None and request["kind"] != "question":
            await self._ask_callback(handle, request, on_approval)
            return
        if not self._front_end.has_stdin():
            await self._without_a_person(handle, request)
            return
        while not await self._page_within(handle.turn_id, self._front_end.page_wait):
            # A prompt outside of a cell would hold the kernel, and nobody would see it.
            if handle.bench.is_waited_for:
                await self._prompt(handle, request)
                return

    async def _prompt(self, handle: TurnHandle, request: Json) -> None:
        prompt = _prompt_questions if request["kind"] == "question" else _prompt_decision
        try:
            answer = await handle.run_on_main(lambda: prompt(request), "a question to you")
        except EOFError:
            what = what_is_asked(request)
            problem = f"the turn asks for {what}, but the input has ended: nothing can be typed"
            handle.fail(UsageError(f"{problem}. The turn was stopped"))
            return
        if answer is not None:  # else the turn was stopped, and takes the question back
            self._desk.settle(request["requestId"], answer, digest=request.get("digest"))

    async def _ask_callback(
        self, handle: TurnHandle, request: Json, on_approval: OnApproval
    ) -> None:
        try:
            decision = await anyio.to_thread.run_sync(on_approval, request, abandon_on_cancel=True)
        except Exception as error:  # noqa: BLE001 - the user's code
            problem = f"on_approval raised {type(error).__name__}: {error}"
            handle.fail(UsageError(f"{problem}. The turn was stopped"))
            return
        if decision not in request["choices"]:
            handle.fail(
                UsageError(
                    f"on_approval returned {decision!r}; it may return "
                    f"{', '.join(request['choices'])}. The turn was stopped"
                )
            )
            return
        self._decide(request, decision)

    async def _without_a_person(self, handle: TurnHandle, request: Json) -> None:
        policy = self._policy()
        if policy is None:
            if await self._page_within(handle.turn_id, HEADLESS_WAIT):
                return  # a driver has subscribed and will answer
            policy = HeadlessPolicy()
        decision = policy.decide(request)
        if decision == "fail":
            handle.fail(NobodyToAskError(what_is_asked(request)))
            return
        if request["kind"] == "question":
            self._desk.settle(request["requestId"], {"answers": {}}, digest=None)
            return
        self._decide(request, decision)

    async def _page_within(self, turn_id: str, seconds: float) -> bool:
        """Wait until a page says that it shows the turn; pages speak up from other threads."""
        with anyio.move_on_after(max(seconds, _LEAST_WAIT)):
            while not self._front_end.has_page(turn_id):  # noqa: ASYNC110 - set by other threads
                await anyio.sleep(0.02)
        return self._front_end.has_page(turn_id)

    def _decide(self, request: Json, decision: str) -> None:
        digest = request.get("digest")
        answer = {"decision": decision, "digest": digest}
        self._desk.settle(request["requestId"], answer, digest=digest)


def _outcome(pending: Pending) -> str:
    if pending.withdrawn or pending.answer is None:
        return "withdrawn"
    if pending.request["kind"] == "question":
        return "answered"
    return str(pending.answer.get("decision", "answered"))


def _prompt_decision(request: Json) -> Json:
    """Ask on the terminal or in the front end's input box."""
    print(f"\n{request['title']}  ({request['sandbox']})")  # noqa: T201 - this is a prompt
    print(request["command"] or _files(request))  # noqa: T201
    if request.get("warning"):
        print(f"Warning: {request['warning']}")  # noqa: T201
    typed = input("[y]es, [a]lways in this session, [n]o, [s]top the turn: ").strip().lower()
    decisions = {"y": "accept", "a": "acceptForSession", "s": "cancel"}
    return {"decision": decisions.get(typed[:1], "decline"), "digest": request.get("digest")}


def _files(request: Json) -> str:
    return "\n".join(f"{change['path']}\n{change['diff']}" for change in request["changes"])


def _prompt_questions(request: Json) -> Json:
    answers: Json = {}
    for question in request["questions"]:
        options = question.get("options") or []
        print(f"\n{question['question']}")  # noqa: T201 - this is a prompt
        for number, option in enumerate(options, start=1):
            print(f"  {number}. {option['label']}  {option.get('description', '')}")  # noqa: T201
        typed = (getpass if question.get("isSecret") else input)("> ").strip()
        # Python refuses to read a number of thousands of digits.
        chosen = int(typed) if typed.isdecimal() and len(typed) < _NO_NUMBER else 0
        if 0 < chosen <= len(options):
            typed = options[chosen - 1]["label"]
        answers[question["id"]] = {"answers": [typed] if typed else []}
    return {"answers": answers}
