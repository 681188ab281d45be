"""Kernel tools as a core asks for them: each call runs once, on the kernel's main thread."""

import asyncio
from concurrent.futures import Future
from typing import Any, Final

from codex_jupyter.errors import RemoteError
from codex_jupyter.notebook.kernel_tools import KERNEL_TOOLS, call_kernel_tool
from codex_jupyter.notebook.turn_handle import TurnHandle

__all__ = ["METHOD_NOT_FOUND", "ToolRuns"]

Json = dict[str, Any]

METHOD_NOT_FOUND: Final = -32601


class ToolRuns:
    """Runs kernel tools; on the core's loop.

    A server asks again for a result that a lost connection swallowed. It gets the same one: what
    the code did to the user's variables happens once.

    Args:
        shell: IPython's shell, ``None`` in a script.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._runs: dict[tuple[str, str], Future[Json]] = {}

    async def run(self, handle: TurnHandle, params: Json) -> Json:
        """Answer an `item/tool/call`.

        Raises:
            RemoteError: This kernel has no such tool.
        """
        key = (handle.turn_id, str(params["callId"]))
        run = self._runs.get(key)
        if run is None:
            # In a task of its own: it goes on when the connection that asked for it drops.
            run = self._runs[key] = handle.post(lambda: self._run(handle, params))
        return await asyncio.shield(asyncio.wrap_future(run))

    def forget(self, turn_id: str) -> None:
        """Forget the results of a turn that has ended; from any thread."""
        for key in [key for key in list(self._runs) if key[0] == turn_id]:
            self._runs.pop(key, None)

    async def _run(self, handle: TurnHandle, params: Json) -> Json:
        tool, arguments = params["tool"], params.get("arguments") or {}
        if (space := params.get("namespace")) is not None:
            tool = f"{space}.{tool}"  # another client's, be its own name one of ours
        if tool not in KERNEL_TOOLS or self._shell is None:
            raise RemoteError(METHOD_NOT_FOUND, f"this kernel has no tool `{tool}`")
        label = str(arguments.get("code") or f"{tool}({', '.join(map(str, arguments.values()))})")
        result: Json | None = await handle.run_on_main(
            lambda: call_kernel_tool(self._shell, tool, arguments), label
        )
        if result is None:
            text = {"type": "inputText", "text": "aborted by user"}
            return {"contentItems": [text], "success": False}
        return result
