"""What needs `experimentalApi`: methods and members that may still change."""

from collections.abc import Mapping
from typing import Any, Final, cast

from codex_jupyter.settings.approval import GRANULAR

__all__ = ["EXPERIMENTAL_MEMBERS", "EXPERIMENTAL_METHODS", "gated"]

EXPERIMENTAL_METHODS: Final = frozenset(
    {
        "collaborationMode/list",
        "fuzzyFileSearch/sessionStart",
        "fuzzyFileSearch/sessionStop",
        "fuzzyFileSearch/sessionUpdate",
        "mock/experimentalMethod",
        "thread/backgroundTerminals/clean",
        "thread/backgroundTerminals/list",
        "thread/backgroundTerminals/terminate",
        "thread/items/read",
        "thread/queue/add",
        "thread/queue/delete",
        "thread/queue/list",
        "thread/queue/reorder",
        "thread/queue/start",
        "thread/queue/update",
        "thread/search",
        "thread/searchOccurrences",
        "thread/settings/update",
        "turn/settings/update",
    }
)

_OF_OPENING: Final = frozenset({"permissions", "runtimeWorkspaceRoots"})
_OF_INPUT: Final = frozenset(
    {"additionalContext", "responsesapiClientMetadata", "responsesapiClientMetadataPatch"}
)
EXPERIMENTAL_MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    "command/exec": frozenset({"permissionProfile"}),
    "thread/fork": _OF_OPENING
    | {
        "attachToSource",
        "beforeTurnId",
        "deferGoalContinuation",
        "experimentalDisablePredictionMcp",
        "experimentalPredictionMode",
        "path",
    },
    "thread/list": frozenset(
        {
            "ancestorThreadId",
            "attachedToThreadId",
            "includeAttachedThreads",
            "parentThreadId",
            "projectId",
        }
    ),
    "thread/metadata/update": frozenset({"daybreakEnabled", "projectId"}),
    "thread/resume": _OF_OPENING | {"history", "initialTurnsPage", "path"},
    "thread/start": _OF_OPENING
    | {
        "allowProviderModelFallback",
        "daybreakEnabled",
        "dynamicTools",
        "environments",
        "experimentalRawEvents",
        "historyMode",
        "mockExperimentalField",
        "multiAgentMode",
        "projectId",
        "selectedCapabilityRoots",
    },
    "turn/start": _OF_OPENING
    | _OF_INPUT
    | {"collaborationMode", "cyberAccessProgram", "environments", "multiAgentMode"},
    "turn/steer": _OF_INPUT,
}
"""By method, as they are called on the wire: what 0.169 refuses, also where it says nothing here.

A client that needs such a member learns that from the refusal, as it would from the original.
"""


def gated(method: str, params: Any) -> str | None:
    """Name what of a request needs the capability, e.g. ``thread/start.dynamicTools``.

    Of an approval policy it is the value that needs it, in whatever request.

    A member counts if it carries information: ``null`` and ``false`` do not.
    """
    if method in EXPERIMENTAL_METHODS:
        return method
    if not isinstance(params, dict):
        return None
    given = cast("dict[str, Any]", params)
    if method == "account/login/start" and given.get("type") == "chatgptAuthTokens":
        return "account/login/start.chatgptAuthTokens"
    policy: Any = given.get("approvalPolicy")
    if isinstance(policy, dict) and GRANULAR in policy:
        return f"askForApproval.{GRANULAR}"
    for name in sorted(EXPERIMENTAL_MEMBERS.get(method, ())):
        if given.get(name) not in (None, False):
            return f"{method}.{name}"
    return None
