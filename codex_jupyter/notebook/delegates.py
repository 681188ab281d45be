"""`delegate` and `delegate_map`: work that is done beside the conversation of a notebook."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from codex_jupyter.errors import InvalidIdError, UsageError
from codex_jupyter.ids import new_thread_id, parse_thread_id
from codex_jupyter.notebook.conversation import conversation
from codex_jupyter.notebook.delegate_tasks import delegate_task
from codex_jupyter.notebook.delegation import Delegate, Delegation
from codex_jupyter.notebook.headless import parse_headless
from codex_jupyter.notebook.outcome import TurnResult, refusal
from codex_jupyter.notebook.threads import Thread

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["DelegateMap", "delegate", "delegate_map"]

Json = dict[str, Any]

_AT_A_TIME: Final = 64
"""Delegates of one cell that work at a time; the server's most."""

_MAX_PROMPTS: Final = 1_000
"""Prompts of one `delegate_map`; the server's most."""


def delegate(  # noqa: PLR0913 - what can be said of a task
    prompt: str,
    *,
    files: Iterable[str | Path] | str | Path | None = None,
    name: str | None = None,
    role: str | None = None,
    model: str | None = None,
    effort: str | None = None,
    policy: str | None = None,
    cwd: str | Path | None = None,
    thread: Thread | None = None,
    quiet: bool = False,
) -> Delegate:
    """Have a delegate work on ``prompt`` beside the conversation, and return at once.

    ``await`` what is returned, or call its ``result()``. All delegates of a cell are shown in one
    view, where each can be opened and stopped. A delegate knows nothing of the conversation; it
    may do what the conversation may at most, and has the same kernel.

    Args:
        prompt: The whole task.
        files: Images it shall see, and other files it is pointed to.
        name: How the view calls it; default: its number.
        role: One of the roles of the settings: ``default``, ``explorer``, ``worker`` or your own.
        model: Default: the conversation's, as with ``effort`` and ``cwd``.
        effort: How much it thinks.
        policy: ``untrusted``, ``on-request``, ``never``, or ``read-only``: look, and ask nobody.
        cwd: The folder it works in.
        thread: The conversation; default: the notebook's.
        quiet: Show nothing.

    Raises:
        UsageError: Something does not fit; nothing was started.
    """
    task = delegate_task(
        prompt,
        files=files,
        name=name,
        role=role,
        model=model,
        effort=effort,
        policy=policy,
        cwd=cwd,
    )
    parent = thread if thread is not None else conversation()
    delegation = _delegation_of_cell(parent, quiet=quiet)
    try:
        with delegation.stops():
            if not delegation.has_begun:
                _begin_for_cell(delegation, parent, quiet=quiet)
            begun = delegation.add(task)
            if parent.runtime.shell is None:
                delegation.close()
    except KeyboardInterrupt as interrupt:
        delegation.stop_unless_told(interrupt)
        raise
    return begun


