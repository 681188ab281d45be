"""A stop at any moment of a cell: whatever it meets, no turn runs on after the cell."""

import json
from typing import Any

import pytest

from tests.fake_model import say
from tests.notebook.conftest import Model
from tests.notebook.kernel_driver import Kernel

pytestmark = pytest.mark.notebook

SWEEP = """
from tests.notebook.sweep import EVERYWHERE, OURS, sweep
import codex_jupyter
shell = get_ipython()
new = lambda: shell.run_line_magic("codex", "new")
{acts}
sweep(act, begun=globals().get("begun", ()), {how})
"""

ACTS = {
    "cell": "act = lambda: shell.run_cell_magic('codex', '', 'Count.')",
    "delegated cell": "act = lambda: shell.run_cell_magic('codex', '--delegate', 'Count.')",
    "review": "act = lambda: codex_jupyter.review('Look.')",
    "map": """
begun = []

def act():
    begun.clear()
    begun.append(codex_jupyter.delegate_map(["Count.", "Count on."]))
    begun[0].result()
""",
    "delegate": """
begun = []

def act():
    begun.clear()
    delegate = codex_jupyter.delegate("Count.")
    begun.append(delegate._delegation)
    delegate.result()
""",
    "start": """
begun = []

def act():
    begun.clear()
    begun.append(codex_jupyter.thread().start("Count."))
    begun[0].result()
""",
}
"""`begun` has what the caller got hold of before the interrupt: that may go on, and is stopped."""


def swept(kernel: Kernel, acts: str, how: str, limit: float) -> dict[str, Any]:
    run = kernel.execute(SWEEP.format(acts=acts, how=how), allow_stdin=True, limit=limit)
    assert run.traceback == []
    told = json.loads(run.stdout.strip().rpartition("\n")[2])
    assert told["bad"] == []
    return told


def test_a_stop_at_every_seventh_moment_leaves_no_turn(kernel: Kernel, model: Model) -> None:
    model.will(*[say("One.").hang(after=3) for _ in range(500)])
    assert swept(kernel, ACTS["cell"], "step=7, fresh=new", 60)["places"] > 100


@pytest.mark.timeout(300)
@pytest.mark.slow
@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())
def test_wherever_a_stop_comes_no_turn_runs_on(kernel: Kernel, model: Model, act: str) -> None:
    model.will(*[say("One.").hang(after=3) for _ in range(3_000)])
    assert swept(kernel, act, "fresh=new", 280)["places"] > 100


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_nor_where_it_comes_in_the_display_or_the_kernel_itself(
    kernel: Kernel, model: Model
) -> None:
    model.will(*[say("One.").hang(after=3) for _ in range(3_000)])
    how = "folders=EVERYWHERE, step=23, fresh=new"
    assert swept(kernel, ACTS["cell"], how, 280)["places"] > 1_000
