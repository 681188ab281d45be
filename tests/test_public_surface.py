"""What the package promises by name, and what importing it must not drag along."""

import importlib
import json
import pkgutil
import subprocess
import sys

import pytest

import codex_jupyter

MODULES = [
    module.name
    for module in pkgutil.walk_packages(codex_jupyter.__path__, "codex_jupyter.")
    if not module.name.endswith("_version")
]
EXTRAS = {"acp"}
HEAVY = {
    "aiohttp",
    "anyio",
    "anywidget",
    "jsonschema",
    "nbclient",
    "nbformat",
    "pydantic",
    "tornado",
}


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_offers(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name not in EXTRAS:
            raise
        pytest.skip(f"needs the extra `{missing.name}`")
    if hasattr(module, "__path__") and not hasattr(module, "__all__"):
        return  # a package that only holds modules
    assert all(hasattr(module, offered) for offered in module.__all__)


def test_every_public_name_can_be_had() -> None:
    for name in codex_jupyter.__all__:
        assert getattr(codex_jupyter, name) is not None


def test_an_unknown_name_is_refused_by_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = codex_jupyter.nonsense


def imported_by(code: str) -> set[str]:
    """Return the top-level modules that ``code`` adds to a shell's process."""
    program = (
        "import json, sys\n"
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "before = set(sys.modules)\n"
        f"{code}\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_loading_the_extension_imports_nothing_heavy() -> None:
    loaded = imported_by("shell.run_line_magic('load_ext', 'codex_jupyter')")
    assert "codex_jupyter" in loaded
    assert not loaded & HEAVY


def test_a_client_of_the_wire_needs_no_engine() -> None:
    code = "import codex_jupyter.client.aio"
    program = f"import sys\n{code}\nprint([m for m in sys.modules if 'codex_jupyter.core' in m])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
