"""Which commands provably only read, and which deserve a warning."""

import os
import re
import stat
from dataclasses import dataclass
from enum import Enum, auto
from fnmatch import fnmatchcase
from pathlib import Path

__all__ = ["is_dangerous", "read_only_argv"]

_MAX_LENGTH = 4096
_WORD = r"[A-Za-z0-9_./,:@+-]+"
_SIMPLE_COMMAND = re.compile(rf"[ \t]*{_WORD}(?:[ \t]+{_WORD})*[ \t]*", re.ASCII)
"""Words of characters that no shell gives a meaning, in any position of a simple command."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,9}", re.ASCII)


class _Operands(Enum):
    """What the words after the options are."""

    NONE = auto()
    TEXT = auto()
    PATHS = auto()
    PATTERN_AND_PATHS = auto()


@dataclass(frozen=True, slots=True)
class _Program:
    operands: _Operands
    flags: str = ""
    """Letters that may follow one hyphen, alone or together."""

    long_flags: frozenset[str] = frozenset()
    numeric: str = ""
    """Letters that take a number, in the same word or the next."""

    bare_number: bool = False
    """Whether ``-5`` is a number of lines."""


# Options are listed because they are known to be harmless; what is missing is not known to be.
# Left out on purpose: everything that names another file to read (--files0-from, -f), follows
# links (ls -L, grep -r), waits (tail -f), writes (sort -o, uniq FILE FILE) or runs (find, git).
_PROGRAMS = {
    "cat": _Program(_Operands.PATHS, "AbEensTtv"),
    "echo": _Program(_Operands.TEXT),
    "false": _Program(_Operands.NONE),
    "grep": _Program(
        _Operands.PATTERN_AND_PATHS,
        "EFHLchilnoqsvwx",
        frozenset({"--count", "--ignore-case", "--line-number", "--invert-match"}),
        numeric="ABCm",
    ),
    "head": _Program(_Operands.PATHS, "qv", numeric="nc", bare_number=True),
    "id": _Program(_Operands.NONE, "Ggnru"),
    "ls": _Program(
        _Operands.PATHS,
        "1ACFGRSUacdghilmnoprstux",
        frozenset({"--all", "--almost-all", "--human-readable", "--recursive", "--reverse"}),
    ),
    "nl": _Program(_Operands.PATHS),
    "pwd": _Program(_Operands.NONE, "LP"),
    "stat": _Program(_Operands.PATHS, "t"),
    "tail": _Program(_Operands.PATHS, "qv", numeric="nc", bare_number=True),
    "true": _Program(_Operands.NONE),
    "uname": _Program(_Operands.NONE, "aimnoprsv"),
    "wc": _Program(
        _Operands.PATHS, "Lclmw", frozenset({"--bytes", "--chars", "--lines", "--words"})
    ),
    "whoami": _Program(_Operands.NONE),
}

_PLAIN_HIDDEN = frozenset(
    {".editorconfig", ".gitattributes", ".github", ".gitignore", ".pre-commit-config.yaml"}
)
"""Hidden names that hold no secrets by their nature. Every other hidden name asks."""

_SENSITIVE = (
    *(
        "*.pem",
        "*.key",
        "*.p12",
        "*.pfx",
        "*.jks",
        "*.kdbx",
        "*.keystore",
        "*.ovpn",
        "*.ppk",
        "*.keychain*",
    ),
    *("*secret*", "*password*", "*passwd*", "*credential*", "*_history", "*cookie*"),
    # Not `*token*`: a tokenizer is no secret.
    *("*token", "*tokens", "*token.*", "*tokens.*", "token_*", "token-*"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "_netrc", "shadow", "*.env"),
    *("jpserver-*", "nbserver-*", "kernel-*.json", "gcloud", "service*account*.json"),
)
"""Names, in lower case, whose content asks. `kernel-*.json` holds the key of a kernel."""

_SENSITIVE_HOMES = frozenset(
    {".aws", ".azure", ".docker", ".gnupg", ".jupyter", ".kube", ".password-store", ".ssh"}
)
"""Directories where everything is sensitive, also when a command runs inside of them."""

_SYSTEM_TREES = frozenset({"dev", "etc", "proc", "run", "sys"})


def read_only_argv(
    script: str, cwd: Path, *, path: str = "/usr/bin:/bin"
) -> tuple[str, ...] | None:
    """Return what to execute, without a shell, if ``script`` provably only reads; else ``None``.

    It does if it is one line of at most 4 KiB, one simple command of plain words (no quotes,
    operators, expansions or assignments), its program is on a short list and found in a system
    directory as a file only root can change, every option is known to be harmless, and every
    path lies in ``cwd`` once links are followed, is an ordinary file with one name or a
    directory, and is not named like a secret. Nothing else is said about a refused command: it
    asks.

    Paths are looked at now. A process that swaps a file for a link before the command runs is
    not seen; commands of a turn do not outlive it, and a sandbox holds the rest.

    Args:
        script: As the model wrote it.
        cwd: Where the command will run; also the only place it may read.
        path: System directories, separated by ``:``; never the PATH of the user.
    """
    if len(script) > _MAX_LENGTH or not _SIMPLE_COMMAND.fullmatch(script):
        return None
    name, *arguments = script.split()
    home = Path(os.path.realpath(cwd))
    executable = _system_program(name, home, path)
    if executable is None:
        return None
    program = _PROGRAMS[executable.name]
    operands = _operands(program, arguments)
    if operands is None or not _are_harmless(program, operands, home):
        return None
    return (str(executable), *arguments)


def _system_program(name: str, home: Path, path: str) -> Path | None:
    """Find a listed program where only root can have put it."""
    given = Path(name)
    directories = [Path(entry) for entry in path.split(":") if entry.startswith("/")]
    if "/" in name:
        directories = [
            place for place in directories if str(given) == name == f"{place}/{given.name}"
        ]
    if given.name not in _PROGRAMS:
        return None
    for directory in directories:
        candidate = directory / given.name
        real = Path(os.path.realpath(candidate))
        if real.is_file():
            places = (real, real.parent, Path(os.path.realpath(directory)))
            trusted = all(map(_only_root_writes, places)) and not real.is_relative_to(home)
            return candidate if trusted and os.access(real, os.X_OK) else None
    return None


def _only_root_writes(place: Path) -> bool:
    try:
        info = place.stat()
    except OSError:
        return False
    return info.st_uid == 0 and not info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _operands(program: _Program, arguments: list[str]) -> list[str] | None:
    """Return the words that are no options, or ``None`` if an option is not on the list."""
    if program.operands is _Operands.TEXT:
        return arguments
    operands: list[str] = []
    words = iter(arguments)
    for word in words:
        if not word.startswith("-"):
            operands.append(word)
        elif word[1:] and word[-1] in program.numeric and _are_flags(program, word[1:-1]):
            # The number is the next word.
            if not _NUMBER.fullmatch(next(words, "")):
                return None
        elif not _is_harmless_option(program, word):
            return None
    return operands


def _is_harmless_option(program: _Program, word: str) -> bool:
    if word in program.long_flags:
        return True
    letters = word[1:]
    if program.bare_number and letters.isdecimal():
        return _NUMBER.fullmatch(letters) is not None
    if letters[:1] and letters[0] in program.numeric:
        return _NUMBER.fullmatch(letters[1:]) is not None
    return bool(letters) and _are_flags(program, letters)


def _are_flags(program: _Program, letters: str) -> bool:
    return all(letter in program.flags for letter in letters)


def _are_harmless(program: _Program, operands: list[str], home: Path) -> bool:
    match program.operands:
        case _Operands.NONE:
            return not operands
        case _Operands.TEXT:
            return True
        case _Operands.PATHS:
            paths = operands
        case _Operands.PATTERN_AND_PATHS:
            if len(operands) < 2:  # noqa: PLR2004 - a pattern and at least one file
                return False
            paths = operands[1:]
    return _is_workspace(home) and all(_is_readable_inside(path, home) for path in paths)


def _is_workspace(home: Path) -> bool:
    """Refuse to call the root, a system tree or a place of secrets a workspace."""
    parts = home.parts[1:]
    return (
        home.is_dir()
        and bool(parts)
        and parts[0] not in _SYSTEM_TREES
        and _SENSITIVE_HOMES.isdisjoint(part.lower() for part in parts)
    )


def _is_readable_inside(path: str, home: Path) -> bool:
    real = Path(os.path.realpath(home / path))
    if not real.is_relative_to(home):
        return False
    written = Path(path)
    if written.is_absolute():
        if not written.is_relative_to(home):
            return False
        written = written.relative_to(home)
    # Both what was written and where it leads: a link may carry the harmless name.
    names = {*written.parts, *real.relative_to(home).parts} - {".", ".."}
    if any(map(_is_sensitive, names)):
        return False
    try:
        info = real.stat()
    except OSError:
        # Missing: the command will say so.
        return not os.path.lexists(real)
    # A second hard link may be the one name by which an outside file is reached.
    return stat.S_ISDIR(info.st_mode) or (stat.S_ISREG(info.st_mode) and info.st_nlink == 1)


def _is_sensitive(name: str) -> bool:
    lowered = name.lower()
    if lowered.startswith("."):
        return lowered not in _PLAIN_HIDDEN
    return any(fnmatchcase(lowered, pattern) for pattern in _SENSITIVE)


_START = r"(?:^|[\s;&|(){}!/])"
# Bounded, so that the search stays linear in the length of a script.
_REST = r"[^;&|\n]{0,400}?"
_GIT = rf"{_START}git\s+(?:-[Cc]\s*\S+\s+|--?[a-z][a-z=./-]*\s+){{0,8}}"
_SHELL = r"(?:(?:ba|da|z|k|fi)?sh|python[0-9.]*|perl|ruby|node)"
_WARNINGS = (
    (
        "deletes files for good",
        (
            rf"{_START}rm\s(?:{_REST}\s)?-(?:[A-Za-z]*[rRf]|-(?:rec|f))",
            rf"(?:-exec|-execdir|-ok|{_START}xargs)\b{_REST}[\s/]rm\s",
            rf"{_START}(?:shred|srm)\s|\bfind\s{_REST}\s-delete\b|\brmtree\b",
        ),
    ),
    ("runs with more rights than yours", (rf"{_START}(?:sudo|doas|pkexec|su)(?:\s|$)",)),
    (
        "writes to disks or files block by block",
        (rf"{_START}(?:mkfs|wipefs|fdisk|sfdisk|parted|mkswap)\b|{_START}dd\s",),
    ),
    (
        "writes to a device",
        (r"(?:>\|?|\bof=|\btee\s(?:-a\s)?)\s*/dev/(?!(?:null|stdout|stderr|tty|fd/\d)\b)",),
    ),
    (
        "discards work that git cannot bring back",
        (
            rf"{_GIT}(?:clean|restore|filter-branch)\b",
            rf"{_GIT}reset\b{_REST}\s--(?:h|m|k)",
            rf"{_GIT}push\b{_REST}\s(?:-[a-z]*f|--force|-d\b|--delete|--mirror|\+)",
            rf"{_GIT}(?:checkout|switch)\b{_REST}\s(?:-f\b|--force|--discard|--\s|\.(?:\s|$))",
            rf"{_GIT}(?:branch\b{_REST}\s-D|stash\s+(?:drop|clear)|reflog\s+expire)",
        ),
    ),
    (
        "changes the rights of a whole tree",
        (rf"{_START}(?:chmod|chown|chgrp)\s(?:{_REST}\s)?-(?:[A-Za-z]*R|-rec)",),
    ),
    (
        "runs text that is made or fetched while it runs",
        (
            rf"\|\s*(?:(?:sudo|env|exec|command)\s+){{0,3}}(?:[^\s|]{{0,200}}/)?{_SHELL}(?:\s|$)",
            rf"{_SHELL}\s+(?:-c\s*)?[<$]\s*\(?\s*(?:curl|wget)|{_START}eval\s",
        ),
    ),
    (
        "ends processes or the machine",
        (
            rf"{_START}(?:shutdown|reboot|halt|poweroff|killall|pkill)\b",
            rf"{_START}kill\s(?:{_REST}\s)?-1(?:\s|$)",
        ),
    ),
    ("starts processes without end", (r"\(\)\s*\{[^}]{0,200}?\|[^}]{0,200}?&",)),
)


def is_dangerous(script: str) -> str | None:
    """Return a warning for the card, such as ``deletes files for good``, or ``None``.

    A warning, never a guard: it looks at the text and is easily fooled by one that hides what it
    does. No decision about running a command may rest on ``None``.
    """
    plain = re.sub(r"\\\n", "", script)
    plain = re.sub(r"\$\{?IFS\}?", " ", plain)
    # Quotes and backslashes change how a word is written, not which word it is.
    plain = re.sub(r"[\"'\\]", "", plain)
    # Backquotes and substitutions: what stands inside is a command too.
    plain = re.sub(r"[`$(){}]+", lambda found: f" {found[0]} ", plain)
    for warning, patterns in _WARNINGS:
        if any(re.search(pattern, plain) for pattern in patterns):
            return warning
    return None
