"""The five tools by which a model works with agents, and the items that show their calls."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, cast

from codex_jupyter.core.agents import Agent, Agents
from codex_jupyter.core.delegate import StartsThreads
from codex_jupyter.core.session import Session
from codex_jupyter.core.turn import Turn
from codex_jupyter.errors import AgentError
from codex_jupyter.protocol.jsonrpc import encode
from codex_jupyter.settings.agents import AgentSettings
from codex_jupyter.tools.registry import (
    Json,
    Tool,
    ToolArgumentsError,
    ToolCall,
    ToolContext,
    ToolOutput,
)

__all__ = ["AGENT_TOOLS", "agent_tools", "equip_with_agents"]

_WAIT_DEFAULT: Final = 30.0
_WAIT_RANGE: Final = (10.0, 3600.0)
"""Seconds that `wait` may last; the original's numbers, against models that poll."""

_TEXT: Final = {"type": "string"}
_IDS: Final = {"type": "array", "items": _TEXT}


def agent_tools(agents: Agents, session: Session) -> list[Tool]:
    """Return what lets the model of ``session`` work with agents."""
    return [kind(agents, session) for kind in (_Spawn, _Send, _Wait, _Close, _Resume)]


def equip_with_agents(session: Session, threads: StartsThreads, settings: AgentSettings) -> None:
    """Offer a thread's model what its depth and the settings allow.

    A thread that shows in a turn of its parent's, such as a reviewer, works alone.
    """
    lineage = session.lineage
    if not settings.enabled:
        return
    if lineage is None:
        session.agents = Agents(threads, settings)
    elif lineage.depth >= settings.max_depth or lineage.shown_in is not None:
        return
    if (agents := session.root.agents) is not None:
        session.bring(agent_tools(agents, session))


class _AgentTool(ABC):
    name: ClassVar[str]
    parallel = False
    item_tool: ClassVar[str]
    about: ClassVar[str] = ""
    members: ClassVar[Mapping[str, Json]]
    required: ClassVar[Sequence[str]]

    def __init__(self, agents: Agents, session: Session) -> None:
        self._agents = agents
        self._session = session

    def spec(self, *, freeform: bool) -> Json:  # noqa: ARG002 - every model takes functions
        """Describe the tool to the model."""
        return {
            "type": "function",
            "name": self.name,
            "description": self._about(),
            "strict": False,
            "parameters": {
                "type": "object",
                "properties": dict(self.members),
                "required": list(self.required),
                "additionalProperties": False,
            },
        }

    async def call(self, call: ToolCall, context: ToolContext) -> ToolOutput:
        """Do it and show it as an item; what is refused is an output, not an exception."""
        arguments = call.arguments()
        item: Json = {
            "type": "collabAgentToolCall",
            "id": call.item_id,
            "tool": self.item_tool,
            "status": "inProgress",
            "senderThreadId": self._session.thread_id,
            "receiverThreadIds": _ids_in(arguments),
            "prompt": arguments.get("message"),
            "model": None,
            "reasoningEffort": None,
            "agentsStates": {},
            "agents": [],
        }
        turn = self._session.active
        if turn is None:
            raise RuntimeError("a tool runs in a turn")
        self._check(arguments)
        context.start_item(item)
        status, output = "interrupted", ToolOutput("aborted by user", success=False)
        agents: Sequence[Agent] = ()
        try:
            with turn.token.scope():
                result, agents = await self._run(arguments, turn)
                status, output = "completed", ToolOutput(encode(result).decode())
        except (AgentError, ToolArgumentsError) as error:
            status, output = "failed", ToolOutput(str(error), success=False)
        finally:
            states = {a.thread_id: _state(a) for a in agents}
            ids = list(states) or item["receiverThreadIds"]
            ended = {
                "status": status,
                "receiverThreadIds": ids,
                "agentsStates": states,
                "agents": [_facts(a) for a in agents],
            }
            await context.complete_item({**item, **ended})
        return output

    def _about(self) -> str:
        return self.about

    def _check(self, arguments: Json) -> None:
        unknown = [name for name in self.required if not arguments.get(name)]
        if unknown:
            raise ToolArgumentsError(f"{self.name}: `{unknown[0]}` must be given and not empty")

    @abstractmethod
    async def _run(self, arguments: Json, turn: Turn) -> tuple[Json, Sequence[Agent]]:
        """Return what the model gets, and the agents that it is about."""


class _Spawn(_AgentTool):
    name = "spawn_agent"
    item_tool = "spawnAgent"
    members: ClassVar[Mapping[str, Json]] = {
        "message": {**_TEXT, "description": "The whole task: the agent knows nothing else."},
        "agent_type": {**_TEXT, "description": "One of the roles; default: `default`."},
    }
    required = ("message",)

    def _about(self) -> str:
        known = self._agents.settings.roles.values()
        roles = "; ".join(f"`{role.name}`: {role.description}" for role in known)
        return (
            "Start an agent that works on a part of the task beside you, in the same workspace and "
            "with your permissions at most. Only for parts that are clearly bounded and need no "
            "talk. It returns at once; you are told when the agent is done, or use `wait`. At most "
            f"{self._agents.settings.max_threads} work at a time. Roles: {roles}"
        )

    async def _run(self, arguments: Json, turn: Turn) -> tuple[Json, Sequence[Agent]]:
        agent = await self._agents.spawn(
            turn, self._session, str(arguments["message"]), _text(arguments, "agent_type")
        )
        return {"agent_id": agent.thread_id, "nickname": agent.nickname}, [agent]


