"""What a person waits for in JupyterLab with the core in the Jupyter server, in milliseconds.

Run ``python -m benchmarks.page_speed``; it needs the extra ``ui`` and Chromium. The model is a fake
on loopback that answers at once. A page is real, so the numbers include its painting.
"""

import os
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import psutil

from tests.fake_answers import Answer, call, say, status
from tests.fake_model import run_in_thread
from tests.notebook.kernel_driver import provider_config
from tests.ui.lab import Notebook, chromium, lab_server

ROUNDS = 3

_WATCH = """() => {
    window.seen = {longest: 0, marks: {}};
    let last = performance.now();
    const frame = now => {
        window.seen.longest = Math.max(window.seen.longest, now - last);
        last = now;
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    const look = () => {
        const turns = document.querySelectorAll('.cxj-turn');
        const text = turns.length ? turns[turns.length - 1].textContent : '';
        for (const word of ['FIRST', 'LAST']) {
            if (text.includes(word)) window.seen.marks[word] ??= performance.now();
        }
    };
    new MutationObserver(look).observe(document.body,
        {subtree: true, childList: true, characterData: true});
}"""

_RUN = """() => {
    window.seen.marks = {};
    window.seen.longest = 0;
    window.seen.begun = performance.now();
    window.jupyterapp.commands.execute('notebook:run-cell');
}"""


class Bench:
    """One notebook at a server; every measurement is one run of its cell."""

    def __init__(self, notebook: Notebook, script: "deque[Answer]") -> None:
        self.notebook = notebook
        self.script = script
        self.page = notebook.page
        self.kernel = psutil.Process(
            int(notebook.cell("%load_ext").locator(".jp-OutputArea-output").inner_text())
        )

    def begin(self, *answers: Answer) -> None:
        """Run the cell; the model will answer so."""
        self.script.clear()
        self.script.extend(answers)
        self.notebook.cell("Go.").locator(".jp-InputArea-editor").first.click()
        self.page.evaluate(_RUN)

    def until(self, mark: str) -> float:
        """Return after how many milliseconds a word was in the page."""
        self.page.wait_for_function(f"window.seen.marks.{mark}")
        return float(self.page.evaluate(f"window.seen.marks.{mark} - window.seen.begun"))

    def first_token(self) -> dict[str, float]:
        self.begin(say("FIRST and LAST"))
        row = {"first token": self.until("FIRST")}
        self.notebook.wait_idle()
        return row

    def deltas(self, count: int) -> dict[str, float]:
        before = self.cpu()
        self.begin(say("FIRST " + "word " * (count - 2) + "LAST", deltas=count))
        row = {f"{count:,} deltas visible": self.until("LAST")}
        self.notebook.wait_idle()
        row[f"longest frame of {count:,} deltas"] = float(self.page.evaluate("window.seen.longest"))
        row["kernel CPU for 1,000 deltas"] = (self.cpu() - before) * 1e6 / count
        return row

    def approve(self, folder: Path) -> dict[str, float]:
        made = folder / f"at-{time.monotonic_ns()}"
        script = f"date +%s.%N > {made.name}"
        self.begin(call("shell_command", {"command": script}, call_id="c1"), say("LAST"))
        button = self.page.locator(".jp-OutputArea .cxj-choice-accept").last
        button.wait_for()
        self.notebook.scroll_all_to_their_ends()
        self.page.wait_for_function(
            "!document.querySelector('.jp-OutputArea .cxj-choice-accept').disabled"
        )
        clicked = float(button.evaluate("b => { const t = Date.now(); b.click(); return t; }"))
        self.until("LAST")
        self.notebook.wait_idle()
        return {"approve click to command start": float(made.read_text()) * 1000 - clicked}

    def stop(self, resume: Callable[[], None]) -> dict[str, float]:
        self.begin(say("FIRST two three", deltas=3).hang(after=4))
        self.until("FIRST")
        button = self.page.locator(".jp-OutputArea .cxj-stop").last
        button.wait_for()
        begun = time.perf_counter()
        button.click()
        self.notebook.wait_idle()
        resume()
        return {"stop click to idle cell": (time.perf_counter() - begun) * 1000}

    def cpu(self) -> float:
        times = self.kernel.cpu_times()
        return times.user + times.system


def main() -> None:
    """Measure and print a table of medians."""
    rows: dict[str, list[float]] = {}
    script: deque[Answer] = deque()
    top = Path(tempfile.mkdtemp(prefix="codex-page-speed-"))

    def answer(_body: dict[str, Any]) -> Answer:
        return script.popleft() if script else status(400, "the script has no answer")

    with chromium() as browser, run_in_thread(answer) as fake:
        folder = top / "work"
        folder.mkdir()
        (top / "home").mkdir()
        (top / "home" / "config.toml").write_text(provider_config(fake.base_url))
        environment = {"CODEX_JUPYTER_HOME": str(top / "home"), "FAKE_KEY": "key"}
        environment["CODEX_JUPYTER_MODEL_PROVIDER"] = ""
        cells = ["%load_ext codex_jupyter\nimport os; print(os.getpid())", "%%codex\nGo."]
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        nbformat.write(made, folder / "speed.ipynb")
        with lab_server(folder, environment) as address:
            notebook = Notebook.open(browser, address, "speed.ipynb", last="Go.")
            notebook.run("%load_ext")
            notebook.wait_idle()
            notebook.page.evaluate(_WATCH)
            bench = Bench(notebook, script)
            bench.first_token()  # loads what is loaded once
            for _ in range(ROUNDS):
                for row in (
                    bench.first_token(),
                    bench.deltas(2_000),
                    bench.deltas(10_000),
                    bench.approve(folder),
                    bench.stop(fake.resume),
                ):
                    for name, value in row.items():
                        rows.setdefault(name, []).append(value)
    print(f"load average {os.getloadavg()[0]:.1f}; medians of {ROUNDS}, milliseconds")
    for name, values in rows.items():
        print(f"{name:40} {statistics.median(values):9.1f}   ({min(values):.1f}-{max(values):.1f})")


if __name__ == "__main__":
    main()
