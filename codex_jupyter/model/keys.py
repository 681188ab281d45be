"""API keys that the user left with us: in the system's keyring, else in a file of the user's."""

import importlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import anyio
import anyio.to_thread

from codex_jupyter.errors import CodexError

__all__ = ["SERVICE", "forget_keys", "key_from_keyring", "store_key", "stored_key"]

SERVICE: Final = "codex-jupyter"
"""Under this service name keys are kept; the user name is the provider's id or its variable."""

LIMIT: Final = 3.0
"""Seconds; a locked keyring may ask somebody for a password on a screen nobody sees."""

_FILE: Final = "keys.json"
_MAX_FILE_BYTES: Final = 256 * 1024
_log = logging.getLogger(__name__)
T = TypeVar("T")


async def stored_key(home: Path, names: Sequence[str]) -> str | None:
    """Return the first key that is kept under one of ``names``, or ``None``.

    The file counts first: it has a key only where the keyring did not take it. There is none
    either where the keyring does not answer in time.
    """
    kept = await anyio.to_thread.run_sync(_read_file, home / _FILE)
    found = next((kept[name] for name in names if name in kept), None)
    return found if found is not None else await key_from_keyring(names)


async def key_from_keyring(names: Sequence[str]) -> str | None:
    """Return the first key that the keyring has under one of ``names``, or ``None``.

    There is none either where the extra `keyring` is not installed, where there is no keyring, or
    where it does not answer in time; the thread that asks it is then left behind.
    """
    return await _ask(lambda keyring: _look(keyring, names))


async def store_key(home: Path, name: str, key: str) -> None:
    """Keep a key, in place of an older one of this name.

    It goes into the keyring if that takes it, and gives it back; else into a file of mode 0600 in
    ``home``.

    Raises:
        CodexError: It could be kept in neither.
    """
    in_keyring = await _ask(lambda keyring: _put(keyring, name, key)) or False
    with anyio.CancelScope(shield=True):
        kept = None if in_keyring else key
        await anyio.to_thread.run_sync(_change_file, home / _FILE, {name: kept})


async def forget_keys(home: Path, names: Sequence[str]) -> None:
    """Keep no keys of these names any more, wherever they are.

    Raises:
        CodexError: The file cannot be changed.
    """
    await _ask(lambda keyring: _remove(keyring, names))
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(_change_file, home / _FILE, dict.fromkeys(names))


async def _ask(question: Callable[[Any], T]) -> T | None:
    with anyio.move_on_after(LIMIT):
        return await anyio.to_thread.run_sync(_with_keyring, question, abandon_on_cancel=True)
    _log.warning("the system's keyring did not answer within %.0f s", LIMIT)
    return None


def _with_keyring(question: Callable[[Any], T]) -> T | None:
    try:
        return question(importlib.import_module("keyring"))
    except Exception as error:  # noqa: BLE001 - a plug-in boundary: any backend, any error
        # Only its kind: what a backend says may hold what it was given.
        _log.debug("the keyring cannot be used: %s", type(error).__name__)
        return None


def _look(keyring: Any, names: Sequence[str]) -> str | None:
    found = (keyring.get_password(SERVICE, name) for name in names)
    return next((key.strip() for key in found if key and key.strip()), None)


def _put(keyring: Any, name: str, key: str) -> bool:
    keyring.set_password(SERVICE, name, key)
    # Some backends take everything and keep nothing.
    return keyring.get_password(SERVICE, name) == key


def _remove(keyring: Any, names: Sequence[str]) -> None:
    for name in names:
        if keyring.get_password(SERVICE, name) is not None:
            keyring.delete_password(SERVICE, name)


def _read_file(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            kept = json.loads(file.read(_MAX_FILE_BYTES))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        _log.warning("%s cannot be read: %s", path, type(error).__name__)
        return {}
    members = cast("dict[str, Any]", kept) if isinstance(kept, dict) else {}
    return {name: key for name, key in members.items() if isinstance(key, str)}


def _change_file(path: Path, changes: dict[str, str | None]) -> None:
    """Set keys, or remove those that are ``None``; without any there is no file."""
    old = _read_file(path)
    kept = {name: key for name, key in (old | changes).items() if key is not None}
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        if not kept:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(kept, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise CodexError(f"{path} cannot be written: {error.strerror or 'unknown'}") from None
