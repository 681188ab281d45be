"""What the documents say is so: code runs, commands and links exist, numbers hold."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from codex_jupyter import cli
from codex_jupyter.model.offline.play import load_play
from codex_jupyter.notebook import commands, magics
from codex_jupyter.settings.config_file import parse_config
from codex_jupyter.settings.known_keys import CONFIG, Table
from codex_jupyter.settings.overrides import VARIABLES
from tests.docs.documents import (
    DOCUMENTS,
    ROOT,
    anchors,
    blocks,
    command_lines,
    links,
    read,
    rows,
)

ARCHITECTURE = Path("docs/architecture.md")
GUIDE = Path("docs/guide.md")
WITH_CODE = [document for document in DOCUMENTS if blocks(read(document), "python", "ipython")]

_TIME_OUT = r"^(\w*(?:GRACE|LIMIT|TIMEOUT|WAIT))(?:: Final)? = [0-9.]+$"

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=str)


@pytest.mark.notebook
@pytest.mark.parametrize("document", WITH_CODE, ids=str)
def test_the_code_of_a_document_runs_in_a_kernel_from_top_to_bottom(
    document: Path, tmp_path: Path
) -> None:
    cells = [
        {
            "cell_type": "code",
            "id": f"line-{block.line}",
            "metadata": {},
            "source": block.text,
            "outputs": [],
            "execution_count": None,
        }
        for block in blocks(read(document), "python", "ipython")
    ]
    notebook = tmp_path / f"{document.stem}.ipynb"
    content = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    notebook.write_text(json.dumps(content))
    environment = os.environ | {
        "CODEX_JUPYTER_HOME": str(tmp_path / "home"),
        "CODEX_JUPYTER_MODEL_PROVIDER": "offline",
        "CODEX_JUPYTER_OFFLINE_PACE": "0",
        "CODEX_JUPYTER_HEADLESS": "allow run_python, apply_patch, command",
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    command = [
        sys.executable,
        "-m",
        "codex_jupyter.cli",
        "execute",
        notebook.name,
        "--timeout",
        "30",
    ]
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=90
    )
    assert run.returncode == 0, run.stdout + run.stderr


@each_document
def test_every_toml_block_is_a_play_or_a_config_without_warnings(
    document: Path, tmp_path: Path
) -> None:
    for block in blocks(read(document), "toml"):
        path = tmp_path / f"line_{block.line}.toml"
        path.write_text(block.text, encoding="utf-8")
        if "play" in tomllib.loads(block.text):
            load_play(path)
        else:
            assert parse_config(block.text, path).warnings == ()


@each_document
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    text = read(document)
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    named = {
        word
        for words in command_lines(text)
        if words[0] == "make"
        for word in words[1:]
        if "=" not in word
    }
    named |= set(re.findall(r"`make ([a-z-]+)`", text))
    assert named <= targets


@each_document
def test_every_command_line_of_ours_parses(document: Path) -> None:
    for words in command_lines(read(document)):
        if not words[0].endswith("codex-jupyter"):
            continue
        if "--version" in words:  # leaves the process
            words.remove("--version")
        cli._parser().parse_args(words[1:])


@each_document
def test_every_link_inside_the_project_leads_somewhere(document: Path) -> None:
    broken: list[str] = []
    for link in links(read(document)):
        path, _, fragment = link.partition("#")
        target = (document.parent / path) if path else document
        if not (ROOT / target).exists() or (fragment and fragment not in anchors(read(target))):
            broken.append(link)
    assert broken == []


@each_document
def test_every_word_of_the_line_magic_that_is_named_exists(document: Path) -> None:
    named = set(re.findall(r"(?<!%)%codex ([a-z]+)", read(document)))
    assert named <= set(commands._COMMANDS)


def test_the_guide_names_every_option_command_key_and_variable() -> None:
    guide = read(GUIDE)
    cell = [o for action in magics._cell_parser()._actions for o in action.option_strings]
    line = [f"%codex {name}" for name in commands._COMMANDS]
    traits = [f"CodexMagics.{name}" for name in magics.CodexMagics.class_own_traits(config=True)]
    variables = [*VARIABLES, "CODEX_JUPYTER_HOME"]
    assert _missing([*cell, *line, *traits, *variables], guide) == []
    known: list[Table | None] = [CONFIG, CONFIG.keys["model_providers"].members]
    keys = [f"`{key}`" for table in known if table is not None for key in table.keys]
    assert _missing(keys, guide) == []


def test_the_options_the_guide_lists_for_the_cell_exist() -> None:
    listed = {cells[0].strip("`").split()[0] for cells in rows(read(GUIDE)) if "`--" in cells[0]}
    assert listed == {o for a in magics._cell_parser()._actions for o in a.option_strings}


def test_the_architecture_names_the_layers_of_the_import_contract() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contract = project["tool"]["importlinter"]["contracts"][0]["layers"]
    text = read(ARCHITECTURE)
    listed = re.search(r"(?:^    [a-z |]+\n)+", text, re.MULTILINE)
    assert listed is not None
    assert [line.strip() for line in listed[0].splitlines()] == contract
    names = {name for layer in contract for name in layer.split(" | ")}
    assert set(re.findall(r"^\*\*([a-z]+)\*\* ", text, re.MULTILINE)) == names


def test_the_architecture_names_only_modules_that_exist() -> None:
    walks = read(ARCHITECTURE).partition("## Walks")[2].partition("## Who owns")[0]
    for name in re.findall(r"`([a-z_]+/[a-z_./]+)`", walks):
        if name != "turn/interrupt":
            where = ROOT / "codex_jupyter" / name.replace("static/", "view/static/")
            assert where.exists() or where.with_suffix(".py").exists(), name


def _constants() -> Iterable[tuple[str, str]]:
    for cells in rows(read(ARCHITECTURE)):
        named = re.match(r"`([a-z_.]+\.[A-Za-z_.]+)`", cells[0])
        if named and len(cells) == 3 and re.match(r"[\d.]", cells[1]):
            yield named[1], cells[1]


@pytest.mark.parametrize(("name", "stated"), list(_constants()))
def test_a_bound_or_time_out_has_the_value_the_architecture_states(name: str, stated: str) -> None:
    number, _, unit = stated.partition(" ")
    scale = {"": 1, "s": 1, "KiB": 1024, "MiB": 1024**2}[unit]
    assert _value_of(name) == float(number) * scale


def test_every_time_out_of_the_code_is_in_the_architecture() -> None:
    stated = {name for name, _ in _constants()}
    assert len(stated) > 40
    found: set[str] = set()
    for path in (ROOT / "codex_jupyter").rglob("*.py"):
        module = ".".join(path.relative_to(ROOT / "codex_jupyter").with_suffix("").parts)
        names = re.findall(_TIME_OUT, path.read_text(encoding="utf-8"), re.MULTILINE)
        found |= {f"{module}.{name}" for name in names}
    assert found - stated == set()


def _value_of(name: str) -> Any:
    """Return a constant, or the default of a dataclass's field."""
    *modules, last = name.split(".")
    owner: Any
    if modules[-1][0].isupper():
        owner = getattr(import_module(".".join(["codex_jupyter", *modules[:-1]])), modules[-1])
        assert is_dataclass(owner)
        return next(field.default for field in fields(owner) if field.name == last)
    owner = import_module(".".join(["codex_jupyter", *modules]))
    return getattr(owner, last)


def _missing(names: Iterable[str], text: str) -> list[str]:
    return [name for name in names if name not in text]


def test_every_test_that_guards_a_weakness_exists() -> None:
    named = re.findall(r"`(tests/[a-z_/]+\.py)::(\w+)`", read(ROOT / "docs" / "weaknesses.md"))
    assert len(named) >= 33
    for file, name in named:
        assert f"def {name}(" in (ROOT / file).read_text(), f"{file}::{name}"
