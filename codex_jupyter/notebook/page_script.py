"""The page's code as one module and one sheet, for a widget that brings its own."""

import re
from functools import cache
from pathlib import Path
from typing import Final

from codex_jupyter.view.style import LIVE_SHEETS, SHEETS, style

__all__ = ["page_script", "page_style"]

_STATIC: Final = Path(__file__).parents[1] / "view" / "static"

_FIRST: Final = "turn_view.js"
_IMPORT: Final = re.compile(r'^import \{[^}]*\} from "\./([a-z_]+\.js)";\n', re.MULTILINE)
_EXPORT: Final = re.compile(r"^export (?!default)", re.MULTILINE)


@cache
def page_script() -> str:
    """Return the page's modules as one: what a widget ships cannot import its neighbours."""
    modules = [(_STATIC / name).read_text(encoding="utf-8") for name in _in_order(_FIRST, {})]
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", module)) for module in modules)


@cache
def page_style() -> str:
    """Return the look of a turn and of its controls."""
    return style([*SHEETS, *LIVE_SHEETS])


def _in_order(name: str, seen: dict[str, None]) -> list[str]:
    """Return a module and all that it imports, each after what it imports itself."""
    if name in seen:
        return []
    seen[name] = None
    imported = _IMPORT.findall((_STATIC / name).read_text(encoding="utf-8"))
    return [*(found for other in imported for found in _in_order(other, seen)), name]
