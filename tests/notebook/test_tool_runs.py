"""Which of the tools that a server asks for are the kernel's."""

from typing import Any

import pytest

from codex_jupyter.errors import RemoteError
from codex_jupyter.notebook.tool_runs import METHOD_NOT_FOUND, ToolRuns

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("namespace", "tool", "named"),
    [("lab", "run_python", "lab.run_python"), (None, "look", "look"), ("lab", "look", "lab.look")],
)
async def test_a_tool_of_another_client_is_refused_whatever_its_own_name_is(
    namespace: str | None, tool: str, named: str
) -> None:
    class Shell:
        def run_cell(self, *_: Any, **__: Any) -> None:
            raise AssertionError("it ran")

    nobody: Any = None  # nothing may be asked of the turn
    asked = {"namespace": namespace, "tool": tool, "arguments": {"code": "x = 1"}}
    with pytest.raises(RemoteError) as refused:
        await ToolRuns(Shell())._run(nobody, asked)
    assert refused.value.code == METHOD_NOT_FOUND
    assert f"`{named}`" in str(refused.value)
