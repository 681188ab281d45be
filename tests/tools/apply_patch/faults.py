"""A small workspace, a patch that does all a patch can do, and operations that fail."""

import errno
import functools
import inspect
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from codex_jupyter.tools.apply_patch import FileOps, PatchPlan, parse_patch, plan_patch

OPERATIONS = [
    name
    for name, value in vars(FileOps).items()
    if inspect.isfunction(value) and not name.startswith("_")
]

FIVE = """*** Begin Patch
*** Update File: a.txt
-one
+ONE
*** Add File: new/deep/n.txt
+n
*** Delete File: src/b.txt
*** Update File: run.sh
*** Move to: bin/run.sh
-echo
+printf
*** Add File: src/.vscode/c
+c
*** End Patch
"""


class Killed(BaseException):
    """The process is gone: nothing it would still do happens."""


class FaultyOps(FileOps):
    """Real operations, one of which fails.

    ``before``: it fails without effect; ``after``: it takes effect and fails; ``torn``: a file
    is written in part; ``kill``: this one and all later ones do not happen.
    """

    def __init__(self, at: int, how: str, *, links: bool = True) -> None:
        self.count = 0
        self.failed = False
        self._links = links
        for name in OPERATIONS:
            setattr(self, name, functools.partial(self._step, at, how, getattr(super(), name)))

    def _step(self, at: int, how: str, real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.count += 1
        name = real.__name__
        if how.startswith("kill") and self.count >= at:
            if how == "kill torn" and self.count == at and name == "create":
                real(args[0], args[1][: len(args[1]) // 2], *args[2:], **kwargs)
            raise Killed
        if name == "link" and not self._links:
            return False
        if self.count != at:
            return real(*args, **kwargs)
        if how == "torn" and name == "create":
            real(args[0], args[1][: len(args[1]) // 2], *args[2:], **kwargs)
        elif how == "after":
            result = real(*args, **kwargs)
            if name.startswith("open"):
                os.close(result)
        self.failed = True
        raise OSError(errno.EIO, "injected")


class InterruptedOps(FaultyOps):
    """Real operations; somebody else acts just before one of them.

    Attributes:
        moment: Name and first two arguments of that operation, once it was reached.
    """

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        super().__init__(at, "interrupted")
        self._act = act
        self.moment: tuple[Any, ...] | None = None

    def _step(self, at: int, how: str, real: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.count + 1 == at:
            self.moment = (real.__name__, *args[:2])
            self._act()
        return super()._step(0, how, real, *args, **kwargs)


def tree(top: Path) -> dict[str, object]:
    return {
        path.relative_to(top).as_posix(): (
            path.readlink()
            if path.is_symlink()
            else (stat.S_IMODE(path.stat().st_mode), path.read_bytes() if path.is_file() else None)
        )
        for path in sorted(top.rglob("*"))
    }


def make(tmp_path: Path, name: str) -> Path:
    top = tmp_path / name
    (top / "src").mkdir(parents=True)
    (top / "a.txt").write_bytes(b"one\ntwo\n")
    (top / "src" / "b.txt").write_bytes(b"b\n")
    (top / "run.sh").write_bytes(b"echo\n")
    (top / "run.sh").chmod(0o751)
    return top


def plan(workspace: Path, text: str = FIVE) -> PatchPlan:
    return plan_patch(parse_patch(text), workspace)


def update(name: str, old: str, new: str) -> str:
    return f"*** Begin Patch\n*** Update File: {name}\n-{old}\n+{new}\n*** End Patch\n"
