"""What a client may ask of what there is to choose from: providers, modes, features, skills."""

from typing import Any, ClassVar, Literal

from pydantic import Field

from codex_jupyter.protocol._wire import Count, WireModel

__all__ = [
    "CATALOGUE_REQUESTS",
    "CollaborationModeListParams",
    "ExperimentalFeatureListParams",
    "HooksListParams",
    "MockExperimentalParams",
    "ModelProviderListParams",
    "PermissionProfileListParams",
    "SkillsListParams",
]


class ModelProviderListParams(WireModel):
    """List the model providers, built-in and configured."""

    METHOD: ClassVar[str] = "modelProvider/list"


class ModelProviderSummary(WireModel):
    """A provider; its address is without credentials."""

    id: str
    name: str
    base_url: str | None = None
    can_edit: bool
    """Whether it comes from the user's `config.toml`, which this connection may write."""

    settings: dict[str, Any]
    """``type`` is ``openai`` or ``customGateway``; the latter with ``auth``."""


class ModelProviderListResult(WireModel):
    """The result of modelProvider/list."""

    data: list[ModelProviderSummary]
    default_provider_id: str
    can_change_default: bool
    """Whether this connection may write `config.toml`."""


class CollaborationModeListParams(WireModel):
    """List the modes of working together. Experimental."""

    METHOD: ClassVar[str] = "collaborationMode/list"


class CollaborationMode(WireModel):
    """A mode, and what it sets."""

    name: str
    mode: Literal["plan", "default"]
    model: str | None = None
    reasoning_effort: str | None = Field(default=None, alias="reasoning_effort")


class CollaborationModeListResult(WireModel):
    """The result of collaborationMode/list. There is the default one; questions work in it."""

    data: list[CollaborationMode]


class ExperimentalFeatureListParams(WireModel):
    """List what can be switched under ``[features]``."""

    METHOD: ClassVar[str] = "experimentalFeature/list"
    cursor: str | None = None
    """Index of the next one, as a decimal number."""

    limit: Count | None = None
    thread_id: str | None = None
    """A loaded thread. Switches are the same for all."""


class ExperimentalFeature(WireModel):
    """A switch."""

    name: str
    stage: Literal["beta", "underDevelopment", "stable", "deprecated", "removed"]
    display_name: str | None = None
    description: str | None = None
    announcement: str | None = None
    enabled: bool
    default_enabled: bool


class ExperimentalFeatureListResult(WireModel):
    """The result of experimentalFeature/list."""

    data: list[ExperimentalFeature]
    next_cursor: str | None = None


class PermissionProfileListParams(WireModel):
    """List the named permission profiles."""

    METHOD: ClassVar[str] = "permissionProfile/list"
    cursor: str | None = None
    limit: Count | None = None
    cwd: str | None = None


class PermissionProfileListResult(WireModel):
    """The result of permissionProfile/list: there are none here."""

    data: list[dict[str, Any]]
    next_cursor: str | None = None


class SkillsListParams(WireModel):
    """List the skills: files `SKILL.md` below the home folder and below working directories."""

    METHOD: ClassVar[str] = "skills/list"
    cwds: list[str] | None = None
    """Working directories to look in; default: the server's. At most 32."""

    force_reload: bool = False
    """Ignored: files are always read."""


class SkillError(WireModel):
    """A file that is no skill, and why."""

    path: str
    message: str


class Skill(WireModel):
    """A skill, by its file's front matter."""

    name: str
    description: str
    short_description: str | None = None
    path: str
    scope: Literal["user", "repo"]
    """Where it was found: the home folder or the working directory."""

    enabled: bool = True


class SkillsListEntry(WireModel):
    """The skills that count in one working directory."""

    cwd: str
    skills: list[Skill]
    errors: list[SkillError]


class SkillsListResult(WireModel):
    """The result of skills/list."""

    data: list[SkillsListEntry]


class HooksListParams(WireModel):
    """List the hooks of working directories."""

    METHOD: ClassVar[str] = "hooks/list"
    cwds: list[str] | None = None
    """At most 32; default: the thread's if one is named, else the server's."""

    thread_id: str | None = None
    """A loaded thread."""


class HooksListEntry(WireModel):
    """The hooks of one working directory: there are none here."""

    cwd: str
    hooks: list[dict[str, Any]]
    warnings: list[str]
    errors: list[SkillError]


class HooksListResult(WireModel):
    """The result of hooks/list."""

    data: list[HooksListEntry]


class MockExperimentalParams(WireModel):
    """Echo a text. Experimental: it tells whether this connection may use what is."""

    METHOD: ClassVar[str] = "mock/experimentalMethod"
    value: str | None = None


class MockExperimentalResult(WireModel):
    """The result of mock/experimentalMethod."""

    echoed: str | None = None


CATALOGUE_REQUESTS: dict[str, tuple[type[WireModel], type[WireModel]]] = {
    "modelProvider/list": (ModelProviderListParams, ModelProviderListResult),
    "collaborationMode/list": (CollaborationModeListParams, CollaborationModeListResult),
    "experimentalFeature/list": (ExperimentalFeatureListParams, ExperimentalFeatureListResult),
    "permissionProfile/list": (PermissionProfileListParams, PermissionProfileListResult),
    "skills/list": (SkillsListParams, SkillsListResult),
    "hooks/list": (HooksListParams, HooksListResult),
    "mock/experimentalMethod": (MockExperimentalParams, MockExperimentalResult),
}
