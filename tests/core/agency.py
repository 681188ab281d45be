"""Agents of a tree in few words."""

import json
from typing import Any

from codex_jupyter.core.agents import Agent, Agents
from codex_jupyter.core.session import Session
from codex_jupyter.core.turn import Turn
from codex_jupyter.protocol.events import Event
from tests.core.tree import Json, Planned, Tree, shell
from tests.fake_model import Answer, call, say

__all__ = [
    "agents_of",
    "ask_first",
    "at_work",
    "busy",
    "notices",
    "spawned",
    "use",
]


def agents_of(session: Session) -> Agents:
    agents = session.root.agents
    assert agents is not None
    return agents


async def busy(tree: Tree, session: Session, tag: str = "#root") -> Turn:
    """Start a turn whose model does not go on before the fake is resumed."""
    tree.plan(tag, say("busy", deltas=4).hang(after=3))
    before = tree.fake._hanging
    await tree.begin(session, tag)
    await tree.hanging(before + 1)
    assert session.active is not None
    return session.active


def ask_first(tag: str) -> tuple[Planned, Planned]:
    """Have an agent ask before it says something, so that a test decides when it ends."""
    return shell(f"echo {tag[1:]} >> made", f"c{tag}"), say(f"done {tag}")


async def at_work(tree: Tree, turn: Turn, session: Session, tag: str) -> tuple[Agent, Event]:
    """Start an agent that waits for an answer to its question."""
    before = len(tree.asked())
    tree.plan(tag, *ask_first(tag))
    agent = await agents_of(session).spawn(turn, session, f"{tag} work", None)
    return agent, await tree.question(before + 1)


def use(name: str, arguments: Json, call_id: str) -> Answer:
    return call(name, arguments, call_id=call_id)


def spawned(body: Json) -> list[str]:
    """Return the ids of the agents that were started, as a request of the model has them."""
    outputs: list[Any] = [item["output"] for item in body["input"] if "output" in item]
    found = [json.loads(text) for text in outputs if str(text).startswith('{"agent_id"')]
    return [entry["agent_id"] for entry in found]


def notices(body: Json) -> list[Json]:
    """Return what the model was told of agents whose work has ended."""
    texts = [str(c.get("text")) for item in body["input"] for c in item.get("content") or []]
    told = [text.splitlines()[1] for text in texts if text.startswith("<subagent_notification>")]
    return [json.loads(line) for line in told]
