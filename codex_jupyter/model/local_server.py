"""The process of the small local model: serves one weights file to its parent until that is gone.

Run by path with the weights as its argument, so that it needs nothing of the package. Its parent
writes the API key as the first line of stdin and keeps stdin open; one line of JSON on stdout,
``{"address": "http://127.0.0.1:…"}``, says that requests are taken.
"""

import importlib
import json
import os
import sys
import threading
import time
from typing import Any, Final

__all__ = ["main"]

CONTEXT_TOKENS: Final = 4096
"""Half of what SmolLM2 was trained for: longer prompts take too long without a GPU."""

ANSWER_TOKENS: Final = 512
"""Longest answer. At temperature 0 a model this small may repeat itself without an end."""

PARENT_CHECK_SECONDS: Final = 2.0


def main() -> None:
    """Serve until stdin ends or the parent's process id changes; does not return.

    The second check is for a parent that forked: its copy would keep stdin open after its death.
    """
    parent = os.getppid()
    key = _read_line()
    if not key:
        return
    report = _take_stdout()
    threading.Thread(target=_exit_with_stdin, daemon=True).start()
    # Held until the end: the engine stops when the object goes.
    server = _serve(sys.argv[1], key)
    report.write(json.dumps({"address": server.listening_address}) + "\n")
    report.flush()
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(0)


def _serve(weights: str, key: str) -> Any:
    engine: Any = importlib.import_module("xllamacpp")
    params = engine.CommonParams()
    params.model.path = weights
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.n_ctx = CONTEXT_TOKENS
    params.n_predict = ANSWER_TOKENS
    params.n_parallel = 1
    # An interrupt counts after a batch: with the default of 2048 tokens, up to 13 s later.
    params.n_batch = 256
    # By default up to 8 GB of earlier prompts are kept; the last one is enough here.
    params.cache_ram_mib = 0
    params.sampling.temp = 0.0
    params.ui = False
    # Errors only: whatever is written stays in the parent's log file until the end.
    params.verbosity = 1
    return engine.Server(params)


def _read_line() -> str:
    line = b""
    # Unbuffered: a thread inside a buffered read would block the interpreter's exit.
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return line.decode("ascii").strip()


def _take_stdout() -> Any:
    """Return stdout for the report alone; whatever else is printed goes to stderr."""
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return report


def _exit_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
