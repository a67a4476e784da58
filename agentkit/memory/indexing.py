"""The index of vectors beside a collection: behind the file by a little, never ahead of it.

chromadb's index in a folder is for one process: what another one has written it does not see, and
two that write lose entries for good (docs/decisions/0007-memory.md).  So it is only an index here.

- Vectors are numbered as they are written to the file, and the file says up to which number the
  index has them.  What is newer is compared one by one: all see at once what anybody wrote.
- Who writes the index holds a lock, opens it anew if another process has written it since, and
  says in the file that it writes and when it is done.
- An index that was left half-written, or of which the files are not as they were left, is not
  opened: a new one is made beside it from the vectors in the file.
- What was forgotten is not found, because the file does not have it; the index drops it later.

A collection of a few thousand entries has no index: comparing all is as fast, and exact.
"""

from __future__ import annotations

import json
import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock, Timeout

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled
from agentkit.memory import spaces
from agentkit.memory.chroma import FolderIndex, Index, IndexAway, IndexBroken
from agentkit.memory.database import Database
from agentkit.memory.server import Server, ServerIndex
from agentkit.memory.spaces import Hits, Space
from agentkit.ports import Progress, no_progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEW = 2000
"""So many vectors are compared one by one; when more have come, the index is brought up to them."""

BATCH = 250
"""Vectors that are written to the index at a time: half a second, in which searches wait."""

TRIES = 3

PATIENCE = 5.0
"""Seconds that a search waits to open the index while another process writes it; and a note, to be
written to it."""

LOOK = 0.02
"""Seconds between two looks whether the other process is done."""


@dataclass(slots=True)
class _Open:
    """An index as this process has it."""

    space: int
    edition: int
    revision: int
    indexed: int
    index: Index


