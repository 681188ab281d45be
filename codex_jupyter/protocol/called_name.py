"""How a tool in a namespace is called where a wire knows plain names only. Pure."""

import hashlib
import re
from typing import Any, Final

__all__ = ["called_name"]

MAX_CHARS: Final = 64
"""What Chat Completions and most servers of the Responses API take."""

_HASH_CHARS: Final = 8


def called_name(namespace: Any, name: str) -> str:
    """Return the one name that stands for both, ``namespace__name``.

    Models say ``functions``, or nothing, for what is in no namespace; a name in none stays as it
    is. What would be too long, or has characters that no name may have, ends with a hash of the
    real one, so that two such names stay different.
    """
    if not isinstance(namespace, str) or namespace in ("", "functions"):
        return name
    whole = f"{namespace}__{name}"
    plain = re.sub(r"[^a-zA-Z0-9_-]", "_", whole)
    if plain == whole and len(plain) <= MAX_CHARS:
        return plain
    mark = hashlib.sha256(whole.encode(errors="replace")).hexdigest()[:_HASH_CHARS]
    return f"{plain[: MAX_CHARS - _HASH_CHARS - 1]}_{mark}"
