"""Methods of the original that this package does not have, on purpose, and why."""

from collections.abc import Iterator, Mapping
from typing import Final

__all__ = ["NO_ACCOUNTS", "OUT_OF_SCOPE", "out_of_scope_section"]

NO_ACCOUNTS: Final = "it signs in with API keys and knows no accounts of a vendor"
_APPS: Final = "there are no apps, plugins and marketplaces; MCP servers and skills serve instead"
_REALTIME: Final = "there are no voice sessions"
_WINDOWS: Final = "it does not run on Windows itself"
_REMOTE: Final = "the Jupyter server is how other machines reach it"
_ATTESTATION: Final = "it does not vouch for a person or a machine"
_FEEDBACK: Final = "it sends nothing to anybody but the model provider; open an issue instead"
_REVIEWER: Final = "approvals are decided by people and stated policies, not by a second model"
_MEMORY: Final = "it has no memory beside the threads; AGENTS.md says what shall always be known"
_SHELVES: Final = "threads are told apart by name, folder and notebook"
_GOALS: Final = "a turn has no standing goal and no prediction of the next one"
_SAMPLES: Final = "ask a side question in an ephemeral fork: thread/fork with `ephemeral`"
_MARKS: Final = "what a user has read is known to no server; front ends keep it"
_ENVIRONMENTS: Final = "commands run where the server runs"
_PROCESSES: Final = "command/exec with `processId` starts, feeds and ends processes"
_MCP: Final = "tools of MCP servers are called by the model, in a turn"
_IMPORTS: Final = "settings of other agents are not imported; config.toml has Codex's own shape"
_CONFIG: Final = "config/value/write changes config.toml"
_INTERNAL: Final = "it is for the original's own front end"

_BY_REASON: Final[Mapping[str, tuple[str, ...]]] = {
    NO_ACCOUNTS: (
        "account/bedrock/checkGovCloudRequirements",
        "account/bedrock/discover",
        "account/bedrock/setup",
        "account/gatewayOAuth/cancel",
        "account/gatewayOAuth/login",
        "account/gatewayOAuth/read",
        "account/gcp/setup",
        "account/rateLimitResetCredit/consume",
        "account/rateLimits/read",
        "account/securitySetup/read",
        "account/sendAddCreditsNudgeEmail",
        "account/usage/read",
        "account/workspaceMessages/read",
        "accountSession/list",
        "accountSession/switch",
    ),
    _APPS: (
        "app/installed",
        "app/list",
        "app/read",
        "marketplace/add",
        "marketplace/remove",
        "marketplace/upgrade",
        "plugin/install",
        "plugin/installed",
        "plugin/list",
        "plugin/read",
        "plugin/reconcile",
        "plugin/search",
        "plugin/share/checkout",
        "plugin/share/delete",
        "plugin/share/list",
        "plugin/share/save",
        "plugin/share/updateTargets",
        "plugin/skill/read",
        "plugin/uninstall",
        "skills/config/write",
        "skills/extraRoots/set",
        "skills/remote/export",
        "skills/remote/list",
    ),
    _REALTIME: (
        "thread/realtime/appendAudio",
        "thread/realtime/appendSpeech",
        "thread/realtime/appendText",
        "thread/realtime/listVoices",
        "thread/realtime/start",
        "thread/realtime/stop",
    ),
    _WINDOWS: ("windowsSandbox/readiness", "windowsSandbox/setupStart"),
    _REMOTE: (
        "remoteControl/client/list",
        "remoteControl/client/revoke",
        "remoteControl/disable",
        "remoteControl/enable",
        "remoteControl/pairing/start",
        "remoteControl/pairing/status",
        "remoteControl/status/read",
    ),
    _ATTESTATION: (
        "userVerification/cancel",
        "userVerification/delete",
        "userVerification/enroll",
        "userVerification/status",
        "userVerification/verify",
    ),
    _FEEDBACK: ("feedback/save", "feedback/upload"),
    _REVIEWER: ("thread/approveGuardianDeniedAction", "thread/guardianReview"),
    _MEMORY: ("memory/reset", "memory/status", "thread/memory/read", "thread/memoryMode/set"),
    _SHELVES: (
        "project/create",
        "project/delete",
        "project/import",
        "project/list",
        "project/move",
        "project/read",
        "project/update",
        "thread/attachment/add",
        "thread/attachment/list",
        "thread/attachment/remove",
        "thread/attachmentOwner/list",
        "thread/section/move",
        "threadSection/create",
        "threadSection/delete",
        "threadSection/list",
        "threadSection/update",
    ),
    _GOALS: (
        "thread/goal/clear",
        "thread/goal/get",
        "thread/goal/set",
        "thread/prediction/request",
        "thread/prepareApprovedPlan",
    ),
    _SAMPLES: ("thread/sample", "thread/sample/cancel"),
    _MARKS: ("thread/readState/update",),
    _ENVIRONMENTS: ("environment/add", "environment/info", "environment/status"),
    _PROCESSES: (
        "process/kill",
        "process/resizePty",
        "process/spawn",
        "process/writeStdin",
    ),
    _MCP: (
        "mcpServer/event/stream/start",
        "mcpServer/event/stream/stop",
        "mcpServer/oauth/login",
        "mcpServer/resource/read",
        "mcpServer/tool/call",
    ),
    _IMPORTS: (
        "externalAgentConfig/detect",
        "externalAgentConfig/import",
        "externalAgentConfig/import/readHistories",
        "externalAgentConfig/import/recordHistory",
    ),
    _CONFIG: ("experimentalFeature/enablement/set", "modelProvider/config/write"),
    _INTERNAL: (
        "modelProvider/capabilities/read",
        "rollout/compress",
        "server/diagnostics",
        "thread/decrement_elicitation",
        "thread/increment_elicitation",
        "thread/timeline/list",
    ),
}

OUT_OF_SCOPE: Final[Mapping[str, str]] = {
    method: reason for reason, methods in _BY_REASON.items() for method in methods
}
"""For each such method, the reason as its error gives it."""


def out_of_scope_section() -> Iterator[str]:
    """Render the table for the page of the protocol."""
    yield (
        "These methods of the original are known and refused, with code `-32600` and the text "
        "`<method> is not offered by codex_jupyter: <reason>`. Any other name is an unknown "
        "method, and its error lists the known ones."
    )
    rows = [
        f"| {', '.join(f'`{method}`' for method in methods)} | {reason} |"
        for reason, methods in _BY_REASON.items()
    ]
    yield "\n".join(["| methods | reason |", "|---|---|", *rows])
