"""Builds sessions: new ones, and those that a stored thread comes back as."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter

from codex_jupyter.core.agent_tools import equip_with_agents
from codex_jupyter.core.config import (
    SessionConfig,
    ThreadOptions,
    mode_of_sandbox,
    stored_sandbox,
)
from codex_jupyter.core.delegate import StartsThreads
from codex_jupyter.core.delegation import run_delegation
from codex_jupyter.core.instructions import BASE_INSTRUCTIONS
from codex_jupyter.core.lineage import Lineage
from codex_jupyter.core.providers import ModelClients
from codex_jupyter.core.review import run_review
from codex_jupyter.core.session import Session
from codex_jupyter.core.turn import Turn
from codex_jupyter.errors import ConfigError
from codex_jupyter.ids import ThreadId
from codex_jupyter.model.interface import ModelClient
from codex_jupyter.protocol.dynamic_tools import DynamicToolSpec, DynamicToolSpecs
from codex_jupyter.protocol.events import Event
from codex_jupyter.protocol.ops import Delegation, Review
from codex_jupyter.rollout.reader import StoredThread
from codex_jupyter.rollout.store import ThreadStore
from codex_jupyter.settings import Settings
from codex_jupyter.settings.approval import ApprovalPolicy, policy_from

__all__ = ["SessionBuilder"]

Json = dict[str, Any]

_KEYS: Final = {
    "model": "model",
    "model_provider": "model_provider",
    "approval_policy": "approval_policy",
    "sandbox_policy": "sandbox_mode",
}
"""Under which key of a config a member of a stored turn's settings is asked for."""

_STORED_TOOLS: Final[TypeAdapter[list[DynamicToolSpec]]] = TypeAdapter(
    DynamicToolSpecs, config=ConfigDict(defer_build=True)
)


class SessionBuilder:
    """Knows what every session of this process needs.

    Args:
        settings: Defaults of new threads.
        store: Threads on disk.
        clients: Talks to the models.
        threads: Where delegates, reviewers and agents are started.
        publish: Takes every event of every thread, in order; must not block.
        is_heard: Tells whether somebody listens to a thread.
    """

    def __init__(
        self,
        settings: Settings,
        store: ThreadStore,
        clients: ModelClients,
        threads: StartsThreads,
        publish: Callable[[Event], None],
        is_heard: Callable[[ThreadId], bool],
    ) -> None:
        self._settings = settings
        self._store = store
        self._clients = clients
        self._threads = threads
        self._publish = publish
        self._is_heard = is_heard

    def use(self, settings: Settings) -> None:
        """Take other defaults for what is built from now on."""
        self._settings = settings

    def new(
        self,
        thread_id: ThreadId,
        config: SessionConfig,
        *,
        dynamic_tools: Sequence[DynamicToolSpec] = (),
        ephemeral: bool = False,
        stored: StoredThread | None = None,
        lineage: Lineage | None = None,
    ) -> Session:
        """Return a session with everything but a rollout of its own, which is opened when used."""
        session = Session(
            thread_id,
            config,
            self._store,
            self._client_for,
            self._publish
            if lineage is None
            else lineage.publisher(thread_id, self._publish, self._is_heard),
            environment=self._settings.child_env,
            dynamic_tools=dynamic_tools,
            ephemeral=ephemeral,
            stored=stored,
            mcp_servers=config.mcp_servers,
            lineage=lineage,
        )
        session.performs = self._perform
        equip_with_agents(session, self._threads, self._settings.agents)
        return session

    def revive(
        self,
        stored: StoredThread,
        options: ThreadOptions,
        *,
        ephemeral: bool = False,
        lineage: Lineage | None = None,
    ) -> Session:
        """Rebuild a session; what the caller left open is as the last turn had it."""
        asked = options.config or {}
        # What the caller's config says is not left open.
        last: Json = {
            name: value
            for name, value in (stored.last_turn_context or {}).items()
            if _KEYS.get(name) not in asked
        }
        meta: Json = stored.meta
        base: Json = meta.get("base_instructions") or {}
        stored_provider = None if "model_provider" in asked else meta.get("model_provider")
        wishes = ThreadOptions(
            model=options.model or last.get("model"),
            model_provider=options.model_provider or last.get("model_provider") or stored_provider,
            cwd=options.cwd or last.get("cwd") or meta.get("cwd"),
            approval_policy=options.approval_policy or _stored_policy(last),
            approvals_reviewer=options.approvals_reviewer,
            sandbox=options.sandbox or mode_of_sandbox(last.get("sandbox_policy")),
            config=options.config,
            base_instructions=options.base_instructions or base.get("text"),
            developer_instructions=options.developer_instructions,
        )
        config = SessionConfig.of(self._settings, wishes, BASE_INSTRUCTIONS)
        sandbox = stored_sandbox(last.get("sandbox_policy"))
        if sandbox is not None and options.sandbox is None and not _details_sandbox(asked):
            config = replace(config, sandbox=sandbox)
        tools = _STORED_TOOLS.validate_python(meta.get("dynamic_tools") or [])
        return self.new(
            stored.thread_id,
            config,
            dynamic_tools=tools,
            ephemeral=ephemeral,
            stored=stored,
            lineage=lineage,
        )

    def _client_for(self, config: SessionConfig) -> ModelClient:
        return self._clients.client(config.provider)

    async def _perform(self, session: Session, turn: Turn) -> None:
        match turn.op:
            case Review() as op:
                await run_review(self._threads, session, turn, op, self._settings.review_model)
            case Delegation(limit=limit):
                roles = self._settings.agents.roles
                await run_delegation(self._threads, session, turn, limit, roles)
            case _:
                raise RuntimeError("only turns of delegates are performed")


def _stored_policy(turn_context: Json) -> ApprovalPolicy | None:
    stored: Any = turn_context.get("approval_policy")
    try:
        return stored if stored is None or isinstance(stored, str) else policy_from(stored)
    except ValueError as error:
        raise ConfigError("the thread's last turn", str(error), key="approval_policy") from None


def _details_sandbox(asked: Mapping[str, Any]) -> bool:
    """Whether a config says what the workspace's sandbox is like, so that the mode counts."""
    return any(key.startswith("sandbox_workspace_write") for key in asked)
