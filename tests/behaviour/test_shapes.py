"""The check of every message finds what it should find, and its table has nothing left over."""

import pytest
from fastjsonschema import JsonSchemaValueException

from codex_jupyter.protocol.notifications import NOTIFICATIONS
from codex_jupyter.protocol.requests import CLIENT_REQUESTS
from codex_jupyter.protocol.server_requests import SERVER_REQUESTS
from tests.behaviour.shapes import (
    DIFFERENCES,
    check_notification,
    check_request,
    check_result,
    mismatches,
)

DELTA = {"threadId": "t", "turnId": "u", "itemId": "i", "delta": "text"}
ITEM = {"type": "agentMessage", "id": "i", "text": "hi"}


def test_what_fits_passes() -> None:
    check_notification("item/agentMessage/delta", DELTA)
    check_notification(
        "item/completed", {"threadId": "t", "turnId": "u", "item": ITEM, "completedAtMs": 1}
    )
    check_result("turn/interrupt", {})
    check_result("turn/output", {"data": {}, "metadata": {}})  # the original has no such method


@pytest.mark.parametrize(
    "params", [{**DELTA, "delta": 7}, {k: v for k, v in DELTA.items() if k != "itemId"}]
)
def test_what_does_not_fit_our_own_schema_is_found(params: dict[str, object]) -> None:
    with pytest.raises(JsonSchemaValueException):
        check_notification("item/agentMessage/delta", params)


def test_what_does_not_fit_the_original_is_found_by_its_place() -> None:
    item = {"type": "agentMessage", "id": "i", "text": "hi", "phase": "no such phase"}
    params = {"threadId": "t", "turnId": "u", "item": item, "completedAtMs": 1}
    with pytest.raises(AssertionError, match=r"item\.phase"):
        check_notification("item/completed", params)
    (found,) = mismatches("notifications", "item/completed", params)
    assert found[0] == ("item/completed", "item.phase")


def test_a_difference_of_the_table_is_let_pass_and_no_other() -> None:
    asked = {"threadId": "t", "turnId": "u", "itemId": "i", "startedAtMs": 1, "kind": "dynamicTool"}
    check_request("item/commandExecution/requestApproval", asked)
    del asked["startedAtMs"]
    with pytest.raises(AssertionError, match="startedAtMs"):
        check_request("item/commandExecution/requestApproval", asked)


def test_the_table_names_only_methods_that_there_are() -> None:
    known = {*CLIENT_REQUESTS, *NOTIFICATIONS, *SERVER_REQUESTS}
    assert {method for method, _ in DIFFERENCES} <= known
