"""Every exception this package raises on purpose.

* `CodexError`
    * `InvalidIdError`, `DuplicateIdError`
    * `InvalidRequestError`
        * `MalformedParamsError`
        * `ThreadNotFoundError`, `TurnConflictError`, `NoActiveTurnError`, `NotSteerableError`
        * `InputTooLargeError`, `OutOfRangeError`
        * `NotOfferedError`
    * `OverloadedError`
    * `ConfigError`
    * `ConfigWriteError`
    * `PeerClosedError`, `RemoteError`
    * `RolloutError`
        * `ThreadOwnedElsewhereError`
    * `ModelError`
    * `PatchError`
    * `PlayError`
    * `NobodyToAskError`
    * `UsageError`
"""

from pathlib import Path
from typing import Any, ClassVar, Literal

__all__ = [
    "CodexError",
    "ConfigError",
    "ConfigWriteError",
    "DuplicateIdError",
    "InputTooLargeError",
    "InvalidIdError",
    "InvalidRequestError",
    "MalformedParamsError",
    "ModelError",
    "NoActiveTurnError",
    "NobodyToAskError",
    "NotOfferedError",
    "NotSteerableError",
    "OutOfRangeError",
    "OverloadedError",
    "PatchError",
    "PeerClosedError",
    "PlayError",
    "RemoteError",
    "RolloutError",
    "ThreadNotFoundError",
    "ThreadOwnedElsewhereError",
    "TurnConflictError",
    "UsageError",
]

INVALID_REQUEST: int = -32600
INVALID_PARAMS: int = -32602
INTERNAL: int = -32603
OVERLOADED: int = -32001


_NOT_STEERABLE = ("review", "compact")
"""Kinds of turns that clients know to take no input."""


class CodexError(Exception):
    """Base of the tree. ``str(error)`` is one sentence a user can act on."""

    rpc_code: ClassVar[int] = INTERNAL
    """JSON-RPC code this error takes when it leaves through a connection."""

    @property
    def data(self) -> dict[str, Any] | None:
        """Facts for programs, sent as the ``data`` of a JSON-RPC error."""
        return None


class InvalidRequestError(CodexError):
    """A peer asked for something that cannot be done as asked; nothing was changed."""

    rpc_code = INVALID_REQUEST


class MalformedParamsError(InvalidRequestError):
    """The params of a request lack a member, or one does not fit.

    Attributes:
        member: Where, as a dotted path; ``params`` if it is the whole.
    """

    def __init__(self, problem: str, member: str) -> None:
        super().__init__(problem)
        self.member = member

    @property
    def data(self) -> dict[str, Any]:
        """Say which member is meant: the original's sentences do not always."""
        return {"member": self.member[:200]}


class InvalidIdError(InvalidRequestError):
    """A caller's id is not a UUID in one of the four accepted spellings."""

    def __init__(self, kind: str, problem: str) -> None:
        super().__init__(f"invalid {kind} id: {problem}")
        self.kind = kind


class DuplicateIdError(InvalidRequestError):
    """A caller's id is already in use.

    Attributes:
        kind: ``"thread"`` or ``"turn"``.
        id: The id in canonical form.
        status: What the holder of the id is doing, e.g. ``"loaded"`` or ``"completed"``.
    """

    def __init__(self, kind: Literal["thread", "turn"], id: str, status: str) -> None:  # noqa: A002
        super().__init__(f"{kind} id already exists: {id}")
        self.kind = kind
        self.id = id
        self.status = status

    @property
    def data(self) -> dict[str, Any]:
        """Let a caller that retries tell "already in" from "bad request"."""
        return {"duplicate": self.kind, "id": self.id, "status": self.status}


class ThreadNotFoundError(InvalidRequestError):
    """A request named a thread that is not where the request needs it.

    The sentence differs by method, because clients match on it; the caller words it.
    """


class NoActiveTurnError(InvalidRequestError):
    """Steering or interrupting needs a running turn, and none runs."""

    def __init__(self, purpose: Literal["steer", "interrupt", "add to"]) -> None:
        super().__init__(f"no active turn to {purpose}")


class TurnConflictError(InvalidRequestError):
    """A request names another turn than the one that runs. The official SDK parses this text."""

    def __init__(self, asked: str, active: str, *, quoted: bool = True) -> None:
        mark = "`" if quoted else ""
        super().__init__(
            f"expected active turn id {mark}{asked}{mark} but found {mark}{active}{mark}"
        )
        self.active = active


class AgentError(CodexError):
    """Something a model wanted of an agent cannot be done; the text is for the model."""


class DelegateError(CodexError):
    """A delegate was not started, has ended, or takes no input."""


class NotSteerableError(InvalidRequestError):
    """The running turn takes no input, or what was asked for needs a thread at rest.

    Attributes:
        kind: What the running turn does.
        turn_id: Its id.
    """

    def __init__(self, kind: str, turn_id: str, *, wanted: str | None = None) -> None:
        super().__init__(
            f"cannot steer a {kind} turn"
            if wanted is None
            else f"cannot start a {wanted} turn: turn {turn_id} is in progress"
        )
        self.kind = kind
        self.turn_id = turn_id

    @property
    def data(self) -> dict[str, Any]:
        """Say it as a `TurnError`, which is what real servers send."""
        known = self.kind in _NOT_STEERABLE
        return {
            "message": str(self),
            "codexErrorInfo": {"activeTurnNotSteerable": {"turnKind": self.kind}}
            if known
            else "other",
            "additionalDetails": None,
        }


