"""What a server that does not use the extension pays for it: nothing heavy."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.extension.conftest import configure
from tests.extension.jupyter import Jupyter, jupyter_server, wait_until
from tests.fake_model import FakeModelInThread

HEAVY = ("pydantic", "pydantic_core", "aiohttp", "codex_jupyter.protocol", "codex_jupyter.core")

_IMPORT = """
import json, sys
import jupyter_server.serverapp
before = set(sys.modules)
import codex_jupyter
codex_jupyter._jupyter_server_extension_points()
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_loading_the_extension_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT], capture_output=True, text=True, check=True, timeout=60
    )
    new: list[str] = json.loads(done.stdout)
    assert [name for name in new if name.startswith(HEAVY)] == []
    assert not {"codex_jupyter.server.app", "codex_jupyter.settings"} & set(new)
    ours = [name for name in new if name.startswith("codex_jupyter")]
    assert "codex_jupyter.extension.app" in ours
    assert len(ours) <= 16, ours


def maps(server: Jupyter) -> str:
    return Path(f"/proc/{server.process.pid}/maps").read_text()


def test_a_server_that_nobody_connects_to_stays_light(
    tmp_path: Path, model: FakeModelInThread
) -> None:
    configure(tmp_path, model)
    with jupyter_server(tmp_path) as server:
        server.start_kernel()
        # compiled modules are mapped: what was imported shows from outside
        assert "pydantic_core" not in maps(server)
        assert "aiohttp" not in maps(server)


@pytest.mark.parametrize(
    "setting",
    [
        "--CodexExtension.headless=perhaps",
        pytest.param("--CodexExtension.headless=allow", marks=pytest.mark.slow),
    ],
)
def test_a_policy_that_is_none_is_refused_with_its_name(
    tmp_path: Path, model: FakeModelInThread, setting: str
) -> None:
    configure(tmp_path, model)
    with jupyter_server(tmp_path, setting) as server:
        assert "CodexExtension.headless: headless policy" in server.log
        found: Any = server.call("GET", "status")
        assert found["kernels"] == 0
        server.process.terminate()
        wait_until(lambda: server.process.poll() is not None, "the server has left", seconds=10)
