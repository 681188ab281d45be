"""The settings of a thread that comes back: the last turn's, where its caller asks nothing else."""

from pathlib import Path
from typing import Any

import pytest

from codex_jupyter.core.config import SessionConfig, ThreadOptions, mode_of_sandbox
from codex_jupyter.protocol.ops import TurnOverrides, UserTurn
from tests.core.tree import Tree, growing, prompt

pytestmark = pytest.mark.anyio

FREE = ('approval_policy = "never"', 'sandbox_mode = "danger-full-access"')
OUTER = {"type": "externalSandbox", "networkAccess": "restricted"}
ROOTS = {
    "type": "workspaceWrite",
    "writableRoots": ["/srv/data"],
    "networkAccess": True,
    "excludeTmpdirEnvVar": True,
    "excludeSlashTmp": False,
}


async def resumed(tree: Tree, overrides: TurnOverrides, **options: Any) -> SessionConfig:
    """Return the settings of a thread that is loaded after a turn with some."""
    root = await tree.root()
    await tree.turn(root, UserTurn(prompt("#one"), overrides=overrides))
    await tree.manager.close(root.thread_id)
    again, _ = await tree.manager.resume(root.thread_id, ThreadOptions(**options))
    return again.config


@pytest.mark.parametrize("sandbox", [OUTER, ROOTS])
async def test_a_thread_comes_back_with_no_more_rights_than_it_had(
    tmp_path: Path, sandbox: dict[str, Any]
) -> None:
    async with growing(tmp_path, *FREE) as tree:
        config = await resumed(tree, TurnOverrides(sandbox=sandbox))
        assert config.sandbox == sandbox
        assert config.policy.refuses


async def test_the_config_of_whoever_resumes_counts_more_than_the_last_turn(
    tmp_path: Path,
) -> None:
    async with growing(tmp_path) as tree:
        had = TurnOverrides(
            sandbox={"type": "dangerFullAccess"}, approval_policy="never", model="m1"
        )
        asked = {"sandbox_mode": "read-only", "approval_policy": "untrusted", "model": "m2"}
        config = await resumed(tree, had, config=asked)
        assert config.sandbox["type"] == "readOnly"
        assert (config.approval_policy, config.model) == ("untrusted", "m2")


@pytest.mark.parametrize("mode", ["read-only", "workspace-write", "danger-full-access"])
def test_a_thread_of_the_original_has_the_mode_it_had(mode: str) -> None:
    assert mode_of_sandbox({"type": mode}) == mode
