"""A thread manager over the fake model, with everything that it says and asks in reach."""

from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from codex_jupyter.core.config import ThreadOptions
from codex_jupyter.core.session import Session
from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.flow.requests import Answered, Outcome
from codex_jupyter.ids import ThreadId, TurnId, new_turn_id
from codex_jupyter.protocol.dynamic_tools import DynamicToolSpec
from codex_jupyter.protocol.events import (
    Event,
    ItemCompleted,
    ItemStarted,
    RequestOpened,
    RequestResolved,
    TextDelta,
    TurnCompleted,
    TurnStarted,
)
from codex_jupyter.protocol.items import TextInput
from codex_jupyter.protocol.ops import Submission, TurnOp, UserTurn
from codex_jupyter.rollout.disk import Disk
from codex_jupyter.rollout.store import ThreadStore
from codex_jupyter.settings import Settings
from tests.behaviour.talk import background, environment, write_config
from tests.fake_model import Answer, FakeModel, call, say, status

__all__ = [
    "LIMIT",
    "Json",
    "Tree",
    "growing",
    "prompt",
    "shell",
    "words_of",
]

Json = dict[str, Any]

Planned = Answer | Callable[[Json], Answer]
"""What the model answers, or how it finds its answer in a request."""

LIMIT = 30.0
"""Seconds a wait may last; what is waited for takes milliseconds."""


def prompt(words: str) -> tuple[TextInput, ...]:
    return (TextInput(text=words),)


def shell(line: str, call_id: str = "c1") -> Answer:
    return call("shell_command", {"command": line}, call_id=call_id)


def words_of(body: Json) -> list[str]:
    """Return all texts of a request to the model, in order."""
    texts: list[str] = []
    for item in body["input"]:
        content = item.get("content") or []
        texts += [content] if isinstance(content, str) else [str(c.get("text")) for c in content]
    return texts


def tag_of(body: Json) -> str:
    """Name the thread that asks the model: the first word of its texts that begins with `#`."""
    words = (word for text in words_of(body) for word in text.split())
    found = next((word.strip(".,:;") for word in words if word.startswith("#")), None)
    return found or ("reviewer" if "You review a change" in body["instructions"] else "")


