"""The core as a program that the user names, such as `codex app-server`."""

import shlex
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from codex_jupyter.client.aio import AnswerRequest, CodexClient
from codex_jupyter.client.foreign import CodePolicy, ForeignClient
from codex_jupyter.embedding import open_by_command

__all__ = ["ProgramPlace"]


class ProgramPlace:
    """Starts the program, once for each start of the core; the reading end of `CorePlace`.

    Args:
        argv: The program and its arguments.
        answer: Answers what the program asks of this kernel, on the core's loop.
    """

    is_served = False
    may_be_served = False
    takes_ids = False
    home: str | None = None

    def __init__(self, argv: Sequence[str], answer: AnswerRequest) -> None:
        self.argv = tuple(argv)
        self.name = shlex.join(self.argv)
        self.words = f"`{self.name}`, a program of its own"
        self._answer = answer
        self._client: ForeignClient | None = None

    def policy_of(self, thread_id: str) -> CodePolicy:
        """Return what a thread's settings say about code in this kernel; on the core's loop."""
        if self._client is None:
            return CodePolicy("on-request", full_access=False)
        return self._client.policy_of(thread_id)

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[CodexClient]:
        """Start the program and be its client; leaving ends it.

        Raises:
            PeerClosedError: It cannot be started or does not speak the protocol.
        """
        program = open_by_command(self.argv, answer=self._answer, as_client=ForeignClient)
        async with program as client:
            assert isinstance(client, ForeignClient)  # noqa: S101 - it was asked for
            self._client = client
            yield client
