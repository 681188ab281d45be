"""The environment a command gets: the parent's, without what is ours or looks like a secret."""

from collections.abc import Mapping

__all__ = ["TAG_VARIABLE", "child_environment", "secret_values", "with_tag"]

TAG_VARIABLE = "CODEX_JUPYTER_EXEC"
"""Marks every process a command starts, so that those that left its group are still found.

Its value is one or more tags joined by ``:``, outermost first.
"""

_OWN_PREFIXES = ("CODEX_JUPYTER_", "JPY_")
_SECRET_PARTS = ("KEY", "SECRET", "TOKEN", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL")
_STARTUP_FILES = frozenset({"BASH_ENV", "ENV"})
"""Files a shell reads before a script; nothing but the script that was approved may run."""

_REDACT_FROM_LENGTH = 8
"""Characters. Shorter values (``1``, ``true``, ``none``) would blank out ordinary text."""


def child_environment(parent: Mapping[str, str], tag: str) -> dict[str, str]:
    """Derive the environment of commands from ``parent``, which is not changed.

    Dropped: variables of this package and of Jupyter's own processes, names that look like a
    secret, and shell start-up files. Set: pagers that never wait for a key, a terminal type
    without cursor movement, and ``tag``. ``NO_COLOR`` stays as the user has it: colours are shown
    in the notebook, and programs rarely colour a pipe unasked.

    Args:
        parent: Usually the environment of this process.
        tag: Letters and digits; names the turn or session the commands belong to. It is added to
            a tag the parent itself carries, so an outer agent still finds what we start.
    """
    kept = {
        name: value
        for name, value in parent.items()
        if not (_is_own(name) or _is_secret(name) or name in _STARTUP_FILES)
    }
    kept |= {"PAGER": "cat", "GIT_PAGER": "cat", "TERM": "dumb"}
    if TAG_VARIABLE in parent:
        kept[TAG_VARIABLE] = parent[TAG_VARIABLE]
    return with_tag(kept, tag)


def with_tag(env: Mapping[str, str], tag: str) -> dict[str, str]:
    """Copy ``env`` with ``tag`` added behind the tags it has."""
    tags = [*filter(None, [env.get(TAG_VARIABLE)]), tag]
    return {**env, TAG_VARIABLE: ":".join(tags)}


def secret_values(parent: Mapping[str, str]) -> frozenset[str]:
    """Return the values of secret-looking variables, to be struck from what is stored or sent.

    Only values of 8 characters or more, without the blanks around them.
    """
    values = (value.strip() for name, value in parent.items() if _is_secret(name))
    return frozenset(value for value in values if len(value) >= _REDACT_FROM_LENGTH)


def _is_own(name: str) -> bool:
    return name.upper().startswith(_OWN_PREFIXES)


def _is_secret(name: str) -> bool:
    # JUPYTER_TOKEN and JUPYTERHUB_API_TOKEN are caught by the word as well.
    return any(part in name.upper() for part in _SECRET_PARTS)
