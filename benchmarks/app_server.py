"""Times app servers side by side: the same model, the same client, rounds that take turns.

::

    python -m benchmarks.app_server [--rounds N] [--json FILE] [NAME=COMMAND ...]

Without a NAME=COMMAND the ``codex-jupyter`` beside this Python is measured alone. Every round
starts servers with a home of their own, and the implementations alternate, so that a machine
whose speed drifts affects them alike. Figures are medians over all rounds.
"""

import argparse
import json
import os
import shlex
import shutil
import statistics
import sys
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from anyio.streams.text import TextReceiveStream

from benchmarks.client import Launch, RefusedError, ServerGoneError
from benchmarks.rows import FULL, QUICK, UNITS, Counts, Samples, WrongAnswerError, run_round

__all__ = ["main", "medians", "table"]

Medians = Mapping[str, float | None]

_MODEL_START_TIMEOUT = 20.0
_CONFIG = """\
model = "fast-model"
model_provider = "fast"
approval_policy = "never"
sandbox_mode = "danger-full-access"

[model_providers.fast]
name = "fast"
base_url = "http://127.0.0.1:{port}/v1"
wire_api = "responses"
env_key = "BENCHMARK_KEY"
request_max_retries = 0
stream_max_retries = 0
supports_websockets = false

[features]
enable_request_compression = false
shell_snapshot = false

[analytics]
enabled = false
"""
"""The same for everyone: no retries, no telemetry, nothing that this model does not speak."""


def medians(samples: Samples) -> dict[str, float | None]:
    """Return the median of each row; ``None`` for a row the implementation does not know."""
    return {
        row: None if row in samples.missing else statistics.median(samples.readings[row])
        for row in UNITS
    }


def table(figures: Mapping[str, Medians]) -> str:
    """Lay the figures out in columns, with ratios to the first implementation.

    A ratio is the other's figure divided by the first's: above 1 the first is faster or uses less.
    """
    first, *others = figures
    titles = ["row", "unit", first, *others, *(f"{other}/{first}" for other in others)]
    lines = [titles]
    for row, unit in UNITS.items():
        cells = [_figure(figures[name][row]) for name in figures]
        ratios = [_ratio(figures[first][row], figures[other][row]) for other in others]
        lines.append([row, unit, *cells, *ratios])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_line(cells, widths) for cells in lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *rest = (
        cell.ljust(width) if place < 2 else cell.rjust(width)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([name, *rest]).rstrip()


def _figure(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def _ratio(first: float | None, other: float | None) -> str:
    return "n/a" if not first or other is None else f"{other / first:.2f}"


@asynccontextmanager
async def _model() -> AsyncGenerator[int]:
    """Run the model in a process of its own and yield its port."""
    command = [sys.executable, "-m", "benchmarks.model"]
    root = Path(__file__).parent.parent
    async with await anyio.open_process(command, cwd=root, stderr=None) as process:
        try:
            assert process.stdout is not None
            with anyio.fail_after(_MODEL_START_TIMEOUT):
                port = int(await TextReceiveStream(process.stdout).receive())
            yield port
        finally:
            process.kill()


@contextmanager
def _launch(
    command: Sequence[str], port: int, root: Path, errors: Path | None
) -> Generator[Launch]:
    """Make a home and a working folder for one round of one implementation."""
    with (
        TemporaryDirectory(dir=root, prefix="home-", ignore_cleanup_errors=True) as home,
        TemporaryDirectory(dir=root, prefix="work-", ignore_cleanup_errors=True) as work,
        (errors or Path(os.devnull)).open("ab") as log,
    ):
        Path(home, "config.toml").write_text(_CONFIG.format(port=port), encoding="utf-8")
        environment = {
            # What the caller pins for itself, e.g. the offline model, is not for the servers.
            **{k: v for k, v in os.environ.items() if not k.startswith("CODEX_")},
            # No profile of this machine's user shall run in the shell rows.
            "HOME": home,
            "CODEX_HOME": home,
            "CODEX_JUPYTER_HOME": home,
            "BENCHMARK_KEY": "none",
            "RUST_LOG": "error",
        }
        yield Launch(command, environment, Path(work), log)


async def _measure(
    commands: Mapping[str, Sequence[str]],
    counts: Counts,
    rounds: int,
    root: Path,
    errors: Path | None,
) -> dict[str, Samples]:
    samples = {name: Samples() for name in commands}
    async with _model() as port:
        for number in range(rounds):
            for name, command in commands.items():
                print(f"round {number + 1} of {rounds}: {name}", file=sys.stderr)
                with _launch(command, port, root, errors) as launch:
                    await run_round(launch, counts, samples[name])
    return samples


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.app_server",
        description="Time app servers side by side.",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write medians and readings")
    parser.add_argument("--quick", action="store_true", help="one tiny round: does it still work?")
    parser.add_argument(
        "--home-root",
        type=Path,
        default=None,
        metavar="FOLDER",
        help="where homes are made; default ~/.cache/codex-jupyter-benchmarks",
    )
    parser.add_argument("--errors", type=Path, metavar="FILE", help="append what servers log")
    parser.add_argument("servers", nargs="*", metavar="NAME=COMMAND")
    return parser.parse_args(argv)


def _commands(stated: Sequence[str]) -> dict[str, list[str]]:
    beside = Path(sys.executable).with_name("codex-jupyter")
    commands: dict[str, list[str]] = {}
    for server in stated or [f"ours={shlex.quote(str(beside))} app-server"]:
        name, _, command = server.partition("=")
        if not name or not command.strip():
            raise SystemExit(f"{server!r} must be NAME=COMMAND")
        program, *options = shlex.split(command)
        found = shutil.which(program)
        if found is None:
            raise SystemExit(f"{name}: there is no program {program!r}")
        # Absolute, because servers start in a folder of their own.
        commands[name] = [str(Path(found).absolute()), *options]
    return commands


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print; ends with status 1 when a server answered wrongly or not at all."""
    asked = _arguments(argv)
    commands = _commands(asked.servers)
    root: Path = asked.home_root or Path.home() / ".cache" / "codex-jupyter-benchmarks"
    root.mkdir(parents=True, exist_ok=True)
    counts, rounds = (QUICK, 1) if asked.quick else (FULL, asked.rounds)
    try:
        samples = anyio.run(_measure, commands, counts, rounds, root, asked.errors)
    except* (WrongAnswerError, RefusedError, ServerGoneError, TimeoutError) as errors:
        raise SystemExit(f"no figures: {_first_leaf(errors)!r}") from None
    figures = {name: medians(taken) for name, taken in samples.items()}
    print(table(figures))
    if asked.json is not None:
        everything = {name: taken.readings for name, taken in samples.items()}
        text = json.dumps({"median": figures, "all": everything}, indent=1)
        asked.json.write_text(text + "\n", encoding="utf-8")


def _first_leaf(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first = errors.exceptions[0]
    return _first_leaf(first) if isinstance(first, BaseExceptionGroup) else first


if __name__ == "__main__":
    main()
