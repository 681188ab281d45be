"""Turns that start other threads, as an app server tells them."""

from typing import Any

from tests.view.turn_stories import ADA, THREAD, Story

__all__ = ["ADA", "CARL", "EVE", "Family", "agents_call", "five_delegates", "row"]

CARL = "01a20352-0000-7000-8000-00000000000c"
EVE = "01a20352-0000-7000-8000-00000000000e"


class Family(Story):
    """A story with delegates; every method says what one thread of them is told."""

    def appears(
        self,
        thread_id: str,
        nickname: str | None = None,
        role: str | None = None,
        parent: str = THREAD,
    ) -> "Family":
        names = {"agentNickname": nickname, "agentRole": role, "preview": ""}
        thread = {"id": thread_id, "parentThreadId": parent, **names}
        return self.hears("thread/started", thread=thread)

    def hears(self, method: str, **params: Any) -> "Family":
        self.ops += self.state.apply(method, params)
        return self

    def works(self, thread_id: str, task: str = "Look around.", at: int = 1795351982) -> "Family":
        turn = {"id": f"turn-{thread_id}", "status": "inProgress", "items": [], "startedAt": at}
        self.hears("turn/started", threadId=thread_id, turn=turn)
        prompt = [{"type": "text", "text": task}]
        item = {"type": "userMessage", "id": "u", "content": prompt}
        return self.does(thread_id, item, done=True)

    def does(self, thread_id: str, item: dict[str, Any], *, done: bool = False) -> "Family":
        method = "item/completed" if done else "item/started"
        return self.hears(method, threadId=thread_id, turnId=f"turn-{thread_id}", item=item)

    def says(self, thread_id: str, text: str) -> "Family":
        return self.does(thread_id, {"type": "agentMessage", "id": "m", "text": text}, done=True)

    def uses(self, thread_id: str, sent: int, got: int, **more: Any) -> "Family":
        usage = {"last": {"inputTokens": sent, "outputTokens": got}, "total": {}, **more}
        return self.hears("thread/tokenUsage/updated", threadId=thread_id, tokenUsage=usage)

    def waits(self, thread_id: str, *flags: str) -> "Family":
        status = {"type": "active", "activeFlags": list(flags)}
        return self.hears("thread/status/changed", threadId=thread_id, status=status)

    def ends(self, thread_id: str, status: str = "completed", error: str | None = None) -> "Family":
        told = None if error is None else {"message": error}
        turn = {"id": f"turn-{thread_id}", "status": status, "error": told, "durationMs": 3_400}
        return self.hears("turn/completed", threadId=thread_id, turn=turn)


def row(story: Story, thread_id: str) -> dict[str, Any]:
    """The row of a thread in a snapshot."""
    rows = story.state.snapshot()["delegates"]
    return next(r for r in rows if r["threadId"] == thread_id)


def agents_call(tool: str, *thread_ids: str, **members: Any) -> dict[str, Any]:
    """A call of one of the tools for agents."""
    return {
        "type": "collabAgentToolCall",
        "id": f"call-{tool}",
        "tool": tool,
        "status": "completed",
        "senderThreadId": THREAD,
        "receiverThreadIds": list(thread_ids),
        "prompt": None,
        "agentsStates": {},
        **members,
    }


def five_delegates() -> Family:
    """Two that run, one that is done, one that failed, and one that a delegate started."""
    family = Family()
    family.begin()
    family.appears(ADA, "Ada", "explorer").works(ADA, "Find where the **region** is lost.")
    family.uses(ADA, 1_000, 200).says(ADA, "It is lost in `load.py`.\n\nThe rest is *fine*.")
    family.ends(ADA)
    family.appears(CARL, "Carl", "worker").works(CARL, "Run the tests, one file at a time.")
    command = {"type": "commandExecution", "id": "c", "command": "/bin/bash -lc 'pytest -q tests'"}
    family.does(CARL, command).uses(CARL, 9_000, 340)
    family.appears(EVE, "Eve", None, parent=CARL).works(EVE, "Read the log of the last run.")
    family.does(EVE, {"type": "reasoning", "id": "r"})
    failed = "01a20352-0000-7000-8000-0000000000ff"
    family.appears(failed, "Finn", "reviewer").works(failed, "Review the patch.")
    family.ends(failed, "failed", "You exceeded your current quota.")
    return family.appears("01a20352-0000-7000-8000-0000000000aa")
