"""What is answered where nobody can be asked: a stated policy, or none. Pure."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from codex_jupyter.errors import UsageError

__all__ = ["HeadlessPolicy", "parse_headless", "what_is_asked"]

_KINDS: Final = ("apply_patch", "command", "run_python")


@dataclass(frozen=True, slots=True)
class HeadlessPolicy:
    """How approvals are answered without a person.

    ``fail`` ends the turn with an error that names this setting; it is the default, because
    silence must not mean yes.
    """

    mode: Literal["fail", "deny", "allow"] = "fail"
    rules: tuple[str, ...] = ()
    """With ``allow``: `run_python` (any kernel tool by its name), `apply_patch`, `command`, or
    `command:PREFIX`."""

    def decide(self, request: dict[str, Any]) -> Literal["accept", "decline", "fail"]:
        """Answer a pending request: its ``kind``, ``command`` and ``tool`` count."""
        if self.mode == "allow":
            return "accept" if any(_covers(rule, request) for rule in self.rules) else "decline"
        return "decline" if self.mode == "deny" else "fail"

    def __str__(self) -> str:
        return " ".join(filter(None, (self.mode, ", ".join(self.rules))))


def parse_headless(text: str) -> HeadlessPolicy:
    """Read ``deny``, ``fail`` or ``allow RULE, RULE…``.

    Raises:
        UsageError: The text is none of these.
    """
    mode, _, rest = text.strip().partition(" ")
    rules = tuple(filter(None, (rule.strip() for rule in rest.split(","))))
    if mode in ("deny", "fail") and not rules:
        return HeadlessPolicy("deny" if mode == "deny" else "fail")
    if mode == "allow" and rules:
        for rule in rules:
            _check(rule)
        return HeadlessPolicy("allow", rules)
    raise UsageError(
        f"headless policy {text.strip()!r} is not understood; write `deny`, `fail`, or "
        "`allow RULES` with RULES separated by commas, e.g. "
        "`allow run_python, apply_patch, command:ls`"
    )


def what_is_asked(request: dict[str, Any]) -> str:
    """Name what a pending request asks for, as errors do."""
    match request["kind"]:
        case "tool":
            return f"`{request.get('tool')}`"
        case "patch":
            return "`apply_patch`"
        case "question":
            return "an answer to its question"
        case _:
            return f"`command` ({str(request.get('script'))[:120]!r})"


def _check(rule: str) -> None:
    name, _, prefix = rule.partition(":")
    if (name not in _KINDS and not name.isidentifier()) or (":" in rule and name != "command"):
        raise UsageError(
            f"headless rule {rule!r} is not understood; a rule is run_python, apply_patch, "
            "command, or command:PREFIX"
        )
    if ":" in rule and not prefix.strip():
        raise UsageError(f"headless rule {rule!r} has an empty prefix")


def _covers(rule: str, request: dict[str, Any]) -> bool:
    name, _, prefix = rule.partition(":")
    match request["kind"]:
        case "command":
            if name != "command":
                return False
            words, wanted = _simple_words(str(request.get("script", ""))), prefix.split()
            return not prefix or (words is not None and words[: len(wanted)] == wanted)
        case "patch":
            return name == "apply_patch"
        case "tool":
            return name == request.get("tool")
        case _:
            return False


def _simple_words(script: str) -> list[str] | None:
    """Split a command that is one simple command; a prefix never covers anything else."""
    if any(character in script for character in "|&;<>()$`\"'\\*?[]{}~!#\n\r"):
        return None
    return script.split()