def delegate_map(  # noqa: PLR0913 - what can be said of tasks
    prompts: Iterable[str],
    *,
    limit: int = 8,
    files: Iterable[str | Path] | str | Path | None = None,
    role: str | None = None,
    model: str | None = None,
    effort: str | None = None,
    policy: str | None = None,
    cwd: str | Path | None = None,
    thread: Thread | None = None,
    quiet: bool = False,
    client: "Client | None" = None,
    ids: Iterable[str] | None = None,
    headless: str = "deny",
) -> "DelegateMap":
    """Have one delegate work on each prompt, ``limit`` at a time, and return at once.

    ``await`` what is returned, or call its ``result()``: a list of results in the order of the
    prompts. One that fails is a result that says so, and the others go on.

    Args:
        prompts: At most a thousand.
        limit: How many work at a time, 1 to 64.
        files: For each of them, as the other settings; see `delegate`.
        role: See `delegate`.
        model: See `delegate`.
        effort: See `delegate`.
        policy: See `delegate`.
        cwd: See `delegate`.
        thread: See `delegate`.
        quiet: See `delegate`.
        client: A ``dask.distributed.Client``: the delegates work on its cluster, under the
            settings of its workers. They have no conversation and no kernel there.
        ids: With ``client``: UUIDs of their threads. A task whose thread has done it before, or is
            at it, gives that result, and no model is asked.
        headless: With ``client``: how questions are answered there, as `%codex headless` takes it.

    Raises:
        UsageError: Something does not fit; nothing was started.
    """
    asked = list(prompts)
    _require_sense(asked, limit, client, thread, ids, headless)
    wishes: Json = {"role": role, "model": model, "effort": effort, "policy": policy, "cwd": cwd}
    tasks = [delegate_task(prompt, files=files, **wishes) for prompt in asked]
    if not tasks:
        return DelegateMap(None, ())
    if client is not None:
        delegation, tasks = _on_cluster(client, tasks, ids, headless, limit=limit, quiet=quiet)
    else:
        delegation = Delegation(thread or conversation(), limit=limit, quiet=quiet)
    try:
        mapped = _begun(delegation, tasks)
    except KeyboardInterrupt as interrupt:
        delegation.stop_unless_told(interrupt)
        raise
    return mapped


def _require_sense(
    prompts: Sequence[str],
    limit: int,
    client: "Client | None",
    thread: Thread | None,
    ids: Iterable[str] | None,
    headless: str,
) -> None:
    """Refuse what does not fit together, before anything is looked at."""
    if not 1 <= limit <= _AT_A_TIME:
        raise refusal(f"limit must be 1 to {_AT_A_TIME}, not {limit}")
    if len(prompts) > _MAX_PROMPTS:
        raise refusal(f"delegate_map takes {_MAX_PROMPTS} prompts at a time, not {len(prompts)}")
    if client is None and (ids is not None or headless != "deny"):
        raise refusal("`ids` and `headless` are for maps on a cluster: give a `client` as well")
    if client is not None and thread is not None:
        raise refusal("give `thread` or `client`: on a cluster there is no conversation")


def _begun(delegation: Delegation, tasks: Sequence[Json]) -> "DelegateMap":
    with delegation.stops():
        delegation.begin()
        mapped = DelegateMap(delegation, [delegation.add(task) for task in tasks])
        delegation.close()
        if delegation.runtime.shell is not None:
            delegation.runtime.at_end_of_cell(delegation.end_with_cell)
    return mapped


def _on_cluster(
    client: "Client",
    tasks: list[Json],
    ids: Iterable[str] | None,
    headless: str,
    *,
    limit: int,
    quiet: bool,
) -> tuple[Delegation, list[Json]]:
    """Return a delegation on a cluster that has not begun, and its tasks with their ids.

    Raises:
        UsageError: The extra is missing, or what was given cannot be used.
    """
    try:
        from codex_jupyter.notebook import cluster_thread  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as missing:
        if missing.name not in ("dask", "distributed"):
            raise
        raise refusal(
            "delegate_map(client=...) needs Dask: pip install 'codex-jupyter[dask]'"
        ) from None
    try:
        parse_headless(headless)
    except UsageError as problem:
        raise refusal(str(problem)) from None
    chosen = None if ids is None else [_thread_id(one) for one in ids]
    if chosen is not None and (len(chosen) != len(tasks) or len(set(chosen)) != len(chosen)):
        raise refusal(f"ids must be one for each prompt, all different: {len(tasks)}")
    thread = cluster_thread.ClusterThread(client, headless)
    delegation = cluster_thread.ClusterDelegation(thread, limit=limit, quiet=quiet)
    return delegation, cluster_thread.tasks_with_ids(tasks, chosen)


def _thread_id(text: str) -> str:
    try:
        return parse_thread_id(text)
    except InvalidIdError:
        raise refusal(
            f"{text!r} is not the id of a thread: an id is a UUID, e.g. {new_thread_id()}"
        ) from None