class Tree:
    """The manager, what it publishes, and what the model answers to whom."""

    def __init__(self, home: Path, workspace: Path) -> None:
        self.home = home
        self.workspace = workspace
        self.events: list[Event] = []
        self.plans: dict[str, deque[Planned]] = defaultdict(deque)
        self.requests: dict[str, list[Json]] = defaultdict(list)
        self.fake = FakeModel(self._answer)
        self.heard: set[ThreadId] = set()
        self.manager: ThreadManager
        self._news = anyio.Event()
        self.also: Callable[[Event], None] = lambda _event: None
        """Hears every event too, and may fail at one."""

    # What the model does.

    def plan(self, tag: str, *answers: Planned) -> None:
        """Answer the thread whose first prompt has ``tag``; without a plan it says `ok`."""
        self.plans[tag].extend(answers)

    def _answer(self, body: Json) -> Answer:
        tag = tag_of(body)
        self.requests[tag].append(body)
        self._stir()
        planned = self.plans[tag].popleft() if self.plans[tag] else say(f"ok {tag}")
        return planned(body) if callable(planned) else planned

    async def hanging(self, n: int = 1) -> None:
        """Wait until ``n`` answers of the model hang."""
        with anyio.fail_after(LIMIT):
            await self.fake.wait_for_hang(n)

    def outputs(self, tag: str) -> list[Any]:
        """Return what the tools gave back, as the newest request of a thread has it."""
        items = self.requests[tag][-1]["input"]
        return [item["output"] for item in items if "output" in item]

    # What the threads do.

    async def root(self, **options: Any) -> Session:
        """Start a thread of the user's."""
        tools: list[DynamicToolSpec] = options.pop("tools", [])
        ephemeral: bool = options.pop("ephemeral", False)
        wishes = ThreadOptions(cwd=str(self.workspace), **options)
        return await self.manager.start(wishes, dynamic_tools=tools, ephemeral=ephemeral)

    async def begin(self, session: Session, op: TurnOp | str) -> TurnId:
        """Start a turn."""
        op = UserTurn(prompt(op)) if isinstance(op, str) else op
        accepted = await session.submit(Submission(new_turn_id(), op, chosen_by_caller=False))
        accepted.start()
        return accepted.turn_id

    async def turn(self, session: Session, op: TurnOp | str) -> Json:
        """Start a turn and return its end."""
        return await self.end_of(await self.begin(session, op))

    def publish(self, event: Event) -> None:
        self.events.append(event)
        self._stir()
        self.also(event)

    def _stir(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    # What is heard.

    async def until(self, is_true: Callable[[], Any]) -> Any:
        """Wait for something that an event or a request to the model brings, and return it."""
        with anyio.fail_after(LIMIT):
            while not (found := is_true()):
                await self._news.wait()
        return found

    async def end_of(self, turn_id: str) -> Json:
        """Wait for the end of a turn."""
        found = await self.until(lambda: [t for t in self.ends() if t["id"] == turn_id])
        return found[0]

    def ends(self, session: Session | ThreadId | None = None) -> list[Json]:
        """Return the ended turns, of one thread if it is named."""
        return [e.msg.turn for e in self.of(session) if isinstance(e.msg, TurnCompleted)]

    def begins(self, session: Session | ThreadId | None = None) -> list[Json]:
        return [e.msg.turn for e in self.of(session) if isinstance(e.msg, TurnStarted)]

    def items(self, session: Session | ThreadId | None, kind: str) -> list[Json]:
        """Return the completed items of one type."""
        done = [e.msg.item for e in self.of(session) if isinstance(e.msg, ItemCompleted)]
        return [item for item in done if item["type"] == kind]

    def started(self, session: Session | ThreadId | None, **members: Any) -> list[Json]:
        """Return the items that began and have these members."""
        begun = [e.msg.item for e in self.of(session) if isinstance(e.msg, ItemStarted)]
        return [i for i in begun if all(i.get(name) == v for name, v in members.items())]

    def said(self, session: Session | ThreadId | None) -> str:
        return "".join(e.msg.delta for e in self.of(session) if isinstance(e.msg, TextDelta))

    def of(self, session: Session | ThreadId | None = None) -> list[Event]:
        thread_id = session.thread_id if isinstance(session, Session) else session
        return [e for e in self.events if thread_id is None or e.thread_id == thread_id]

    # What is asked.

    def asked(self) -> list[Event]:
        """Return the questions so far, settled or not."""
        return [e for e in self.events if isinstance(e.msg, RequestOpened)]

    def outcomes(self) -> list[str]:
        """Return how questions were settled, in words."""
        return [e.msg.outcome for e in self.events if isinstance(e.msg, RequestResolved)]

    async def question(self, n: int = 1) -> Event:
        """Wait for the ``n``-th question."""
        return (await self.until(lambda: len(self.asked()) >= n and self.asked()))[n - 1]

    def answer(self, root: Session, question: Event, answer: Outcome | Json | str) -> bool:
        """Answer a question: a word is a decision."""
        assert isinstance(question.msg, RequestOpened)
        if isinstance(answer, str):
            answer = {"decision": answer}
        outcome = Answered(answer) if isinstance(answer, dict) else answer
        return root.state.broker.answer(question.msg.request_id, outcome)


@asynccontextmanager
async def growing(
    tmp_path: Path, *lines: str, end: str = "", disk: Disk | None = None
) -> AsyncGenerator[Tree]:
    """Run a tree; leaving ends it as the server does.

    Args:
        tmp_path: Gets a home and a workspace.
        lines: For config.toml, above its tables.
        end: Tables for the end of config.toml.
        disk: What rollouts are written to; default: the real one.
    """
    workspace = tmp_path / "workspace"
    workspace.mkdir(exist_ok=True)
    tree = Tree(tmp_path / "home", workspace)
    async with tree.fake as fake:
        write_config(tree.home, fake.base_url, *lines)
        with (tree.home / "config.toml").open("a") as file:
            file.write(f"\n{end}\n")
        settings = Settings.load(environ=environment(tree.home), overrides=())
        store = ThreadStore(tree.home, disk=disk)
        tree.manager = ThreadManager(settings, store, tree.publish, lambda t: t in tree.heard)
        started = anyio.Event()
        async with background() as tasks:
            tasks.start_soon(tree.manager.run, started)
            await started.wait()
            yield tree


def refusal(text: str) -> Answer:
    """Return an answer with which a turn fails."""
    return status(400, {"error": {"message": text}})
