"""Which notebook this kernel belongs to, and which of its cells runs."""

from dataclasses import dataclass, field

from codex_jupyter.notebook.cell_identity import CellKeys, Notebook
from codex_jupyter.settings import environment

__all__ = ["Cells"]

_SESSION_NAME = "JPY_SESSION_NAME"


@dataclass(slots=True)
class Cells:
    """What makes the cells of this kernel re-runnable."""

    keys: CellKeys = field(default_factory=CellKeys)
    named: Notebook | None = None
    """What `%codex notebook` said."""

    from_page: Notebook | None = None
    """What the page said, by way of the server."""

    replay: bool = True
    """Whether showing an old answer runs its code again in a new kernel."""

    opted_out: bool = False
    """Whether `%codex new` or `%codex resume` left the notebook's own thread."""

    refusal: str | None = None
    """Why no cell can be re-runnable, where the server does not take ids."""

    def name(self, text: str) -> None:
        """Take the name of the notebook from the user."""
        self.named = Notebook(text, "%codex notebook")

    @property
    def notebook(self) -> Notebook | None:
        """The notebook, or ``None`` where nothing names it.

        The user's word counts most, then the page's; the path that Jupyter gives a kernel comes
        last, because a notebook that is moved loses its answers with it.
        """
        if self.refusal is not None:
            return None
        if self.named is not None:
            return self.named
        if self.from_page is not None:
            return self.from_page
        path = environment.snapshot().get(_SESSION_NAME, "")
        return Notebook(path, "JPY_SESSION_NAME") if path else None

    def describe(self) -> str:
        """Say whether cells are re-runnable, and why."""
        notebook = self.notebook
        if self.refusal is not None:
            return f"no: {self.refusal}"
        if self.opted_out:
            return "no: `%codex new` or `%codex resume` chose a thread of its own"
        if notebook is None:
            return "no: nothing names this notebook; `%codex notebook NAME` does"
        replay = "" if self.replay else "; code of old answers is not run again"
        return f"yes, as {notebook.id!r} (from {notebook.known_from}){replay}"
