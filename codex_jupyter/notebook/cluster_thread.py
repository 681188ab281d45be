"""What stands for a conversation where a map works on a Dask cluster, and its turn of delegates."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from distributed import Client

from codex_jupyter.ids import new_thread_id
from codex_jupyter.notebook.cluster_map import ClusterMap
from codex_jupyter.notebook.delegation import Delegation
from codex_jupyter.notebook.outcome import TurnResult, refusal
from codex_jupyter.notebook.remote_task import attempt_id
from codex_jupyter.notebook.runtime import get_runtime
from codex_jupyter.notebook.turn_display import CellDisplay, QuietDisplay, TurnDisplay
from codex_jupyter.notebook.turn_handle import TurnHandle
from codex_jupyter.view.turn_state import TurnState

if TYPE_CHECKING:
    from codex_jupyter.embedding import CoreThread
    from codex_jupyter.notebook.runtime import KernelRuntime

__all__ = ["ClusterDelegation", "ClusterThread", "tasks_with_ids"]

Json = dict[str, Any]


class ClusterThread:
    """Gives a map on a cluster its turn in this kernel: a view, a stop, a wait.

    Args:
        client: Of the cluster; it must be one that blocks, and open.
        headless: How questions are answered on the workers.

    Raises:
        UsageError: The client cannot be used.
    """

    def __init__(self, client: object, headless: str) -> None:
        self._client = _usable(client)
        self._headless = headless
        self.id = str(new_thread_id())
        self.runtime: KernelRuntime = get_runtime()
        self.mapped: ClusterMap | None = None

    @property
    def core(self) -> "CoreThread":
        """What has the maps of this kernel."""
        return self.runtime.cluster.thread

    def prepare(
        self, params: Json, *, method: str, host_id: str, turn_id: str, quiet: bool
    ) -> TurnHandle:
        """Make the turn of the map ready to `begin`."""
        runtime = self.runtime
        runtime.note_front_end()
        self.mapped = ClusterMap(
            self._client,
            headless=self._headless,
            host_id=host_id,
            turn_id=turn_id,
            limit=params["limit"],
        )
        state = TurnState(host_id, turn_id)
        state.notice(f"On a Dask cluster, where questions are answered by `{self._headless}`.")
        display = QuietDisplay() if quiet else self._display(host_id, turn_id)
        return TurnHandle(
            self.core,
            state,
            display,
            thread_id=host_id,
            turn_id=turn_id,
            params=params,
            method=method,
            summon=None,
        )

    def begin(self, handle: TurnHandle) -> None:
        """Let a turn run that `prepare` made; in a block of its `TurnHandle.stops`."""
        runtime, host_id = self.runtime, handle.thread_id
        assert self.mapped is not None  # noqa: S101 - it was prepared
        cluster = runtime.cluster
        cluster.enlist(host_id, self.mapped)
        runtime.add_turn(handle, None)

        def end() -> None:
            runtime.remove_turn(handle.turn_id)
            cluster.strike_off(host_id)

        handle.start(on_end=end)

    def _display(self, thread_id: str, turn_id: str) -> TurnDisplay:
        runtime = self.runtime
        if runtime.shell is None:
            return QuietDisplay()
        # A page of a Jupyter server would ask it for the turn, which only this kernel knows.
        live = runtime.has_stdin() and not runtime.find_core()
        kind = runtime.view_kind() if live else "none"
        return CellDisplay(thread_id, turn_id, kind=kind, answer=runtime.control.answer)


class ClusterDelegation(Delegation):
    """A turn of delegates whose results come from a cluster."""

    def __init__(self, thread: ClusterThread, *, limit: int, quiet: bool) -> None:
        self._thread = thread
        super().__init__(thread, limit=limit, quiet=quiet)

    def result_of(self, thread_id: str, status: str, state: Json) -> TurnResult:
        """Return what the cluster gave; where it gave nothing, what was heard of the turn."""
        heard = super().result_of(thread_id, status, state)
        mapped = self._thread.mapped
        result = mapped.results.get(thread_id) if mapped is not None else None
        if result is None:
            return heard
        given = TurnResult.of(result)
        return given if given.items else replace(given, items=heard.items, usage=heard.usage)


def tasks_with_ids(tasks: Sequence[Json], ids: Sequence[str] | None) -> list[Json]:
    """Return tasks with what a server would give them: ids and names.

    Args:
        tasks: Of delegate/start.
        ids: Of their threads; ``None`` makes new ones.
    """
    chosen = ids if ids is not None else [str(new_thread_id()) for _ in tasks]
    return [
        {"name": f"#{n}", **task, "threadId": thread_id, "turnId": attempt_id(thread_id, 0)}
        for n, (task, thread_id) in enumerate(zip(tasks, chosen, strict=True), start=1)
    ]


def _usable(client: object) -> Client:
    if not isinstance(client, Client):
        raise refusal(
            f"client must be a dask.distributed.Client, not {type(client).__name__}: "
            "delegate_map(prompts, client=Client(cluster))"
        )
    if client.asynchronous:
        raise refusal("client was made with asynchronous=True; give one that blocks: Client(...)")
    if client.status != "running":
        raise refusal(f"client is {client.status}: connect again with Client(cluster)")
    return client
