"""A client of a server that may not be ours, e.g. the original `codex app-server`.

Such a server gives ids itself, knows none of our own members, and lets a client's tools run
without asking anybody: whether it may is noted here, for whoever runs them.
"""

from dataclasses import dataclass
from typing import Any, Final

from codex_jupyter.client.aio import CodexClient
from codex_jupyter.settings.approval import ApprovalPolicy, Granular, base_of, policy_from

__all__ = ["CodePolicy", "ForeignClient"]

Json = dict[str, Any]

_OPENING: Final = frozenset({"thread/start", "thread/resume"})
_IN_WORDS: Final = {
    "readOnly": "the server's sandbox, read-only",
    "workspaceWrite": "the server's sandbox, writes in the workspace",
    "dangerFullAccess": "not sandboxed",
}


@dataclass(frozen=True, slots=True)
class CodePolicy:
    """What the settings of a thread say about code in the user's kernel, which no sandbox holds."""

    approval: ApprovalPolicy
    """``never`` asks nobody, nor do flags that refuse it; anything else asks."""

    full_access: bool

    @property
    def verdict(self) -> str:
        """``allow``, ``ask`` or ``refuse``, as our own server decides."""
        if isinstance(self.approval, Granular) and not self.approval.sandbox_approval:
            return "refuse"
        if base_of(self.approval) != "never":
            return "ask"
        return "allow" if self.full_access else "refuse"


class ForeignClient(CodexClient):
    """A client that follows the ids of its server and notes the policy of each thread.

    Attributes:
        policies: By thread id, from the server's answers and what was changed since.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.policies: dict[str, CodePolicy] = {}

    async def call(self, method: str, params: Json) -> Json:
        """Ask the server, without the members that only ours takes.

        Raises:
            RemoteError: The server refused.
            PeerClosedError: The connection ended.
        """
        answer = await super().call(method, _without_ids(method, params))
        if method in _OPENING:
            answer: Json = {"sandboxing": _sandboxing(answer), **answer}
            self._note(answer["thread"]["id"], answer.get("sandbox"), answer.get("approvalPolicy"))
        elif method == "turn/start":
            self._note(
                params["threadId"], params.get("sandboxPolicy"), params.get("approvalPolicy")
            )
        return answer

    def policy_of(self, thread_id: str) -> CodePolicy:
        """Return the policy of a thread; a thread nobody has told of asks."""
        return self.policies.get(thread_id, CodePolicy("on-request", full_access=False))

    def _note(self, thread_id: str, sandbox: Json | None, approval: Any) -> None:
        known = self.policy_of(thread_id)
        full = known.full_access
        if sandbox is not None:
            full = sandbox.get("type") == "dangerFullAccess"
        if approval is not None:
            known = CodePolicy(_read(approval), full)
        self.policies[thread_id] = CodePolicy(known.approval, full)


def _read(approval: Any) -> ApprovalPolicy:
    """Read a policy of any server's; one that we do not know asks."""
    try:
        return policy_from(approval)
    except ValueError:
        return "on-request"


def _without_ids(method: str, params: Json) -> Json:
    """Leave out the ids a caller chose: a server that ignores them would be misunderstood."""
    ours = {"thread/start": "threadId", "turn/start": "turnId"}.get(method)
    return {name: value for name, value in params.items() if name != ours}


def _sandboxing(opened: Json) -> str:
    sandbox: Json = opened.get("sandbox") or {}
    return _IN_WORDS.get(str(sandbox.get("type")), "as the server decides")
