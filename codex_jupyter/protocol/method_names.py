"""What the original calls the shapes of a method, by which schema files are found."""

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["notification_name", "params_name", "result_name"]

_REQUESTS: Final[Mapping[str, str]] = {
    "account/login/cancel": "CancelLoginAccount",
    "account/login/start": "LoginAccount",
    "account/logout": "LogoutAccount",
    "account/rateLimits/read": "GetAccountRateLimits",
    "account/read": "GetAccount",
    "account/usage/read": "GetAccountTokenUsage",
    "app/installed": "AppsInstalled",
    "app/list": "AppsList",
    "app/read": "AppsRead",
    "item/commandExecution/requestApproval": "CommandExecutionRequestApproval",
    "item/fileChange/requestApproval": "FileChangeRequestApproval",
    "item/permissions/requestApproval": "PermissionsRequestApproval",
    "item/tool/call": "DynamicToolCall",
    "item/tool/requestUserInput": "ToolRequestUserInput",
    "mcpServer/resource/read": "McpResourceRead",
    "mcpServerStatus/list": "ListMcpServerStatus",
    "thread/name/set": "ThreadSetName",
}
_RESULTS: Final[Mapping[str, str]] = {
    "config/batchWrite": "ConfigWriteResponse",
    "config/mcpServer/reload": "McpServerRefreshResponse",
    "config/value/write": "ConfigWriteResponse",
}
_NOTIFICATIONS: Final[Mapping[str, str]] = {
    "item/agentMessage/delta": "AgentMessageDelta",
    "item/autoApprovalReview/completed": "ItemGuardianApprovalReviewCompleted",
    "item/autoApprovalReview/started": "ItemGuardianApprovalReviewStarted",
    "item/commandExecution/outputDelta": "CommandExecutionOutputDelta",
    "item/commandExecution/terminalInteraction": "TerminalInteraction",
    "item/fileChange/outputDelta": "FileChangeOutputDelta",
    "item/fileChange/patchUpdated": "FileChangePatchUpdated",
    "item/mcpToolCall/progress": "McpToolCallProgress",
    "item/plan/delta": "PlanDelta",
    "item/reasoning/summaryPartAdded": "ReasoningSummaryPartAdded",
    "item/reasoning/summaryTextDelta": "ReasoningSummaryTextDelta",
    "item/reasoning/textDelta": "ReasoningTextDelta",
    "mcpServer/startupStatus/updated": "McpServerStatusUpdated",
    "thread/compacted": "ContextCompacted",
}


def params_name(method: str) -> str:
    """Return the name of the params of a request, from either side."""
    return f"{_REQUESTS.get(method) or _joined(method)}Params"


def result_name(method: str) -> str:
    """Return the name of the result of a request, or of the answer to one of the server's."""
    return _RESULTS.get(method) or f"{_REQUESTS.get(method) or _joined(method)}Response"


def notification_name(method: str) -> str:
    """Return the name of the params of a notification."""
    return f"{_NOTIFICATIONS.get(method) or _joined(method)}Notification"


def _joined(method: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[/_]", method))