class DelegateMap:
    """The delegates of one `delegate_map`, in the order of the prompts."""

    def __init__(self, delegation: Delegation | None, delegates: Sequence[Delegate]) -> None:
        self._delegation = delegation
        self.delegates = tuple(delegates)

    def __repr__(self) -> str:
        return f"<DelegateMap: {self.done} of {len(self.delegates)} done>"

    def __len__(self) -> int:
        return len(self.delegates)

    def __iter__(self) -> Iterator[Delegate]:
        return iter(self.delegates)

    @property
    def done(self) -> int:
        """How many have ended."""
        return sum(delegate.done for delegate in self.delegates)

    @property
    def results(self) -> list[TurnResult | None]:
        """What there is so far: ``None`` for those that have not ended."""
        return [_result_of(d) if d.done else None for d in self.delegates]

    def stop(self) -> None:
        """Stop all of them; results that are there stay."""
        if self._delegation is not None:
            self._delegation.stop()

    def result(self) -> list[TurnResult]:
        """Wait until all have ended.

        Raises:
            TurnInterrupted: They were stopped by an interrupt; `results` has what there is.
        """
        if self._delegation is None:
            return []
        with self._delegation.stops():
            for delegate in self.delegates:
                self._delegation.wait_for(delegate.ended)
                if not delegate.done:
                    break
            self._raise_if_stopped()
            return [_result_of(delegate) for delegate in self.delegates]

    def __await__(self) -> Generator[Any, None, list[TurnResult]]:
        return self._wait().__await__()

    async def __aiter__(self) -> AsyncGenerator[tuple[int, TurnResult]]:
        """Iterate over ``(place, result)`` as they end."""
        if self._delegation is not None:
            self._delegation.serve()
        waiting = {asyncio.wrap_future(d.ended): n for n, d in enumerate(self.delegates)}
        while waiting:
            ended, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for future in ended:
                place = waiting.pop(future)
                yield place, _result_of(self.delegates[place])

    async def _wait(self) -> list[TurnResult]:
        if self._delegation is not None:
            self._delegation.serve()
        try:
            # Shielded: cancelling the wait must not cancel what keeps the results.
            ended = (asyncio.shield(asyncio.wrap_future(d.ended)) for d in self.delegates)
            await asyncio.gather(*ended, return_exceptions=True)
        except asyncio.CancelledError:
            self.stop()
            raise
        self._raise_if_stopped()
        return [_result_of(delegate) for delegate in self.delegates]

    def _raise_if_stopped(self) -> None:
        if self._delegation is not None and (stopped := self._delegation.stopped) is not None:
            raise self._delegation.for_task(stopped)


def _result_of(delegate: Delegate) -> TurnResult:
    problem = delegate.ended.exception()
    if problem is None:
        return delegate.ended.result()
    return TurnResult(
        delegate.thread_id, delegate.turn_id, "failed", "", (), None, {"message": str(problem)}
    )


def _delegation_of_cell(parent: Thread, *, quiet: bool) -> Delegation:
    """Return the delegation of the running cell, or a new one if it has none that takes tasks."""
    if parent.runtime.shell is None:  # no cell will end, so each stands for itself
        return Delegation(parent, limit=1, quiet=quiet)
    known = parent.runtime.delegations.get(_key(parent, quiet=quiet))
    if known is None or not known.is_open:
        return Delegation(parent, limit=_AT_A_TIME, quiet=quiet)
    return known


def _begin_for_cell(delegation: Delegation, parent: Thread, *, quiet: bool) -> None:
    """Let a delegation run until the running cell has ended."""
    delegation.begin()
    runtime = parent.runtime
    if runtime.shell is None:
        return
    key = _key(parent, quiet=quiet)
    runtime.delegations[key] = delegation

    def end() -> None:
        runtime.delegations.pop(key, None)
        delegation.end_with_cell()

    runtime.at_end_of_cell(end)


def _key(parent: Thread, *, quiet: bool) -> tuple[str, str, bool]:
    return (parent.id, parent.runtime.execution_id(), quiet)
