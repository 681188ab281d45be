"""API keys from the system's keyring, where the variable that should hold one is not set."""

import importlib
import logging
from collections.abc import Sequence
from typing import Any, Final

import anyio
import anyio.to_thread

__all__ = ["SERVICE", "key_from_keyring"]

SERVICE: Final = "codex-jupyter"
"""Under this service name keys are kept; the user name is the provider's id or its variable."""

LIMIT: Final = 3.0
"""Seconds; a locked keyring may ask somebody for a password on a screen nobody sees."""

_log = logging.getLogger(__name__)


async def key_from_keyring(names: Sequence[str]) -> str | None:
    """Return the first key that the keyring has under one of ``names``, or ``None``.

    There is none either where the extra `keyring` is not installed, where there is no keyring, or
    where it does not answer in time; the thread that asks it is then left behind.
    """
    with anyio.move_on_after(LIMIT):
        return await anyio.to_thread.run_sync(_look, tuple(names), abandon_on_cancel=True)
    _log.warning("the system's keyring did not answer within %.0f s", LIMIT)
    return None


def _look(names: Sequence[str]) -> str | None:
    try:
        keyring: Any = importlib.import_module("keyring")
        found = (keyring.get_password(SERVICE, name) for name in names)
        return next((key.strip() for key in found if key and key.strip()), None)
    except Exception as error:  # noqa: BLE001 - a plug-in boundary: any backend, any error
        _log.debug("no key from the keyring: %s", type(error).__name__)
        return None
