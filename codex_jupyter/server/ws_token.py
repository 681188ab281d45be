"""The capability token of a server that listens: given as a file or digest, or made here."""

import hashlib
import re
import secrets
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from codex_jupyter.errors import ConfigError

__all__ = ["digest_of_file", "digest_of_hex", "made_token"]

_MAX_TOKEN_BYTES: Final = 4_096
_SHA256_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")


def digest_of_file(path: Path) -> bytes:
    """Return the SHA-256 of the token in a file; blanks around it do not count.

    Raises:
        ConfigError: The file cannot be read, or holds no token.
    """
    try:
        with path.open("rb") as file:
            token = file.read(_MAX_TOKEN_BYTES + 1).strip()
    except OSError as error:
        raise ConfigError(
            f"--ws-token-file {path}", f"it cannot be read: {error.strerror}"
        ) from None
    if not token or len(token) > _MAX_TOKEN_BYTES:
        raise ConfigError(
            f"--ws-token-file {path}", f"it must hold a token of 1 to {_MAX_TOKEN_BYTES} bytes"
        )
    return hashlib.sha256(token).digest()


def digest_of_hex(text: str) -> bytes:
    """Return the digest that was given as hexadecimal digits.

    Raises:
        ConfigError: It is none.
    """
    if not _SHA256_HEX.fullmatch(text):
        raise ConfigError(f"--ws-token-sha256 {text[:80]}", "it must be 64 hexadecimal digits")
    return bytes.fromhex(text)


@contextmanager
def made_token(folder: Path) -> Generator[tuple[Path, bytes]]:
    """Make a token, in a file that only the user can read, which is removed at the end.

    Yields:
        The file and the digest of what is in it.

    Raises:
        OSError: The file cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    token = secrets.token_urlsafe(32)
    # mkstemp makes it for the user alone, under a name that was free.
    descriptor, name = tempfile.mkstemp(prefix="ws-token-", dir=folder)
    path = Path(name)
    try:
        with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor
            file.write(token + "\n")
        yield path, hashlib.sha256(token.encode()).digest()
    finally:
        path.unlink(missing_ok=True)
