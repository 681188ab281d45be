"""What a client may ask of the models."""

from typing import Any, ClassVar

from pydantic import Field

from codex_jupyter.protocol._wire import Count, WireModel

__all__ = ["MODEL_REQUESTS", "ModelListParams"]


class ModelListParams(WireModel):
    """List the models of a provider."""

    METHOD: ClassVar[str] = "model/list"
    cursor: str | None = None
    """Index of the next one, as a decimal number."""

    limit: Count | None = None
    include_hidden: bool | None = None
    model_provider: str | None = None
    """Default: the configured one."""


class Model(WireModel):
    """A model that can be asked for."""

    id: str
    model: str
    display_name: str
    description: str
    hidden: bool = False
    is_default: bool
    supported_reasoning_efforts: list[dict[str, Any]]
    default_reasoning_effort: str
    input_modalities: list[str] = Field(default_factory=list[str])
    supports_personality: bool = False
    upgrade: str | None = None
    context_window: int | None = None
    """Ours: tokens that fit into a request, if that is known."""


class ModelListResult(WireModel):
    """The result of model/list."""

    data: list[Model]
    next_cursor: str | None = None


MODEL_REQUESTS: dict[str, tuple[type[WireModel], type[WireModel]]] = {
    "model/list": (ModelListParams, ModelListResult),
}
