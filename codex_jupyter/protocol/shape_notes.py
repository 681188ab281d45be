"""What the source says of the shapes: which there are, and the texts under their members."""

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final, get_args

from codex_jupyter.protocol._wire import WireModel
from codex_jupyter.protocol.items import ThreadItem, UserInput

__all__ = ["UNIONS", "docstring", "field_notes", "models_in", "reachable"]

Shape = type[WireModel]

UNIONS: Final = (("ThreadItem", ThreadItem), ("UserInput", UserInput))
"""Unions with a name of their own."""


def docstring(thing: type) -> str:
    """Return the summary and what follows it, without the list of Python attributes."""
    text = inspect.cleandoc(thing.__doc__ or "").partition("\n\nAttributes:")[0]
    return text.replace("``", "`")


def models_in(annotation: Any) -> list[Shape]:
    """Return the shapes that an annotation names, in order."""
    if inspect.isclass(annotation) and issubclass(annotation, WireModel):
        return [annotation]
    return [shape for inner in get_args(annotation) for shape in models_in(inner)]


def reachable(shapes: Iterable[Shape]) -> list[Shape]:
    """Return ``shapes`` and all they name, directly or not, each once, breadth first."""
    found = list(dict.fromkeys(shapes))
    for shape in found:  # grows while it is walked
        for field in shape.model_fields.values():
            found += [s for s in dict.fromkeys(models_in(field.annotation)) if s not in found]
    return found


def field_notes(shape: Shape) -> dict[str, str]:
    """Return the text under each field, those of the bases included."""
    notes: dict[str, str] = {}
    for base in reversed(shape.__mro__):
        if issubclass(base, WireModel):
            notes |= _notes_of_module(base.__module__).get(base.__name__, {})
    return notes


@cache
def _notes_of_module(module: str) -> dict[str, dict[str, str]]:
    """Read the texts from the source: Python keeps them nowhere else."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {
        node.name: dict(_notes_of_class(node))
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    }


def _notes_of_class(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, after in zip(node.body, node.body[1:], strict=False):
        match field, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, inspect.cleandoc(text)
            case _:
                pass
