"""Whoever answers a turn's questions: a page over the control channel, or over the server."""

from typing import Any, Protocol

from codex_jupyter.notebook.headless import parse_headless
from tests.notebook.kernel_driver import Kernel
from tests.notebook.server_driver import Page

__all__ = ["Answerer", "ControlAnswerer", "PageAnswerer"]

Json = dict[str, Any]


class Answerer(Protocol):
    """Answers the questions of one kernel's turns."""

    def question(self, limit: float = 10.0) -> Json:
        """Wait until a turn asks something, and return its request."""
        ...

    def decide(self, request: Json, decision: str, **changes: Any) -> Json:
        """Answer an approval, with members changed; return what the core says to it."""
        ...

    def answer(self, request: Json, answers: Json) -> Json:
        """Answer a question; return what the core says to it."""
        ...

    def state(self, policy: str) -> None:
        """Let ``policy`` answer from now on, without being waited for."""
        ...

    def asked(self) -> list[Json]:
        """Return every question so far."""
        ...

    def outcome(self, request: Json) -> str:
        """Return how a question ended."""
        ...


class ControlAnswerer:
    """A page at a kernel that embeds the core; its questions come by widget."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def question(self, limit: float = 10.0) -> Json:
        found: list[Json] = []

        def is_asked() -> bool:
            settled = {op["requestId"] for op in self._kernel.ops("settle")}
            found[:] = [r for r in self.asked() if r["requestId"] not in settled]
            return bool(found)

        self._kernel.wait_until(is_asked, limit)
        hello = self._kernel.ask({"action": "hello", "turnId": found[-1]["turnId"]})
        assert hello["status"] == "ok"
        assert found[-1]["requestId"] in hello["open"]
        return found[-1]

    def decide(self, request: Json, decision: str, **changes: Any) -> Json:
        content = {"action": "decide", "requestId": request["requestId"], "decision": decision}
        return self._kernel.ask({**content, "digest": request["digest"], **changes})

    def answer(self, request: Json, answers: Json) -> Json:
        return self._kernel.ask(
            {"action": "answer", "requestId": request["requestId"], "answers": answers}
        )

    def state(self, policy: str) -> None:
        run = self._kernel.execute(f"%codex headless {policy}")
        assert run.status == "ok", run.traceback

    def asked(self) -> list[Json]:
        return [op["request"] for op in self._kernel.ops("ask")]

    def outcome(self, request: Json) -> str:
        (shown,) = [
            shown
            for shown in self._kernel.turn()["requests"]
            if shown["requestId"] == request["requestId"]
        ]
        return str(shown["outcome"])


class PageAnswerer:
    """A page at the Jupyter server that has the core; the kernel has no say in it."""

    def __init__(self, kernel: Kernel, page: Page) -> None:
        self._kernel = kernel
        self._page = page

    def question(self, limit: float = 10.0) -> Json:
        self._kernel.wait_until(self._page.open_requests, limit)
        return self._page.open_requests()[-1]

    def decide(self, request: Json, decision: str, **changes: Any) -> Json:
        content = {"requestId": request["requestId"], "decision": decision}
        asked = {**content, "digest": request.get("digest"), **changes}
        return self._page.call("serverRequest/answer", asked)

    def answer(self, request: Json, answers: Json) -> Json:
        asked = {"requestId": request["requestId"], "answers": answers}
        return self._page.call("serverRequest/answer", asked)

    def state(self, policy: str) -> None:
        stated = parse_headless(policy)

        def react(request: Json) -> None:
            content = {"requestId": request["requestId"], "digest": request.get("digest")}
            self._page.tell("serverRequest/answer", {**content, "decision": stated.decide(request)})

        self._page.react = react

    def asked(self) -> list[Json]:
        return list(self._page.requests)

    def outcome(self, request: Json) -> str:
        self._kernel.wait_until(lambda: request["requestId"] in self._page.settled)
        return self._page.settled[request["requestId"]]
