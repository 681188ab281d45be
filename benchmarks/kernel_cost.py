"""Measures what the agent costs the kernel it lives in, in CPU seconds, and compares with bars.

``python -m benchmarks.kernel_cost [--rounds N] [--json FILE] [--check]``

Every reading is taken in a fresh process, once in plain IPython and once in a real ipykernel with
a front end that can answer questions, so that the live view is made. CPU and not wall time: it
includes every thread and the child processes that have ended, and neither the pauses of the
offline model nor other work on the machine.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

__all__ = ["LOAD_BAR", "TURN_BAR", "KernelCost", "main"]

LOAD_BAR = 0.1
"""CPU seconds that importing the package and loading the extension may add to a kernel."""

TURN_BAR = 1.2
"""CPU seconds that the first turn with an embedded core may add to that."""

_TIMEOUT = 120.0
_BASE = """\
import json, resource, time, IPython, ipywidgets
def read():
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used), time.thread_time()
"""
_SCRIPT = f"""\
{_BASE}from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
readings = [read()]
import codex_jupyter
codex_jupyter.load_ipython_extension(shell)
readings.append(read())
result = codex_jupyter.thread().run("hello", quiet=True)
readings.append(read())
assert result.status == "completed", result
print(json.dumps(readings))
"""
_CELLS = (
    f"{_BASE}readings = [read()]",
    "import codex_jupyter\n%load_ext codex_jupyter",
    "readings.append(read())",
    "%%codex\nhello",
    "readings.append(read())",
)
"""As a person would: the turn is a cell of its own, and its cost includes that of its display."""


@dataclass(frozen=True, slots=True)
class KernelCost:
    """CPU seconds of one process; the first two fields are of all its threads."""

    base: float
    """Since the start of the process, with IPython and ipywidgets imported."""

    load: float
    """What ``import codex_jupyter`` and loading the extension add."""

    turn: float
    """What the first turn adds, on all threads."""

    turn_main: float
    """How much of `turn` the main thread spent."""


def _cost(readings: Sequence[Sequence[float]]) -> KernelCost:
    (base, _), (loaded, main_before), (done, main_after) = readings
    return KernelCost(base, loaded - base, done - loaded, main_after - main_before)


def _in_script(environment: Mapping[str, str], folder: str) -> KernelCost:
    run = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        check=True,
        timeout=_TIMEOUT,
    )
    return _cost(json.loads(run.stdout.splitlines()[-1]))


def _in_kernel(environment: Mapping[str, str], folder: str) -> KernelCost:
    kernel = KernelManager(kernel_name="python3")
    kernel.start_kernel(env=dict(environment), cwd=folder, extra_arguments=["--log-level=ERROR"])
    client = kernel.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=_TIMEOUT)
        for cell in _CELLS:
            _execute(client, cell)
        wanted = _execute(client, "", {"readings": "json.dumps(readings)"})
        text: str = wanted["user_expressions"]["readings"]["data"]["text/plain"]
        return _cost(json.loads(text.strip("'")))
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)


def _execute(
    client: BlockingKernelClient, cell: str, wanted: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Run a cell as a front end with a person would, and return its reply.

    Raises:
        SystemExit: The cell failed, or it put out an error.
    """
    failures: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        if message["msg_type"] == "error":
            failures.append("\n".join(message["content"]["traceback"]))

    reply: dict[str, Any] = client.execute_interactive(
        cell,
        user_expressions=dict(wanted or {}),
        allow_stdin=True,
        stdin_hook=_refuse,
        output_hook=hear,
        timeout=_TIMEOUT,
    )
    content: dict[str, Any] = reply["content"]
    if failures or content["status"] != "ok":
        raise SystemExit(f"the cell failed: {cell!r}\n" + "\n".join(failures))
    return content


def _refuse(question: dict[str, Any]) -> None:
    raise SystemExit(f"nothing asks here, but there came {question['content']}")


@contextmanager
def _home() -> Generator[tuple[dict[str, str], str]]:
    """Make a home for one process: no settings, no history and no keys of this machine's user."""
    with TemporaryDirectory(prefix="kernel-cost-", ignore_cleanup_errors=True) as home:
        work = Path(home, "work")
        work.mkdir()
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("CODEX_")
        }
        yield (
            {
                **inherited,
                "HOME": home,
                "IPYTHONDIR": str(Path(home, "ipython")),
                "CODEX_HOME": home,
                "CODEX_JUPYTER_HOME": home,
                "CODEX_JUPYTER_MODEL_PROVIDER": "offline",
            },
            str(work),
        )


def _report(place: str, costs: Sequence[KernelCost]) -> bool:
    """Print the medians of one place and say whether they keep to the bars."""
    middle = _median(costs)
    rows = (
        ("base: IPython and ipywidgets", middle.base, None),
        ("import and load_ext add", middle.load, LOAD_BAR),
        ("the first turn adds", middle.turn, TURN_BAR),
        ("  of that on the main thread", middle.turn_main, None),
    )
    print(f"{place}, median of {len(costs)}, CPU seconds")
    for words, seconds, bar in rows:
        verdict = "" if bar is None else f"  bar {bar}: {'pass' if seconds <= bar else 'fail'}"
        print(f"  {words:30}{seconds:8.3f}{verdict}")
    return all(bar is None or seconds <= bar for _, seconds, bar in rows)


def _median(costs: Sequence[KernelCost]) -> KernelCost:
    columns = zip(*(asdict(cost).values() for cost in costs), strict=True)
    return KernelCost(*map(statistics.median, columns))


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print; with ``--check`` the exit status is 1 when a bar is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kernel_cost",
        description="Measure what the agent costs a kernel, in CPU seconds.",
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every reading")
    parser.add_argument("--check", action="store_true", help="status 1 when a bar is missed")
    asked = parser.parse_args(argv)
    places = {"plain IPython, quiet turn": _in_script, "ipykernel, live view": _in_kernel}
    costs: dict[str, list[KernelCost]] = {}
    # The first, uncounted round writes byte code and fills the machine's file cache.
    for number in range(asked.rounds + 1):
        for place, measure in places.items():
            with _home() as (environment, folder):
                cost = measure(environment, folder)
            if number:
                costs.setdefault(place, []).append(cost)
    passed = [_report(place, taken) for place, taken in costs.items()]
    if asked.json is not None:
        readings = {place: [asdict(cost) for cost in taken] for place, taken in costs.items()}
        asked.json.write_text(json.dumps(readings, indent=1) + "\n", encoding="utf-8")
    if asked.check and not all(passed):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
