"""What a connection may do, by what it is. Light: the extension needs it before the engine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from codex_jupyter.errors import InvalidRequestError

__all__ = [
    "OWNER",
    "PAGE",
    "POLICY",
    "Rights",
    "check_config",
    "kernel_rights",
    "require_owner",
]


@dataclass(frozen=True, slots=True)
class Rights:
    """What one connection may do."""

    label: str
    may_answer: bool = True
    """Whether its answers to approvals and questions count."""

    hears_all_requests: bool = False
    """Whether it is told of the questions of every thread, by notification, and answers them with
    `serverRequest/answer`."""

    runs_tools: bool = True
    """Whether it is asked to run the tools that clients bring."""

    kernel_id: str | None = None
    """The kernel whose turns are those that this connection starts."""


OWNER: Final = Rights("owner")
"""A program that started the server for itself: standard input and output, or the same process."""

PAGE: Final = Rights("page", hears_all_requests=True, runs_tools=False)
"""A browser page of the user's."""

POLICY: Final = Rights("policy", hears_all_requests=True, runs_tools=False)
"""The stated headless policy, which answers where no page is."""


def kernel_rights(kernel_id: str) -> Rights:
    """Return the rights of a kernel: it starts and stops turns and runs tools, and allows nothing.

    A command the agent runs can read what the kernel can, so whatever the kernel could allow the
    agent could allow itself.
    """
    return Rights("kernel", may_answer=False, kernel_id=kernel_id)


def check_config(rights: Rights, config: Mapping[str, Any] | None) -> None:
    """Refuse MCP servers in a request's ``config``: they are programs that start unasked.

    Raises:
        InvalidRequestError: The connection may not order such a thing.
    """
    if any(key.partition(".")[0] == "mcp_servers" for key in config or ()):
        require_owner(rights, "name MCP servers")


def require_owner(rights: Rights, what: str) -> None:
    """Refuse what a kernel could do in the name of a command that has read its token.

    Raises:
        InvalidRequestError: Answers of such a connection do not count, so neither does this.
    """
    if not rights.may_answer:
        raise InvalidRequestError(f"this connection ({rights.label}) may not {what}")
