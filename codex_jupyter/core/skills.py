"""Skills on disk: folders with a `SKILL.md` that says what they are good for."""

import importlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

__all__ = ["MAX_SKILLS", "FoundSkill", "SkillProblem", "find_skills"]

MAX_SKILLS: Final = 500
"""Skills of one folder; further ones are told as an error."""

MAX_FRONT_MATTER_BYTES: Final = 64 * 1024
"""How much of a file is read."""

_MAX_DEPTH: Final = 6
_FILE: Final = "SKILL.md"
_REPO_FOLDERS: Final = (".codex/skills", ".agents/skills")
_FRONT_MATTER: Final = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.M)
_MAX_NAME: Final = 100
_MAX_DESCRIPTION: Final = 1024


@dataclass(frozen=True, slots=True)
class FoundSkill:
    """A skill, by its front matter."""

    name: str
    description: str
    path: Path
    scope: Literal["user", "repo"]
    short_description: str | None = None


@dataclass(frozen=True, slots=True)
class SkillProblem:
    """A file that is no skill."""

    path: Path
    message: str


def find_skills(home: Path, cwd: Path) -> tuple[Sequence[FoundSkill], Sequence[SkillProblem]]:
    """Look below ``home`` and ``cwd``. Blocks; reads at most 64 KiB of each file.

    Links to folders are followed once, so that no link leads in circles. Of two skills of one
    name, both are listed.
    """
    skills: list[FoundSkill] = []
    problems: list[SkillProblem] = []
    roots = [home / "skills", *(cwd / folder for folder in _REPO_FOLDERS)]
    for root in roots:
        scope: Literal["user", "repo"] = "user" if root == roots[0] else "repo"
        for count, path in enumerate(_files(root)):
            if count == MAX_SKILLS:
                message = f"it has more than {MAX_SKILLS} skills; the others are not listed"
                problems.append(SkillProblem(root, message))
                break
            try:
                skills.append(_read(path, scope))
            except (OSError, ValueError) as error:
                problems.append(SkillProblem(path, f"{error}"))
    return skills, problems


def _files(root: Path) -> Iterator[Path]:
    seen: set[tuple[int, int]] = set()
    for folder, below, names in os.walk(root, followlinks=True):
        below.sort()
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen or _depth(root, folder) > _MAX_DEPTH:
            below.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        if _FILE in names:
            yield Path(folder) / _FILE
            # What lies beside it belongs to it.
            below.clear()


def _depth(root: Path, folder: str) -> int:
    return len(Path(folder).relative_to(root).parts)


def _read(path: Path, scope: Literal["user", "repo"]) -> FoundSkill:
    if not path.is_file():
        raise ValueError("it is not a regular file")
    with path.open("rb") as file:
        text = file.read(MAX_FRONT_MATTER_BYTES).decode("utf-8", "replace")
    front = _front_matter(text)
    name = _text(front, "name", _MAX_NAME) or path.parent.name
    description = _text(front, "description", _MAX_DESCRIPTION)
    if not description:
        raise ValueError("its front matter has no `description`, which says what it is good for")
    metadata: Any = front.get("metadata")
    short = None
    if isinstance(metadata, dict):
        short = _text(cast("dict[str, Any]", metadata), "short-description", _MAX_DESCRIPTION)
    return FoundSkill(name, description, path, scope, short)


def _front_matter(text: str) -> dict[str, Any]:
    found = _FRONT_MATTER.match(text)
    if found is None:
        raise ValueError("it does not begin with front matter between two lines of ---")
    yaml: Any = importlib.import_module("yaml")
    try:
        front = yaml.safe_load(found[1])
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        words = " ".join(str(error).split())[:200]
        raise ValueError(f"its front matter is not YAML: {words}") from None
    if not isinstance(front, dict):
        raise ValueError("its front matter has no members")  # noqa: TRY004 - one kind for all
    return cast("dict[str, Any]", front)


def _text(members: dict[str, Any], name: str, limit: int) -> str | None:
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"`{name}` is not a text")  # noqa: TRY004 - one kind for all
    words = " ".join(value.split())
    if len(words) > limit:
        raise ValueError(f"`{name}` has {len(words)} characters; {limit} are possible")
    return words
