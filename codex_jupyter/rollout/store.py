"""The one door to the threads on disk: reserve, create, open, read, list, move, release."""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread

from codex_jupyter.errors import (
    DuplicateIdError,
    InvalidRequestError,
    RolloutError,
    ThreadNotFoundError,
)
from codex_jupyter.ids import ThreadId
from codex_jupyter.rollout.catalogue import Catalogue, ListQuery, Page
from codex_jupyter.rollout.cutting import WHOLE, Cut
from codex_jupyter.rollout.disk import Disk, create_file, make_folder, reporting
from codex_jupyter.rollout.fold import StoredThread
from codex_jupyter.rollout.folders import ACTIVE, Folders, new_rollout_path
from codex_jupyter.rollout.index import Found, SearchIndex
from codex_jupyter.rollout.late import LateRecorder
from codex_jupyter.rollout.moves import Moves, fork_pieces
from codex_jupyter.rollout.ownership import Ownership
from codex_jupyter.rollout.reader import heal_tail, read_records, read_thread
from codex_jupyter.rollout.recorder import Recorder, RolloutFile
from codex_jupyter.rollout.records import Record, encode_lines, timestamp_text

__all__ = ["ListQuery", "Page", "StoredThread", "ThreadStore"]

_THREADS: Final = 8
"""Worker threads all file work of a store shares; a disk gains nothing from more."""

_T = TypeVar("_T")