class _Send(_AgentTool):
    name = "send_input"
    item_tool = "sendInput"
    about = (
        "Tell one of your agents more, or give it the next piece of work. With `interrupt` it "
        "stops what it does first. Use `wait` for the end of this piece of work."
    )
    members: ClassVar[Mapping[str, Json]] = {
        "id": _TEXT,
        "message": _TEXT,
        "interrupt": {"type": "boolean"},
    }
    required = ("id", "message")

    async def _run(self, arguments: Json, turn: Turn) -> tuple[Json, Sequence[Agent]]:
        agent_id = str(arguments["id"])
        submission_id = await self._agents.send(
            turn,
            self._session,
            agent_id,
            str(arguments["message"]),
            interrupt=arguments.get("interrupt") is True,
        )
        return {"submission_id": submission_id}, [self._agents.find(self._session, agent_id)]


class _Wait(_AgentTool):
    name = "wait"
    item_tool = "wait"
    about = (
        "Wait until the newest piece of work of one of these agents has ended, and read what came "
        "of it. Prefer one long wait to many short ones."
    )
    members: ClassVar[Mapping[str, Json]] = {
        "ids": _IDS,
        "timeout_ms": {"type": "integer", "description": "10000 to 3600000; default 30000."},
    }
    required = ("ids",)

    async def _run(
        self,
        arguments: Json,
        turn: Turn,  # noqa: ARG002 - it does not matter to it
    ) -> tuple[Json, Sequence[Agent]]:
        ids = _ids_in(arguments)
        if not ids:
            raise ToolArgumentsError("ids must be non-empty")
        ended, timed_out = await self._agents.wait(self._session, ids, _timeout(arguments))
        statuses = {agent_id: _model_status(agent) for agent_id, agent in ended.items()}
        shown = [self._agents.find(self._session, agent_id) for agent_id in ids]
        return {"status": statuses, "timed_out": timed_out}, shown


class _Close(_AgentTool):
    name = "close_agent"
    item_tool = "closeAgent"
    about = "Stop an agent you need no more, and the agents it started; says what it did last."
    members: ClassVar[Mapping[str, Json]] = {"id": _TEXT}
    required = ("id",)

    async def _run(
        self,
        arguments: Json,
        turn: Turn,  # noqa: ARG002 - it does not matter to it
    ) -> tuple[Json, Sequence[Agent]]:
        agent = self._agents.find(self._session, str(arguments["id"]))
        before = _model_status(agent)
        await self._agents.close(self._session, agent.thread_id)
        return {"status": before}, [agent]


class _Resume(_AgentTool):
    name = "resume_agent"
    item_tool = "resumeAgent"
    about = "Open an agent of yours again that was closed; it remembers. Then use `send_input`."
    members: ClassVar[Mapping[str, Json]] = {"id": _TEXT}
    required = ("id",)

    async def _run(
        self,
        arguments: Json,
        turn: Turn,  # noqa: ARG002 - it does not matter to it
    ) -> tuple[Json, Sequence[Agent]]:
        agent = await self._agents.resume(self._session, str(arguments["id"]))
        return {"status": _model_status(agent)}, [agent]


AGENT_TOOLS: Final = tuple(kind.name for kind in (_Spawn, _Send, _Wait, _Close, _Resume))


def _ids_in(arguments: Json) -> list[str]:
    found: Any = arguments.get("ids", arguments.get("id"))
    if isinstance(found, str):
        return [found]
    if not isinstance(found, list):
        return []
    return [str(entry) for entry in cast("list[Any]", found)]


def _text(arguments: Json, name: str) -> str | None:
    value = arguments.get(name)
    return value if isinstance(value, str) and value else None


def _timeout(arguments: Json) -> float:
    value = arguments.get("timeout_ms")
    if value is None:
        return _WAIT_DEFAULT
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise ToolArgumentsError("timeout_ms must be greater than zero")
    return min(max(value / 1000, _WAIT_RANGE[0]), _WAIT_RANGE[1])


def _state(agent: Agent) -> Json:
    return {"status": agent.status(), "message": agent.message()}


def _facts(agent: Agent) -> Json:
    ended = agent.outcome()
    used = ended.tokens if ended is not None else {}
    return {
        "threadId": agent.thread_id,
        "turnId": agent.last,
        "nickname": agent.nickname,
        "role": agent.role,
        "tokens": int(used.get("inputTokens", 0)) + int(used.get("outputTokens", 0)) or None,
        "durationMs": ended.duration_ms if ended is not None else None,
    }


def _model_status(agent: Agent) -> Any:
    """Return a status as the model reads it; the original's spelling."""
    status = agent.status()
    match status:
        case "completed":
            return {"completed": agent.message()}
        case "errored" | "interrupted":
            return {"errored": agent.message() if status == "errored" else "Interrupted"}
        case "pendingInit":
            return "pending_init"
        case _:
            return status
