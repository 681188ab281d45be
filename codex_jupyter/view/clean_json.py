"""JSON as a notebook can carry it."""

from typing import Any, Final

__all__ = ["clean"]

_URLS: Final = frozenset({"audioUrl", "imageUrl", "url"})


def clean(value: Any, name: str = "") -> Any:
    """Copy JSON, without what a notebook cannot carry: lone surrogates, inlined media."""
    match value:
        case str():
            return _short(_whole(value)) if name in _URLS else _whole(value)
        case dict():
            return {_whole(key): clean(member, key) for key, member in value.items()}
        case list():
            return [clean(member) for member in value]
        case _:
            return value


def _whole(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _short(url: str) -> str:
    head, comma, _ = url.partition(",")
    return f"{head},…" if comma and url.startswith("data:") else url
