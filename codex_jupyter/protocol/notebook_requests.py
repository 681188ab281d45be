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
    is_new: bool = False
    """Whether the id was made just now. If another page made one before, for the same kernel and
    path, that one counts."""


class NotebookIdentifyResult(WireModel):
    """The result of notebook/identify."""

    notebook_id: str
    """The id that counts; the page keeps it."""


class NotebookIdentityParams(WireModel):
    """Ours, for kernels: which notebook the asking kernel runs."""

    METHOD: ClassVar[str] = "notebook/identity"
    expects_page: bool = False
    """Whether the cell came from a page, so that one is waited for even before it is connected."""


class NotebookIdentityResult(WireModel):
    """The result of notebook/identity; both are null if no page has said so."""

    notebook_id: str | None = None
    path: str | None = None


NOTEBOOK_REQUESTS: dict[str, tuple[type[WireModel], type[WireModel]]] = {
    "notebook/identify": (NotebookIdentifyParams, NotebookIdentifyResult),
    "notebook/identity": (NotebookIdentityParams, NotebookIdentityResult),
}
