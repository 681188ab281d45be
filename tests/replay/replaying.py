"""A recorded talk, and how it is said again to our server, step by step."""

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from codex_jupyter.server.app import AppServer
from tests.behaviour.conftest import Lab
from tests.behaviour.talk import Talk, connect
from tests.replay.normalise import Json, kind_of

TALKS = Path(__file__).parents[1] / "data" / "transcripts"
LIMIT = 30.0
"""Seconds a step may last; the longest takes two, where a model asks to be left alone."""

LAST = "last"
"""Id of a request that no talk has."""


@dataclass(frozen=True, slots=True)
class Step:
    """One message of a client, and what was heard until a client spoke again."""

    process: int
    connection: str
    alive: list[int]
    """Processes that run while this is said; an earlier one that is not among them has ended."""

    send: Json
    hear: list[str]
    """Kinds of messages; those that another connection heard begin with its name and a colon."""

    bind: dict[str, list[Any]]
    """Name of an id to the method of what tells it, and where in that it stands."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One talk, and what its model answered."""

    answers: list[Any]
    default: Any
    config: list[str]
    patience: dict[str, int]
    steps: list[Step]


def load(name: str) -> Recorded:
    with gzip.open(TALKS / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        head, *steps = map(json.loads, file)
    return Recorded(**head, steps=[Step(**step) for step in steps])


@dataclass(slots=True)
class _Client:
    """One connection, and what is still to be read of what it heard."""

    talk: Talk
    asked: dict[Any, str] = field(default_factory=dict[Any, str])
    begin: int = 0

    async def answered(self, request: Any) -> None:
        with anyio.fail_after(LIMIT):
            while not self._is_answered(request):
                await self.talk.more()

    def _is_answered(self, request: Any) -> bool:
        new = self.talk.heard[self.begin :]
        return any("method" not in message and message["id"] == request for message in new)

    def kinds(self) -> list[str]:
        heard = [m for m in self.talk.heard[self.begin :] if m.get("id") != LAST]
        kinds = (kind_of(message, self.asked) for message in heard)
        return [kind for kind in kinds if kind is not None]


@dataclass(slots=True)
class _Process:
    """A server, for as long as its stack is open."""

    server: AppServer
    stack: AsyncExitStack
    clients: dict[str, _Client] = field(default_factory=dict[str, _Client])


class Replay:
    """One talk, said step by step; each is said when what came before it has been heard.

    Args:
        lab: Home and workspace of every server.
        stack: Closes what is open at the end.
    """

    def __init__(self, lab: Lab, stack: AsyncExitStack) -> None:
        self._lab = lab
        self._stack = stack
        self._processes: dict[int, _Process] = {}
        self._ids: dict[str, str] = {}
        self.heard: list[str] = []

    async def say(self, step: Step, expected: list[str], *, resume: bool) -> None:
        """Say one step, let a model that waits go on if ``resume``, and hear what is expected."""
        client = await self._client(step)
        clients = self._processes[step.process].clients
        for each in clients.values():
            each.begin = len(each.talk.heard)
        message = self._filled(step.send)
        if "method" in message:
            client.asked[message.get("id")] = message["method"]
        else:
            asked = client.talk.requests()
            assert message["id"] < len(asked), f"nobody has asked what is answered by {message}"
            message["id"] = asked[message["id"]]["id"]
        await client.talk.send(message)
        if resume:
            self._lab.fake.resume()
        if "id" in message and "method" in message:
            await client.answered(message["id"])
        with anyio.move_on_after(LIMIT):
            for name, each in clients.items():
                wanted = Counter(_heard_by(name, step.connection, expected))
                while wanted - Counter(each.kinds()):
                    await each.talk.more()
        self.heard = _heard(clients, step.connection)
        self._bind(step, clients.values())

    async def settle(self, step: Step) -> list[str]:
        """Ask something more on each connection, and return what was heard since the last step.

        Without it nothing would be known of what came after what was expected in that step.
        """
        clients = self._processes[step.process].clients
        for client in clients.values():
            await client.talk.send({"id": LAST, "method": "thread/loaded/list", "params": {}})
            await client.answered(LAST)
        return _heard(clients, step.connection)

    async def _client(self, step: Step) -> _Client:
        for ended in sorted({*self._processes} - {*step.alive}, reverse=True):
            await self._processes.pop(ended).stack.aclose()
        if (process := self._processes.get(step.process)) is None:
            stack = await self._stack.enter_async_context(AsyncExitStack())
            server = await stack.enter_async_context(self._lab.serving())
            process = self._processes[step.process] = _Process(server, stack)
        if (client := process.clients.get(step.connection)) is None:
            talk = await process.stack.enter_async_context(connect(process.server, greet=False))
            client = process.clients[step.connection] = _Client(talk)
        return client

    def _bind(self, step: Step, clients: Iterable[_Client]) -> None:
        heard = [m for client in clients for m in client.talk.heard[client.begin :]]
        for name, (method, *path) in step.bind.items():
            for message in heard:
                value: Any = message
                if message.get("method") != method:
                    continue
                try:
                    for key in path:
                        value = value[key]
                except (KeyError, IndexError, TypeError):
                    continue
                self._ids.setdefault(name, str(value))

    def _filled(self, message: Json) -> Json:
        text = json.dumps(message)
        for pattern, change in (
            (r"\$id([0-9]+)", str.lower),
            (r"\$ID([0-9]+)", str.upper),
            (r"\$hex([0-9]+)", lambda value: value.replace("-", "")),
        ):
            text = re.sub(pattern, self._value(change), text)
        folder = str(self._lab.workspace)
        return json.loads(text.replace("$WS", folder).replace("$LAB", str(self._lab.home.parent)))

    def _value(self, change: Callable[[str], str]) -> Callable[[re.Match[str]], str]:
        return lambda match: change(self._ids.get(f"$id{match[1]}", match[0]))


def _heard(clients: dict[str, _Client], speaker: str) -> list[str]:
    heard = clients[speaker].kinds()
    for name in sorted({*clients} - {speaker}):
        heard += [f"{name}: {kind}" for kind in clients[name].kinds()]
    return heard


def _heard_by(name: str, speaker: str, kinds: list[str]) -> list[str]:
    """Return what one connection hears of what is heard in a step."""
    if name != speaker:
        return [kind.removeprefix(f"{name}: ") for kind in kinds if kind.startswith(f"{name}: ")]
    return [kind for kind in kinds if ": " not in kind]


def gates(talk: Recorded) -> set[int]:
    """Return the steps after which a model that waits goes on: where its answer was completed."""
    answers = [parts for parts in talk.answers if isinstance(parts, list)]
    messages = [part for parts in answers for part in parts if "text" in part]
    done, found = 0, set[int]()
    for number, step in enumerate(talk.steps):
        for kind in step.hear:
            if kind == "item/completed agentMessage" and done < len(messages):
                if messages[done].get("gate") == "go":
                    found.add(number)
                done += 1
    return found
