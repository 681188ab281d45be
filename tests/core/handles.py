"""Delegates of a tree in few words."""

from typing import Any

import anyio

from codex_jupyter.core.delegate import (
    DelegateHandle,
    DelegateWish,
    run_delegate_interactive,
    run_delegate_one_shot,
)
from codex_jupyter.core.delegate_events import Envelope
from codex_jupyter.core.session import Session
from codex_jupyter.flow.cancellation import CancelToken
from tests.core.tree import LIMIT, Tree, prompt

__all__ = ["OTHER", "interactive", "joined", "kinds", "one_shot", "rest_of"]

OTHER = DelegateWish(source={"subagent": {"other": "test"}})


async def interactive(tree: Tree, root: Session, token: CancelToken, **more: Any) -> DelegateHandle:
    wish = more.pop("wish", OTHER)
    return await run_delegate_interactive(tree.manager, root, wish, token, **more)


async def one_shot(tree: Tree, root: Session, token: CancelToken, **more: Any) -> DelegateHandle:
    wish = more.pop("wish", OTHER)
    words = more.pop("words", "#child do it")
    return await run_delegate_one_shot(tree.manager, root, wish, prompt(words), token, **more)


async def rest_of(handle: DelegateHandle) -> list[Envelope]:
    with anyio.fail_after(LIMIT):
        return [envelope async for envelope in handle]


async def joined(handle: DelegateHandle) -> None:
    with anyio.fail_after(LIMIT):
        await handle.join()


def kinds(envelopes: list[Envelope]) -> list[type]:
    return [type(envelope.event.msg) for envelope in envelopes]