class InputTooLargeError(InvalidRequestError):
    """The text of one input is longer than the protocol allows."""

    rpc_code = INVALID_PARAMS

    def __init__(self, actual_chars: int, max_chars: int) -> None:
        super().__init__(f"Input exceeds the maximum length of {max_chars} characters.")
        self.actual_chars = actual_chars
        self.max_chars = max_chars

    @property
    def data(self) -> dict[str, Any]:
        """The members real servers send."""
        return {
            "input_error_code": "input_too_large",
            "max_chars": self.max_chars,
            "actual_chars": self.actual_chars,
        }


class OutOfRangeError(InvalidRequestError):
    """Members have the right kinds, but a value or a combination that cannot be."""

    rpc_code = INVALID_PARAMS


class OverloadedError(CodexError):
    """A bounded queue is full. The request was not taken; try again later."""

    rpc_code = OVERLOADED

    def __init__(self) -> None:
        super().__init__("Server overloaded; retry later.")

    @property
    def data(self) -> dict[str, Any]:
        """The protocol's name for it, and the word that lets the official SDK retry."""
        return {"codexErrorInfo": "serverOverloaded", "reason": "server_overloaded"}


class ConfigError(CodexError):
    """A configuration file or option has a mistake.

    Attributes:
        source: The file, or the option as it was typed.
        line: 1-based line in the file, when it is known.
        key: The dotted key, when it is known.
    """

    rpc_code = INVALID_REQUEST

    def __init__(
        self, source: str | Path, problem: str, *, line: int | None = None, key: str | None = None
    ) -> None:
        where = f"{source}" + (f", line {line}" if line else "") + (f", `{key}`" if key else "")
        super().__init__(f"{where}: {problem}")
        self.source = str(source)
        self.line = line
        self.key = key


class ConfigWriteError(InvalidRequestError):
    """A configuration was not written; the file is as it was.

    Attributes:
        reason: For programs: ``configValidationError``, ``configVersionConflict``,
            ``configLayerReadonly``, ``configPathNotFound``, ``configSchemaUnknownKey`` or
            ``userLayerNotFound``.
    """

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(problem)
        self.reason = reason

    @property
    def data(self) -> dict[str, Any]:
        """The member real servers send."""
        return {"config_write_error_code": self.reason}


class NotOfferedError(InvalidRequestError):
    """A method of the original that this package does not have, on purpose."""

    def __init__(self, method: str, reason: str) -> None:
        super().__init__(f"{method} is not offered by codex_jupyter: {reason}")
        self.method = method


class PeerClosedError(CodexError):
    """The other end of a connection went away; what was asked has no answer."""


class RemoteError(CodexError):
    """The peer answered a request with a JSON-RPC error.

    ``str(error)`` is the peer's sentence, and the member it is about where the peer tells it.

    Attributes:
        code: JSON-RPC code.
        message: The peer's sentence.
        remote_data: The peer's ``data`` member, if it sent one.
    """

    def __init__(self, code: int, message: str, remote_data: Any = None) -> None:
        match remote_data:
            case {"member": str(member)}:
                super().__init__(f"{message} (in `{member}`)")
            case _:
                super().__init__(message)
        self.code = code
        self.message = message
        self.remote_data = remote_data


class RolloutError(CodexError):
    """A rollout could not be written or read. A turn that meets it ends as failed."""


class ThreadOwnedElsewhereError(RolloutError):
    """Another living process writes this thread."""

    rpc_code = INVALID_REQUEST

    def __init__(self, thread_id: str, owner: str) -> None:
        super().__init__(
            f"thread {thread_id} is in use by another process ({owner}); "
            "close it there, or start a new thread here"
        )
        self.thread_id = thread_id
        self.owner = owner

    @property
    def data(self) -> dict[str, Any]:
        """Let a caller that can wait tell "not now" from "never"."""
        return {"ownedElsewhere": self.thread_id, "owner": self.owner}


class ModelError(CodexError):
    """A model request failed.

    Attributes:
        info: ``codexErrorInfo`` as it goes on the wire: a string or a one-member object.
        retryable: Whether the same request may be sent again.
        retry_after: Seconds the server asked to wait, or ``None``.
        details: What lies behind the sentence, for ``additionalDetails``.
    """

    def __init__(
        self,
        message: str,
        *,
        info: str | dict[str, Any] = "other",
        retryable: bool = False,
        retry_after: float | None = None,
        details: str | None = None,
    ) -> None:
        super().__init__(message)
        self.info = info
        self.retryable = retryable
        self.retry_after = retry_after
        self.details = details


class PatchError(CodexError):
    """A patch was not applied. No file was touched. The text is written for the model."""


class PlayError(CodexError):
    """A play of the offline model cannot be read.

    Attributes:
        path: The play's file.
    """

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path


class NobodyToAskError(CodexError):
    """An approval or question was due where nobody can answer and no policy was stated."""

    def __init__(self, question: str) -> None:
        super().__init__(
            f"the turn asks for approval of {question}, but nobody can answer here. "
            "State a policy: `%codex headless deny`, `%codex headless allow RULES`, or set "
            "CODEX_JUPYTER_HEADLESS=deny|allow RULES"
        )


class UsageError(CodexError):
    """A magic or a call was written wrongly; nothing was sent."""
