"""The model a user agreed to with `%codex use`, remembered in ``use.json``."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

__all__ = ["Choice", "ensure_home", "forget_choice", "read_choice", "remember_choice"]

_FILE = "use.json"
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Choice:
    """A provider, and optionally where it answers and which of its models."""

    provider: str
    model: str | None = None
    base_url: str | None = None


def ensure_home(home: Path) -> Path:
    """Create the directory of this package for the user alone (0700) if it is missing.

    Raises:
        OSError: It cannot be created.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return home


def remember_choice(
    home: Path, provider: str, *, model: str | None = None, base_url: str | None = None
) -> Choice:
    """Store what the user agreed to, in place of an earlier choice.

    The file is replaced whole (0600): a reader sees the old choice or the new one. It takes
    effect with the next `Settings.load`.

    Raises:
        OSError: It cannot be written; the earlier choice still stands.
    """
    choice = Choice(provider, model, base_url)
    target = ensure_home(home) / _FILE
    draft = target.with_name(f".{_FILE}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(choice), file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return choice


def forget_choice(home: Path) -> bool:
    """Drop the stored choice. Return whether there was one.

    Raises:
        OSError: There is one, and it cannot be removed.
    """
    try:
        (home / _FILE).unlink()
    except FileNotFoundError:
        return False
    return True


def read_choice(home: Path) -> tuple[Choice | None, str | None]:
    """Return the stored choice if there is one, and a warning if it cannot be understood.

    A damaged file must not keep a notebook from starting: it counts as no choice.
    """
    path = home / _FILE
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES)
    except FileNotFoundError:
        return None, None
    except OSError as error:
        return None, f"{path}: cannot be read ({error.strerror or error}); run `%codex use` again"
    try:
        choice = _choice(json.loads(raw))
    except (ValueError, RecursionError):
        choice = None
    if choice is None:
        return None, f"{path}: is damaged and was ignored; run `%codex use` again"
    return choice, None


def _choice(stored: object) -> Choice | None:
    if not isinstance(stored, dict):
        return None
    members: Mapping[str, Any] = cast("dict[str, Any]", stored)
    provider, model, base_url = (members.get(name) for name in ("provider", "model", "base_url"))
    if not isinstance(provider, str) or not provider:
        return None
    if not isinstance(model, str | None) or not isinstance(base_url, str | None):
        return None
    return Choice(provider, model or None, base_url or None)
