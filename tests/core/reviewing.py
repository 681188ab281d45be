"""Reviews of a tree in few words."""

import json
import subprocess
from pathlib import Path
from typing import Any

from codex_jupyter.core.review_text import review_hint
from codex_jupyter.core.session import Session
from codex_jupyter.protocol.events import ItemCompleted, ItemStarted
from codex_jupyter.protocol.ops import Review
from tests.core.tree import Json, Tree, words_of

__all__ = [
    "FINDING",
    "FOUND",
    "check_the_shape",
    "commit",
    "git",
    "of_custom",
    "prompt_of_the_reviewer",
    "review",
]

FINDING: Json = {
    "title": "Do not divide by zero",
    "body": "It fails when the list is empty.\nSay so instead.",
    "priority": 1,
    "confidence_score": 0.9,
    "code_location": {"absolute_file_path": "/w/mean.py", "line_range": {"start": 3, "end": 4}},
}
FOUND: Json = {
    "findings": [FINDING],
    "overall_correctness": "patch is incorrect",
    "overall_explanation": "One case is missing.",
    "overall_confidence_score": 0.8,
}


def review(target: Json) -> Review:
    return Review(target, review_hint(target))


def of_custom(instructions: str = "look at mean.py") -> Review:
    return review({"type": "custom", "instructions": instructions})


def git(folder: Path, *arguments: str) -> str:
    known = ("-c", "user.email=a@example.com", "-c", "user.name=A", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *known, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def commit(folder: Path, name: str) -> str:
    """Make a commit with a new file and return its id."""
    (folder / name).write_text(name)
    git(folder, "add", name)
    git(folder, "commit", "-q", "-m", f"Add {name}")
    return git(folder, "rev-parse", "HEAD")


def prompt_of_the_reviewer(tree: Tree, n: int = 0) -> str:
    """Return what the reviewer was asked."""
    return words_of(tree.requests["reviewer"][n])[-1]


def check_the_shape(tree: Tree, root: Session, turn_id: str) -> None:
    """The turn has one begin and one end, one entry and one exit, and no item is left open."""
    assert [t["id"] for t in tree.begins(root)].count(turn_id) == 1
    assert [t["id"] for t in tree.ends(root)].count(turn_id) == 1
    mine: list[Any] = [e.msg for e in tree.of(root) if e.turn_id == turn_id]
    opened = [msg.item["id"] for msg in mine if isinstance(msg, ItemStarted)]
    closed = [msg.item["id"] for msg in mine if isinstance(msg, ItemCompleted)]
    assert sorted(opened) == sorted(closed)
    assert len(set(opened)) == len(opened)
    kinds = [msg.item["type"] for msg in mine if isinstance(msg, ItemCompleted)]
    assert kinds.count("enteredReviewMode") == 1
    assert kinds.count("exitedReviewMode") == 1
    assert kinds.index("enteredReviewMode") < kinds.index("exitedReviewMode")
    assert json.dumps(mine[-1].turn)
    assert tree.manager.loaded == (root.thread_id,)
    assert not root.state.broker.open_requests
