"""Runs the tool calls of one answer: neighbours side by side where they may, outputs in order."""

import logging
from collections.abc import Sequence
from typing import Any, Protocol

import anyio

from codex_jupyter.errors import RolloutError
from codex_jupyter.ids import ItemId, new_item_id
from codex_jupyter.protocol.called_name import called_name
from codex_jupyter.tools.registry import (
    ToolArgumentsError,
    ToolCall,
    ToolContext,
    ToolOutput,
    ToolRegistry,
)

__all__ = ["ToolCalls"]

Json = dict[str, Any]
_log = logging.getLogger(__name__)


class _Host(ToolContext, Protocol):
    item_ids: set[str]

    def stage_memory(self, items: tuple[Json, ...]) -> None:
        """Have what only the model sees stored with what comes next."""
        ...


class ToolCalls:
    """The calls of one turn, which must not share item ids.

    Args:
        host: The turn, as tools see it.
        tools: What may be called.
    """

    def __init__(self, host: _Host, tools: ToolRegistry) -> None:
        self._host = host
        self._tools = tools

    async def run(self, items: Sequence[Json]) -> None:
        """Run the calls that ``items`` ask for and stage their outputs in the order of the calls.

        Cancelled in the middle, it stages the outputs of what has run by then.

        Raises:
            RolloutError: Something could not be stored.
        """
        outputs: dict[str, ToolOutput] = {}
        failures: list[RolloutError] = []
        for group in self._groups([self._call_of(item) for item in items]):
            try:
                async with anyio.create_task_group() as tasks:
                    for call in group:
                        tasks.start_soon(self._run_one, call, outputs, failures)
            finally:
                # Also when a hard stop takes the rest away: what has run must be known.
                known = [call for call in group if call.item_id in outputs]
                self._host.stage_memory(
                    tuple(_output_item(call, outputs[call.item_id]) for call in known)
                )
            if failures:
                raise failures[0]

    async def _run_one(
        self, call: ToolCall, outputs: dict[str, ToolOutput], failures: list[RolloutError]
    ) -> None:
        tool = self._tools.find(call.name)
        if self._host.token.reason is not None:
            outputs[call.item_id] = ToolOutput("aborted by user", success=False)
        elif tool is None:
            kind = "custom tool call" if call.freeform else "call"
            outputs[call.item_id] = ToolOutput(f"unsupported {kind}: {call.name}", success=False)
        else:
            try:
                outputs[call.item_id] = await tool.call(call, self._host)
            except ToolArgumentsError as error:
                outputs[call.item_id] = ToolOutput(str(error), success=False)
            except RolloutError as error:
                failures.append(error)
            except Exception as error:  # noqa: BLE001 - the tool boundary: one bad call, not the turn
                _log.exception("the tool `%s` failed", call.name)
                text = f"execution error: {type(error).__name__}: {error}"
                outputs[call.item_id] = ToolOutput(text, success=False)

    def _call_of(self, item: Json) -> ToolCall:
        call_id = str(item.get("call_id") or "")
        item_id = call_id
        if not call_id or call_id in self._host.item_ids:
            item_id = new_item_id()
        self._host.item_ids.add(item_id)
        freeform = item["type"] == "custom_tool_call"
        text = item.get("input" if freeform else "arguments") or ""
        return ToolCall(
            call_id=call_id,
            item_id=ItemId(item_id),
            name=called_name(item.get("namespace"), str(item.get("name"))),
            text=text if isinstance(text, str) else "",
            freeform=freeform,
        )

    def _groups(self, calls: Sequence[ToolCall]) -> list[list[ToolCall]]:
        """Cut the calls into runs: neighbours that may run side by side, each other one alone."""
        groups: list[list[ToolCall]] = []
        previous = False
        for call in calls:
            tool = self._tools.find(call.name)
            parallel = tool is not None and tool.parallel
            if parallel and previous:
                groups[-1].append(call)
            else:
                groups.append([call])
            previous = parallel
        return groups


def _output_item(call: ToolCall, output: ToolOutput) -> Json:
    kind = "custom_tool_call_output" if call.freeform else "function_call_output"
    return {"type": kind, "call_id": call.call_id, "output": output.output}