class ThreadStore:
    """Stored threads under one home, of which this store writes those it owns.

    Folders are made when first needed, with mode 0700; files get mode 0600. Each call does its
    file work in one worker thread and, once that has begun, finishes it even if cancelled: either
    it returns and has happened, or it raises and has not. Two stores, in one process or in two,
    never own the same thread. For one event loop.
    """

    def __init__(self, home: Path, *, disk: Disk | None = None) -> None:
        self._home = home
        self._disk = disk or Disk()
        self._folders = Folders(home)
        self._catalogue = Catalogue(self._folders)
        self._index = SearchIndex(home, self._folders)
        self._ownership = Ownership(home)
        self._moves = Moves(home, self._folders, self._ownership)
        self._limiter = anyio.CapacityLimiter(_THREADS)
        self._held: set[ThreadId] = set()
        self._opening: set[ThreadId] = set()
        self._recorders: dict[ThreadId, Recorder | LateRecorder] = {}

    async def reserve(self, thread_id: ThreadId, *, minted: bool = False) -> None:
        """Take an id for a new thread, against all other stores of this home.

        An entry whose owner died before it wrote anything is taken over.

        Args:
            thread_id: The id.
            minted: It was made by `new_thread_id` a moment ago, so no file that came here by
                another way can have it; saves looking through the folders.

        Raises:
            DuplicateIdError: The id is in use; ``status`` is ``stored``, ``archived`` or
                ``reserved``.
            RolloutError: The entry cannot be written.
        """
        await self._run(lambda: self._reserve(thread_id, minted=minted))
        self._held.add(thread_id)

    async def release(self, thread_id: ThreadId) -> None:
        """Give up a thread: its recorder is closed, and an id that was never used is free again.

        A thread this store does not own is left as it is.

        Raises:
            RolloutError: The entry cannot be changed.
        """
        recorder = self._recorders.pop(thread_id, None)
        # Without a limit: whoever takes the thread next must find it closed and free.
        with anyio.CancelScope(shield=True):
            if recorder is not None:
                await recorder.aclose()
            late = isinstance(recorder, LateRecorder) and recorder.is_owned
            if late or thread_id in self._held:
                await self._run(lambda: self._release(thread_id))
                self._held.discard(thread_id)

    async def create(self, thread_id: ThreadId, meta: Mapping[str, Any]) -> Recorder:
        """Create the rollout of a reserved id and return its recorder.

        The file, with ``session_meta`` as its first line, and its name are on the medium when
        this returns. ``id`` and ``timestamp`` are added to ``meta``.

        Raises:
            DuplicateIdError: The id has a rollout.
            ThreadOwnedElsewhereError: Another store reserved the id.
            RolloutError: It is open or being opened here already, or the file cannot be written;
                the id stays reserved.
        """
        now = datetime.now().astimezone()
        payload = {"timestamp": timestamp_text(now), **meta, "id": thread_id}
        line = encode_lines([Record("session_meta", payload)])
        with self._only_once(thread_id):
            file = await self._run(lambda: self._create(thread_id, now, [line]))
            return self._recorder(thread_id, file)

    def create_late(self, thread_id: ThreadId, meta: Mapping[str, Any]) -> LateRecorder:
        """Return a recorder that creates the rollout of a fresh id when it is closed.

        Until then nothing of the thread is on disk; after it the thread belongs to nobody, and
        its file reaches the medium when the system gets to it. ``id`` and ``timestamp`` are added
        to ``meta``.
        """
        now = datetime.now().astimezone()
        payload = {"timestamp": timestamp_text(now), **meta, "id": thread_id}
        recorder = self._recorders[thread_id] = LateRecorder(
            self._home / new_rollout_path(thread_id, now),
            Record("session_meta", payload),
            lambda lines, owned: self._create(thread_id, now, [lines], owned=owned),
            self._limiter,
        )
        return recorder

    async def open(self, thread_id: ThreadId) -> tuple[Recorder, StoredThread]:
        """Take over a stored thread, repair its end, and return its recorder and its content.

        Raises:
            ThreadNotFoundError: There is no rollout, or it is archived.
            ThreadOwnedElsewhereError: A living process, or another store here, writes it.
            RolloutError: It is open or being opened here already, or its file cannot be read or
                repaired.
        """
        with self._only_once(thread_id):
            thread, file = await self._run(lambda: self._open(thread_id))
            return self._recorder(thread_id, file), thread

    async def fork(
        self,
        source_id: ThreadId,
        thread_id: ThreadId,
        cut: Cut = WHOLE,
        meta: Mapping[str, Any] | None = None,
    ) -> tuple[Recorder, StoredThread]:
        """Copy a stored thread, whoever owns it, under a reserved id; names stay behind.

        Args:
            source_id: The thread to copy.
            thread_id: The id of the copy, reserved before.
            cut: How much of it.
            meta: Members of the copy's ``session_meta`` that differ from the source's.

        Raises:
            ThreadNotFoundError: There is no active rollout of the source.
            InvalidRequestError: The turn to cut at is not in the thread.
            DuplicateIdError, ThreadOwnedElsewhereError, RolloutError: As `create`.
        """
        now = datetime.now().astimezone()
        with self._only_once(thread_id):
            file, thread = await self._run(
                lambda: self._fork(source_id, thread_id, cut, meta or {}, now)
            )
            return self._recorder(thread_id, file), thread

    async def thread_at(self, path: Path) -> ThreadId:
        """Return whose rollout a file is; a path that is relative starts at the home.

        Raises:
            InvalidRequestError: It is none of this home's active ones, or is not there.
        """
        return await self._run(lambda: self._thread_at(self._home / path))

    async def records(self, thread_id: ThreadId) -> Sequence[Record]:
        """Return all records of a stored, active thread, whoever owns it.

        Raises:
            ThreadNotFoundError: There is none.
            RolloutError: It cannot be read.
        """
        return await self._run(lambda: self._records(thread_id))

    async def archive(self, thread_id: ThreadId) -> Path:
        """Move a thread that is not open here into the archive; see `Moves.archive`."""
        with self._only_once(thread_id):
            return await self._run(lambda: self._moves.archive(thread_id))

    async def unarchive(self, thread_id: ThreadId) -> Path:
        """Move a thread out of the archive; see `Moves.unarchive`."""
        with self._only_once(thread_id):
            return await self._run(lambda: self._moves.unarchive(thread_id))

    async def delete(self, thread_id: ThreadId) -> None:
        """Remove a thread that is not open here for good; see `Moves.delete`."""
        with self._only_once(thread_id):
            await self._run(lambda: self._moves.delete(thread_id))

    async def read(self, thread_id: ThreadId) -> StoredThread | None:
        """Return a thread, archived or not and whoever owns it, or ``None``.

        Raises:
            RolloutError: Its file cannot be read.
        """
        return await self._run(lambda: self._read(thread_id))

    async def list(self, query: ListQuery) -> Page:
        """Return one page of the stored threads, newest first; those without a turn are left out.

        Raises:
            InvalidRequestError: The cursor is not one of ours.
            RolloutError: A folder or file cannot be read.
        """
        return await self._run(lambda: self._catalogue.list(query))

    async def search(
        self, term: str, *, archived: bool = False, limit: int = 25, offset: int = 0
    ) -> Sequence[tuple[StoredThread, Found]]:
        """Return threads in whose name or messages ``term`` occurs, best first.

        Raises:
            RolloutError: There can be no search index here, or a file cannot be read.
        """

        def look() -> Sequence[tuple[StoredThread, Found]]:
            found = self._index.threads(term, archived=archived, limit=limit, offset=offset)
            read = ((self._read(place.thread_id), place) for place in found)
            return [(thread, place) for thread, place in read if thread is not None]

        return await self._run(look)

    async def occurrences(
        self, thread_id: ThreadId, term: str, *, limit: int = 25, offset: int = 0
    ) -> Sequence[Found]:
        """Return where in a thread ``term`` occurs, oldest first; see `search`."""
        return await self._run(
            lambda: self._index.occurrences(thread_id, term, limit=limit, offset=offset)
        )

    async def aclose(self) -> None:
        """Release every thread and the store's owner file; idempotent.

        Raises:
            RolloutError: A thread's last records could not be written; all else is released.
        """
        problem: RolloutError | None = None
        with anyio.CancelScope(shield=True):
            for thread_id in {*self._held, *self._recorders}:
                try:
                    await self.release(thread_id)
                except RolloutError as error:
                    problem = problem or error
            await self._run(self._ownership.close)
        if problem is not None:
            raise problem

    async def _run(self, work: Callable[[], _T]) -> _T:
        return await anyio.to_thread.run_sync(work, limiter=self._limiter)

    @contextmanager
    def _only_once(self, thread_id: ThreadId) -> Generator[None, None, None]:
        recorder = self._recorders.get(thread_id)
        is_open = recorder is not None and not recorder.is_closed
        if is_open or thread_id in self._opening:
            raise RolloutError(f"thread {thread_id} is open already; release it before reopening")
        self._opening.add(thread_id)
        try:
            yield
        finally:
            self._opening.discard(thread_id)

    def _recorder(self, thread_id: ThreadId, file: RolloutFile) -> Recorder:
        recorder = Recorder(file, self._limiter)
        self._held.add(thread_id)
        self._recorders[thread_id] = recorder
        return recorder

    # Below: in a worker thread.

    def _reserve(self, thread_id: ThreadId, *, minted: bool) -> None:
        stored = None if minted else self._status_on_disk(thread_id)
        with self._ownership.guarded():
            entry = self._ownership.entry(thread_id)
            if entry is not None and self._folders.hinted(entry.rollout, thread_id):
                stored = "stored"
            if stored is None and entry is not None and self._ownership.holder(entry):
                stored = "reserved"
            if stored is not None:
                raise DuplicateIdError("thread", thread_id, stored)
            self._ownership.put(thread_id, owned=True, rollout=None)

    def _status_on_disk(self, thread_id: ThreadId) -> str | None:
        if self._folders.find(thread_id, archived=False):
            return "stored"
        return "archived" if self._folders.find(thread_id, archived=True) else None

    def _release(self, thread_id: ThreadId) -> None:
        if not self._ownership.has_owner_file:
            return
        with self._ownership.guarded():
            entry = self._ownership.entry(thread_id)
            if entry is None or not self._ownership.is_own(entry):
                return
            if self._folders.hinted(entry.rollout, thread_id):
                self._ownership.put(thread_id, owned=False, rollout=entry.rollout)
            else:
                self._ownership.remove(thread_id)

    def _create(
        self,
        thread_id: ThreadId,
        moment: datetime,
        pieces: Iterable[bytes],
        *,
        owned: bool = True,
    ) -> RolloutFile:
        place = new_rollout_path(thread_id, moment)
        path = self._home / place
        with self._ownership.guarded():
            entry = self._ownership.require_free(thread_id)
            if entry is not None and self._folders.hinted(entry.rollout, thread_id):
                raise DuplicateIdError("thread", thread_id, "stored")
            # Named before it exists, so that no crash leaves a rollout the entry does not know.
            self._ownership.put(thread_id, owned=owned, rollout=place.as_posix())
        with reporting("create", path):
            make_folder(path.parent)
            size = create_file(self._disk, path, pieces, durable=owned)
        return RolloutFile(path, size, self._disk)

    def _fork(
        self,
        source_id: ThreadId,
        thread_id: ThreadId,
        cut: Cut,
        meta: Mapping[str, Any],
        moment: datetime,
    ) -> tuple[RolloutFile, StoredThread]:
        source = self._folders.find(source_id, archived=False)
        if source is None:
            raise ThreadNotFoundError(f"no rollout found for thread id {source_id}")
        with _still_there(source, source_id):
            changed = {
                **_meta_of(source),
                **meta,
                "id": thread_id,
                "timestamp": timestamp_text(moment),
                "forked_from_id": source_id,
            }
            file = self._create(thread_id, moment, fork_pieces(source, cut, changed))
        return file, read_thread(file.path, thread_id, archived=False).thread

    def _thread_at(self, path: Path) -> ThreadId:
        thread_id = self._folders.thread_at(path)
        if thread_id is None:
            raise InvalidRequestError(
                f"`{path}` is no rollout below {self._home / ACTIVE}; "
                "only those can be opened by path"
            )
        if not path.is_file():
            raise InvalidRequestError(
                f"failed to resolve rollout path `{path}`: file does not exist"
            )
        return thread_id

    def _records(self, thread_id: ThreadId) -> Sequence[Record]:
        path = self._folders.find(thread_id, archived=False)
        if path is None:
            raise ThreadNotFoundError(f"no rollout found for thread id {thread_id}")
        with _still_there(path, thread_id):
            return tuple(read_records(path))

    def _open(self, thread_id: ThreadId) -> tuple[StoredThread, RolloutFile]:
        path, was_own = self._take(thread_id)
        try:
            return self._read_and_heal(path, thread_id)
        except BaseException:
            if not was_own:
                self._release(thread_id)
            raise

    def _take(self, thread_id: ThreadId) -> tuple[Path, bool]:
        # Looked for outside the guard: the first look at a large home takes a while.
        entry = self._ownership.entry(thread_id)
        path = self._folders.hinted(entry.rollout if entry else None, thread_id)
        path = path or self._folders.find(thread_id, archived=False)
        if path is None:
            raise ThreadNotFoundError(f"no rollout found for thread id {thread_id}")
        with self._ownership.guarded():
            entry = self._ownership.require_free(thread_id)
            place = path.relative_to(self._home).as_posix()
            was_own = entry is not None and self._ownership.is_own(entry)
            self._ownership.put(thread_id, owned=True, rollout=place)
        return path, was_own

    def _read_and_heal(self, path: Path, thread_id: ThreadId) -> tuple[StoredThread, RolloutFile]:
        with _still_there(path, thread_id):
            reading = read_thread(path, thread_id, archived=False)
            if reading.good_end < reading.size:
                heal_tail(path, reading.good_end, self._disk)
            file = RolloutFile(path, reading.good_end, self._disk)
            if not reading.thread.meta:
                file.append(_substitute_meta(reading.thread))
        return reading.thread, file

    def _read(self, thread_id: ThreadId) -> StoredThread | None:
        entry = self._ownership.entry(thread_id)
        for archived in (False, True):
            path = None
            if entry is not None and not archived:
                path = self._folders.hinted(entry.rollout, thread_id)
            path = path or self._folders.find(thread_id, archived=archived)
            try:
                if path is not None:
                    with _still_there(path, thread_id):
                        return read_thread(path, thread_id, archived=archived).thread
            except ThreadNotFoundError:
                continue
        return None


@contextmanager
def _still_there(path: Path, thread_id: ThreadId) -> Generator[None]:
    """Turn a failure of the block into that of a thread that does not exist, if it is gone.

    Whoever deletes or moves it waits for nobody who only reads.
    """
    try:
        yield
    except (RolloutError, FileNotFoundError) as error:
        if path.exists():
            raise
        raise ThreadNotFoundError(f"no rollout found for thread id {thread_id}") from error


def _substitute_meta(thread: StoredThread) -> bytes:
    """Return a first line for a file that lost its own; other programs refuse a file without."""
    created = timestamp_text(datetime.fromtimestamp(thread.created_at, UTC))
    return encode_lines([Record("session_meta", {"id": thread.thread_id, "timestamp": created})])


def _meta_of(path: Path) -> dict[str, Any]:
    """Return the payload of the first line that says whose rollout it is, or nothing."""
    metas = (record.payload for record in read_records(path) if record.type == "session_meta")
    return next(metas, dict[str, Any]())
