"""The methods that tell what there is to choose from."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

import anyio.to_thread

from codex_jupyter.core.skills import FoundSkill, SkillProblem, find_skills
from codex_jupyter.core.threads import ThreadManager
from codex_jupyter.errors import InvalidRequestError
from codex_jupyter.ids import parse_thread_id
from codex_jupyter.protocol.catalogue_requests import (
    CollaborationModeListParams,
    ExperimentalFeatureListParams,
    HooksListParams,
    MockExperimentalParams,
    ModelProviderListParams,
    PermissionProfileListParams,
    SkillsListParams,
)
from codex_jupyter.server.paging import page_of
from codex_jupyter.server.params import read_params
from codex_jupyter.server.subscriptions import Connection
from codex_jupyter.settings import Provider, Settings
from codex_jupyter.settings.config_view import shown_address

__all__ = ["CatalogueHandlers"]

Json = dict[str, Any]
Method = Callable[[Connection, Any], Awaitable[Any]]

MAX_CWDS: Final = 32
"""Working directories that one request may name."""


class CatalogueHandlers:
    """Lists; each is made when it is asked for."""

    def __init__(self, threads: ThreadManager) -> None:
        self._threads = threads
        self.methods: dict[str, Method] = {
            "modelProvider/list": self._providers,
            "collaborationMode/list": self._modes,
            "experimentalFeature/list": self._features,
            "permissionProfile/list": self._profiles,
            "skills/list": self._skills,
            "hooks/list": self._hooks,
            "mock/experimentalMethod": self._mock,
        }

    async def _providers(self, connection: Connection, params: Any) -> Json:
        read_params(ModelProviderListParams, params)
        settings, may_write = self._threads.settings, connection.rights.may_answer
        stated = settings.sources.file.table.get("model_providers", {})
        data = [
            _provider(provider, can_edit=may_write and provider.id in stated)
            for provider in settings.providers.values()
        ]
        return {
            "data": data,
            "defaultProviderId": settings.model_provider,
            "canChangeDefault": may_write,
        }

    async def _modes(self, _connection: Connection, params: Any) -> Json:
        read_params(CollaborationModeListParams, params)
        mode = {"name": "Default", "mode": "default", "model": None, "reasoning_effort": None}
        return {"data": [mode]}

    async def _features(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(ExperimentalFeatureListParams, params)
        if asked.thread_id is not None:
            self._threads.get(parse_thread_id(asked.thread_id))
        features = _features_of(self._threads.settings)
        data, following = page_of(features, asked.cursor, asked.limit, "feature flags")
        return {"data": data, "nextCursor": following}

    async def _profiles(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(PermissionProfileListParams, params)
        none: list[Json] = []
        data, following = page_of(none, asked.cursor, asked.limit, "permission profiles")
        return {"data": data, "nextCursor": following}

    async def _skills(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(SkillsListParams, params)
        home = self._threads.settings.home
        entries: list[Json] = []
        for cwd in _folders(asked.cwds):
            skills, problems = await anyio.to_thread.run_sync(find_skills, home, cwd)
            entries.append(_skills_entry(cwd, skills, problems))
        return {"data": entries}

    async def _hooks(self, _connection: Connection, params: Any) -> Json:
        asked = read_params(HooksListParams, params)
        cwds = asked.cwds
        if asked.thread_id is not None:
            session = self._threads.get(parse_thread_id(asked.thread_id))
            cwds = cwds or [str(session.config.cwd)]
        entries: list[Json] = [
            {"cwd": str(cwd), "hooks": [], "warnings": [], "errors": []} for cwd in _folders(cwds)
        ]
        return {"data": entries}

    async def _mock(self, _connection: Connection, params: Any) -> Json:
        return {"echoed": read_params(MockExperimentalParams, params).value}


def _provider(provider: Provider, *, can_edit: bool) -> Json:
    if provider.id == "openai":
        settings: Json = {"type": "openai"}
    elif provider.env_key is not None:
        auth = {"mode": "environmentVariable", "envKey": provider.env_key}
        settings = {"type": "customGateway", "auth": auth}
    elif provider.bearer_token is not None or provider.env_http_headers:
        auth = {"mode": "externallyConfigured", "envKey": None}
        settings = {"type": "customGateway", "auth": auth}
    else:
        settings = {"type": "customGateway", "auth": {"mode": "none"}}
    return {
        "id": provider.id,
        "name": provider.name,
        "baseUrl": shown_address(provider.base_url),
        "canEdit": can_edit,
        "settings": settings,
    }


def _features_of(settings: Settings) -> Sequence[Json]:
    return (
        {
            "name": "multi_agent",
            "stage": "stable",
            "displayName": "Agents",
            "description": "Lets the model start agents for parts of a task.",
            "announcement": None,
            "enabled": settings.agents.enabled,
            "defaultEnabled": True,
        },
    )


def _folders(cwds: list[str] | None) -> Sequence[Path]:
    if not cwds:
        return (Path.cwd(),)
    if len(cwds) > MAX_CWDS:
        raise InvalidRequestError(f"cwds has {len(cwds)} folders; {MAX_CWDS} are possible")
    for cwd in cwds:
        if not Path(cwd).is_absolute() or "\0" in cwd:
            raise InvalidRequestError(f"cwds must be absolute paths, found {cwd[:200]!r}")
    return [Path(cwd) for cwd in cwds]


def _skills_entry(
    cwd: Path, skills: Sequence[FoundSkill], problems: Sequence[SkillProblem]
) -> Json:
    return {
        "cwd": str(cwd),
        "skills": [
            {
                "name": skill.name,
                "description": skill.description,
                "shortDescription": skill.short_description,
                "path": str(skill.path),
                "scope": skill.scope,
                "enabled": True,
            }
            for skill in skills
        ],
        "errors": [{"path": str(p.path), "message": p.message} for p in problems],
    }
