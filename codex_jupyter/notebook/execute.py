"""Running a notebook without a browser: nbclient, a transcript on the terminal, a page to read."""

import sys
from pathlib import Path
from typing import Any, Final

import nbformat
from jupyter_client.kernelspec import NoSuchKernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from codex_jupyter.errors import UsageError

__all__ = ["execute_notebook"]

Json = dict[str, Any]

TURN_MIME: Final = "application/vnd.codex-jupyter.turn+json"


def execute_notebook(
    notebook: Path,
    *,
    out: Path | None = None,
    html: bool = False,
    timeout: float = 600.0,
    kernel: str | None = None,
) -> int:
    """Run ``notebook``, print what its cells say, and write the run notebook.

    Args:
        notebook: The file; it is not changed.
        out: Folder for the results; default: ``out`` beside where the command runs.
        html: Also write a page.
        timeout: Seconds for each cell.
        kernel: Kernel name; default: the notebook's.

    Returns:
        0 if every cell ran, 1 if one failed; what ran until then is written all the same.

    Raises:
        UsageError: The notebook cannot be read, the folder cannot be made, or there is no such
            kernel.
    """
    folder = out or Path("out")
    run = _read(notebook)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder {folder} for the results cannot be made: {error}") from None
    client = NotebookClient(
        run,
        timeout=int(timeout),
        kernel_name=kernel or run.metadata.get("kernelspec", {}).get("name", "python3"),
        # Widgets are replaced by static outputs when a turn ends; their state would only be noise.
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
        on_cell_executed=_print_cell,
    )
    failed = False
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        failed = True
        _write_out(f"\n{notebook.name} stopped: {_last_line(str(error))}")
    except NoSuchKernel as error:
        raise UsageError(
            f"there is no kernel {error.name!r} here; `jupyter kernelspec list` names those there "
            "are, and --kernel chooses one"
        ) from None
    done = folder / notebook.name
    nbformat.write(run, done)
    _write_out(f"\nnotebook: {done}")
    if html:
        _write_out(f"page:     {_write_page(run, done.with_suffix('.html'))}")
    return int(failed)


def _read(notebook: Path) -> Any:
    try:
        return nbformat.read(notebook, as_version=4)
    except Exception as error:  # noqa: BLE001 - what is no notebook breaks its reader in many ways
        problem = str(error).partition("\n")[0] or type(error).__name__
        raise UsageError(f"{notebook} cannot be read as a notebook: {problem}") from None


def _print_cell(cell: Json, **_: object) -> None:
    if cell["cell_type"] != "code":
        return
    count = cell.get("execution_count") or " "
    _write_out(f"\n[{count}] " + str(cell["source"]).replace("\n", "\n    "))
    for output in cell["outputs"]:
        if text := _output_text(output):
            _write_out(text)


def _output_text(output: Json) -> str:
    match output["output_type"]:
        case "stream":
            return str(output["text"]).rstrip()
        case "error":
            return "\n".join(output["traceback"])
        case _:
            data = output["data"]
            if TURN_MIME not in data and any(name.startswith("image/") for name in data):
                return "(a picture)"
            return str(data.get("text/plain", "")).rstrip()


def _write_page(run: Any, path: Path) -> Path:
    from nbconvert import HTMLExporter  # noqa: PLC0415 - seconds of import, for one option

    page, _ = HTMLExporter().from_notebook_node(run)
    path.write_text(page, encoding="utf-8")
    return path


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")


def _write_out(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
