"""What pages and kernels say of notebooks, so that their cells can be run again."""

from typing import ClassVar

from codex_jupyter.protocol._wire import WireModel

__all__ = [
    "NOTEBOOK_REQUESTS",
    "NotebookIdentifyParams",
    "NotebookIdentityParams",
    "NotebookIdentityResult",
]


class NotebookIdentifyParams(WireModel):
    """Ours, for pages: which notebook a kernel runs. The id is kept in the notebook's metadata."""

    METHOD: ClassVar[str] = "notebook/identify"
    kernel_id: str
    notebook_id: str
    path: str


class NotebookIdentifyResult(WireModel):
    """The result of notebook/identify."""


class NotebookIdentityParams(WireModel):
    """Ours, for kernels: which notebook the asking kernel runs."""

    METHOD: ClassVar[str] = "notebook/identity"


class NotebookIdentityResult(WireModel):
    """The result of notebook/identity; both are null if no page has said so."""

    notebook_id: str | None = None
    path: str | None = None


NOTEBOOK_REQUESTS: dict[str, tuple[type[WireModel], type[WireModel]]] = {
    "notebook/identify": (NotebookIdentifyParams, NotebookIdentifyResult),
    "notebook/identity": (NotebookIdentityParams, NotebookIdentityResult),
}