class Indexing:
    """The index of one collection.  May be used from any thread, and beside other processes.

    `notice` is told when the index cannot be used: searches are slower then, and just as right.
    """

    def __init__(
        self,
        database: Database,
        server: Server | None,
        notice: Callable[[str], None],
        few: int = FEW,
    ) -> None:
        self.few = few
        self._database = database
        self._folder = database.path.parent
        self._server = server
        self._notice = notice
        self._guard = threading.RLock()
        self._lock = FileLock(self._folder / "index.lock", thread_local=False)
        self._open: _Open | None = None
        self._broken: tuple[int, int, int] | None = None
        self._told: set[str] = set()
        self._closing = threading.Event()

    # -- reading ---------------------------------------------------------------------------------

    def nearest(
        self,
        space: Space,
        vector: NDArray[np.float32],
        limit: int,
        among: Sequence[int] | None = None,
    ) -> tuple[Hits, int]:
        """The nearest vectors that the index knows, and the number up to which it knows them.

        Not to be called inside a transaction.
        """
        if not space.indexed or self._broken == _state(space):
            return [], 0
        with self._guard:
            try:
                index = self._for_reading(space)
                if index is None:
                    return [], 0
                return index.index.nearest(vector, limit, among), index.indexed
            except IndexBroken as fault:
                self._close()
                self._broken = _state(space)  # until somebody has written it again
                self._tell(f"is damaged ({fault}); agentkit memory repair makes it anew")
            except IndexAway as fault:
                self._close()
                self._tell(f"cannot be reached: {fault}")
        return [], 0

    def _for_reading(self, space: Space) -> _Open | None:
        """The index, opened if need be; None while it cannot be had."""
        known = self._open
        same = known is not None and (known.space, known.edition) == (space.id, space.edition)
        if known is not None and same:
            if self._server:
                known.indexed = space.indexed
            if space.indexed - known.indexed <= self.few:
                return known
        try:
            with self._locked(PATIENCE):
                return self._opened(space.id)
        except Timeout:
            return known if same else None

    def _opened(self, number: int) -> _Open | None:
        """Open the index as it is now.  The caller holds the lock."""
        self._close()
        with self._database.read() as connection:
            space = spaces.by_id(connection, number)
        if space is None or not space.indexed:
            return None
        self._check(space)
        index = self._index(space)
        self._open = _Open(space.id, space.edition, space.revision, space.indexed, index)
        index.nearest(np.ones(space.dimensions, np.float32), 1)  # reads its files now, not later
        return self._open

    def _check(self, space: Space) -> None:
        """Raise `IndexBroken` for an index that is not as its last writer left it."""
        if space.writing:
            raise IndexBroken("it was left half-written")
        if self._server is None and _sizes(self._place(space)) != space.files:
            raise IndexBroken("its files have changed")

    def _index(self, space: Space) -> Index:
        index: Index
        if self._server:
            index = ServerIndex(self._server, self._name(space.id, space.edition))
        else:
            index = FolderIndex(self._place(space))
        try:
            if space.indexed and index.count() == 0:
                raise IndexBroken("it is empty")
        except BaseException:
            index.close()
            raise
        return index

    # -- writing ---------------------------------------------------------------------------------

    def due(self, space: Space) -> bool:
        """Whether enough has come, or gone, for the index to be written."""
        with self._database.read() as connection:
            new = spaces.beyond(connection, space.id, space.indexed, self.few)
            gone = connection.execute("SELECT count(*) FROM buried").fetchone()[0]
        return new >= self.few or gone >= self.few

    def advance(
        self,
        space: Space,
        *,
        most: int | None = None,
        progress: Progress = no_progress,
        cancel: CancelToken | None = None,
    ) -> None:
        """Bring the index up to the file, or by `most` vectors.  Not inside a transaction.

        While another process holds the index, `most` waits for `PATIENCE` and leaves it to who
        comes next, and all of it waits until it is closed.  A server that cannot be reached is told
        to `notice`.  Raises `Cancelled`.
        """
        done, renewed, closing = 0, False, self._closing
        patience = math.inf if most is None else PATIENCE
        with self._database.read() as connection:
            total = spaces.beyond(connection, space.id, space.indexed, 10**9)
        while most is None or done < most:
            if cancel:
                cancel.check()
            try:
                with self._held(closing, cancel, patience):
                    count = self._write_some(space.id)
            except Timeout:
                return
            except IndexAway as fault:
                self._tell(f"cannot be reached: {fault}")
                return
            except IndexBroken as fault:
                if renewed:
                    self._tell(f"cannot be written: {fault}")
                    return
                self._tell(f"is made anew: {fault}")
                self.renew(space.id, cancel)
                renewed = True
                continue
            if count == 0:
                return
            done += count
            progress(done, max(done, total), "vectors")

    def _write_some(self, number: int) -> int:
        """One batch; how many vectors came or went.  The caller holds the lock."""
        space, new, gone = self._work(number)
        if space is None or not (new or gone):
            return 0
        index = self._for_writing(space)
        self._mark(space.id, writing=True)
        if new:
            _put(index.index, dict(new))
        if gone:
            index.index.drop(gone)
        index.indexed = max([space.indexed, *(one for one, _ in new)])
        index.revision = space.revision + 1
        self._commit(index, [one for one, _ in new], gone)
        return len(new) + len(gone)

    def _work(self, number: int) -> tuple[Space | None, list[tuple[int, bytes]], list[int]]:
        """The next vectors to put in and to take out."""
        with self._database.read() as connection:
            space = spaces.by_id(connection, number)
            if space is None:
                return None, [], []
            new = connection.execute(
                "SELECT id, vector FROM vectors WHERE id > ? AND space = ? ORDER BY id LIMIT ?",
                (space.indexed, space.id, BATCH),
            ).fetchall()
            gone = connection.execute(
                "SELECT vector FROM buried WHERE space = ? LIMIT ?", (space.id, BATCH)
            ).fetchall()
        return space, [(row["id"], row["vector"]) for row in new], [row["vector"] for row in gone]

    def _for_writing(self, space: Space) -> _Open:
        """The index exactly as it was last written."""
        known = self._open
        if known is None or (known.space, known.edition, known.revision) != _state(space):
            self._close()
            self._check(space)
            if not space.indexed and self._server is None:
                shutil.rmtree(self._place(space), ignore_errors=True)
            index = self._index(space)
            known = _Open(space.id, space.edition, space.revision, space.indexed, index)
            self._open = known
        return known

    def _mark(self, space: int, *, writing: bool) -> None:
        with self._database.write() as connection:
            connection.execute("UPDATE spaces SET writing = ? WHERE id = ?", (writing, space))

    def _commit(self, index: _Open, new: Sequence[int], gone: Sequence[int]) -> None:
        """Say in the file what the index has now."""
        files = {} if self._server else _sizes(self._folder / _folder(index.space, index.edition))
        with self._database.write() as connection:
            connection.execute(
                "UPDATE spaces SET indexed = ?, revision = ?, writing = 0, files = ? WHERE id = ?",
                (index.indexed, index.revision, json.dumps(files), index.space),
            )
            connection.execute(
                "DELETE FROM buried WHERE vector IN (SELECT value FROM json_each(?))",
                (json.dumps(list(gone)),),
            )
            connection.execute(  # forgotten while they were on their way into the index
                "INSERT INTO buried SELECT value, ? FROM json_each(?) "
                "WHERE value NOT IN (SELECT id FROM vectors)",
                (index.space, json.dumps(list(new))),
            )

    def renew(self, number: int, cancel: CancelToken | None = None) -> None:
        """Begin a new index beside the old one, which is deleted.  Nothing is in it yet.

        Raises `Cancelled`, also when it is closed while another process holds the index.
        """
        try:
            with self._held(self._closing, cancel):
                self._close()
                with self._database.write() as connection:
                    connection.execute(
                        "UPDATE spaces SET edition = edition + 1, indexed = 0, writing = 0, "
                        "files = '{}' WHERE id = ?",
                        (number,),
                    )
                    connection.execute("DELETE FROM buried WHERE space = ?", (number,))
                self._sweep()
        except Timeout:
            raise Cancelled("the memory was closed") from None

    def sweep(self) -> None:
        """Delete the indexes that no space has any more; later, if another process holds them."""
        with suppress(Timeout), self._held(self._closing, patience=PATIENCE):
            self._sweep()

    def _sweep(self) -> None:
        with self._database.read() as connection:
            rows = connection.execute("SELECT id, edition FROM spaces").fetchall()
        alive = [(row["id"], row["edition"]) for row in rows]
        folders = {_folder(*one) for one in alive}
        for folder in self._folder.glob("index-*"):
            if folder.name not in folders and folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)
        if self._server and alive:
            self._sweep_server(self._server, [self._name(*one) for one in alive])

    def _sweep_server(self, server: Server, names: Sequence[str]) -> None:
        try:
            index = ServerIndex(server, names[0])
            index.drop_others(names[0].rsplit("-", 2)[0] + "-", names)
            index.close()
        except (IndexAway, IndexBroken) as fault:
            self._tell(f"cannot be tidied up: {fault}")

    # -- what both need --------------------------------------------------------------------------

    def close(self) -> None:
        """Give memory back.  Idempotent; it is opened again when it is used again.

        Who waits for another process to write the index waits no longer.
        """
        closing, self._closing = self._closing, threading.Event()
        closing.set()
        with self._guard:
            self._close()

    def _close(self) -> None:
        if self._open:
            self._open.index.close()
            self._open = None

    @contextmanager
    def _held(
        self,
        closing: threading.Event,
        cancel: CancelToken | None = None,
        patience: float = math.inf,
    ) -> Iterator[None]:
        """Keep other threads and other processes from the index, to write it.

        While another process has it, searches of this one go on.  Raises `Cancelled`, and `Timeout`
        when it is closing or has no patience left.
        """
        until = time.monotonic() + patience
        with ExitStack() as held:
            while not self._taken(held):
                if cancel:
                    cancel.check()
                if closing.wait(LOOK):
                    raise Timeout(self._lock.lock_file)
                if time.monotonic() >= until:
                    self._tell("is held by another process: what is newer is not written to it")
                    raise Timeout(self._lock.lock_file)
            yield

    def _taken(self, held: ExitStack) -> bool:
        """Take it, unless another process has it."""
        with ExitStack() as taken:
            taken.enter_context(self._guard)
            try:
                taken.enter_context(self._locked(0))
            except Timeout:
                return False
            held.push(taken.pop_all())
        return True

    @contextmanager
    def _locked(self, timeout: float) -> Iterator[None]:
        """Keep other processes from opening or writing the index.  Raises `Timeout`."""
        with self._lock.acquire(timeout=timeout, poll_interval=0.01):
            yield

    def _place(self, space: Space) -> Path:
        return self._folder / _folder(space.id, space.edition)

    def _name(self, space: int, edition: int) -> str:
        """On a server: this collection's own, wherever it was copied from."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT value FROM facts_of_collection WHERE name = 'name'"
            ).fetchone()
        return f"agentkit-{row['value']}-{space}-{edition}"

    def _tell(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            self._notice(f"the index of the memory {self._database.collection!r} {what}")


def _put(index: Index, vectors: Mapping[int, bytes]) -> None:
    """Put vectors in, and see that they are there.

    chromadb 1.5.9 leaves some out of its graph now and then: in seven of a hundred indexes, of the
    first batch after the first query.  Given once more, they are kept.
    """
    missing = list(vectors)
    for _ in range(TRIES):
        rows = np.stack([np.frombuffer(vectors[number], "<f4") for number in missing])
        index.put(missing, rows)
        found = {number for number, _ in index.nearest(rows[0], len(missing), missing)}
        missing = [number for number in missing if number not in found]
        if not missing:
            return
    raise IndexBroken(f"it does not keep {len(missing)} of {len(vectors)} vectors")


def _state(space: Space) -> tuple[int, int, int]:
    return space.id, space.edition, space.revision


def _folder(space: int, edition: int) -> str:
    return f"index-{space}-{edition}"


def _sizes(folder: Path) -> dict[str, int]:
    """The files of the graph, once it has been written whole; before that, all is in the log.

    chromadb's own SQLite file is left to SQLite: it changes on opening, and knows when it is
    damaged.
    """
    sizes = {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "chroma.sqlite3" not in path.name
    }
    return sizes if any(name.endswith("index_metadata.pickle") for name in sizes) else {}
