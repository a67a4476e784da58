"""One collection: notes and passages of documents, kept, found, forgotten.

A text that says what is here already is not kept twice: the same text but for case and spaces, or
one of nearly the same meaning in nearly the same words.  That holds for notes.  Documents are
kept whole, whatever else says the same, because a passage that was refused for another document's
sake would be missing when that one is forgotten; a search shows a text once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from sqlite3 import Connection
from typing import TYPE_CHECKING

from agentkit.cancel import CancelToken
from agentkit.errors import AgentkitError, UserError
from agentkit.memory import fusion, ledger, spaces, words
from agentkit.memory.database import Database
from agentkit.memory.filters import COLUMNS, matching
from agentkit.memory.indexing import FEW, Indexing
from agentkit.memory.ledger import Entry
from agentkit.memory.nearest import Nearest
from agentkit.memory.passages import vectors
from agentkit.memory.server import Server
from agentkit.memory.spaces import Hits, Space
from agentkit.ports import Condition, Embedder, Progress, Recollection, Scalar, no_progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

FILE = "memory.sqlite"

LONGEST_NOTE = 100_000
"""Characters.  More is a document."""

SAME_MEANING = 0.96
"""Cosine from which on two notes may say the same; their words have to be alike as well."""

POOL = 50
"""Entries from each ranking that the fused one is made of."""

CATCH_UP = 250
"""Vectors that a note brings to the index at a time, so that nobody waits for long."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """An embedder, and the digest by which its vectors are told from those of others."""

    embedder: Embedder
    digest: str


@dataclass(frozen=True, slots=True)
class Status:
    """What can be told of a collection without loading a model.

    `fault` says why it cannot be searched: its vectors are of another embedder, which is not here.
    """

    name: str
    path: Path
    entries: int
    documents: int
    bytes: int
    model: str
    dimensions: int
    vectors: int
    indexed: int
    fault: str = ""


def _silent(text: str) -> None:
    """For callers that do not want to know."""


class Collection:
    """A `Memory` in a folder.  May be used from any thread, and by several processes at once.

    `notice` is told what slows a search down.  Raises `CollectionDamaged` where the file cannot be
    read, `UserError` where the vectors are another embedder's, both with the command that helps.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        embedding: Callable[[], Embedding],
        *,
        server: Server | None = None,
        same_meaning: float = SAME_MEANING,
        few: int = FEW,
        notice: Callable[[str], None] = _silent,
    ) -> None:
        self.name = name
        self.folder = folder
        self.database = Database(folder / FILE, name)
        self.indexing = Indexing(self.database, server, notice, few)
        self._nearest = Nearest(self.database, self.indexing)
        self._find_embedding = embedding
        self._same_meaning = same_meaning

    @cached_property
    def embedding(self) -> Embedding:
        """Found when it is first needed: to list, export and forget, no model is."""
        return self._find_embedding()

    @property
    def exists(self) -> bool:
        """Whether anything was ever kept here."""
        return self.database.exists

    def close(self) -> None:
        """Give memory and files back.  Idempotent; the embedder is not closed."""
        self.indexing.close()
        self.database.close()

    # -- keeping ---------------------------------------------------------------------------------

    def save(self, text: str, *, source: str, metadata: Mapping[str, Scalar] | None = None) -> str:
        """See `ports.Memory.save`."""
        note = self._note(text, source, metadata or {})
        with self.database.read() as connection:
            known = ledger.same(connection, note.text)
        if known:
            return known.id
        (parts,) = vectors(self.embedding.embedder, [note.text])
        with self.database.read() as connection:
            space = self.usable(connection)
            newest = spaces.last(connection)
        if space and (near := self._saying(space, note.text, parts)):
            return near.id
        with self.database.write() as connection:
            space = self.writable(connection, parts.shape[1])
            known = ledger.same(connection, note.text) or self._said_since(
                connection, space, newest, note.text, parts
            )
            if known:
                return known.id
            spaces.put(connection, space.id, ledger.add(connection, note), parts)
        self.tend(most=CATCH_UP)
        return note.id

    def _note(self, text: str, source: str, metadata: Mapping[str, Scalar]) -> Entry:
        text = words.plain(text).strip()
        if not text:
            raise UserError("there is nothing to remember: the text is empty")
        if len(text) > LONGEST_NOTE:
            raise UserError(
                f"the text has {len(text)} characters, a note has {LONGEST_NOTE} at most",
                hint="put it into a file: agentkit memory add FILE",
            )
        return Entry(
            ledger.new_id(), text, words.plain(source), datetime.now(UTC), checked(metadata)
        )

    def _saying(self, space: Space, text: str, parts: Array) -> Entry | None:
        """An entry with nearly the same meaning, if there is one."""
        if len(parts) != 1:
            return None
        hits = self._nearest.find(space, parts[0], 5)
        with self.database.read() as connection:
            return self._first_same(connection, space, hits, text)

    def _said_since(
        self, connection: Connection, space: Space, newest: int, text: str, parts: Array
    ) -> Entry | None:
        """The same among what other writers have added in the meantime."""
        if len(parts) != 1:
            return None
        hits = spaces.nearest(connection, space.id, parts[0], 5, after=newest)
        return self._first_same(connection, space, hits, text)

    def _first_same(
        self, connection: Connection, space: Space, hits: Hits, text: str
    ) -> Entry | None:
        near = [vector for vector, similarity in hits if similarity >= self._same_meaning]
        rows = list(spaces.entries_of(connection, near).values())
        whole = spaces.of_entries(connection, space.id, rows)
        for row, entry in ledger.load(connection, rows).items():
            alone = len(whole[row]) == 1  # of a long text, one part says nothing of the others
            if alone and words.alike(entry.text, text):
                return entry
        return None

    # -- finding ---------------------------------------------------------------------------------

    def search(
        self, query: str, *, limit: int = 5, where: Sequence[Condition] = ()
    ) -> list[Recollection]:
        """See `ports.Memory.search`."""
        query = words.plain(query).strip()
        if self._nothing_kept(where) or not query or limit < 1:
            return []
        with self.database.read() as connection:
            space = self.usable(connection)
        if space is None:
            return []
        asked = vectors(self.embedding.embedder, [query])[0].mean(axis=0)
        pool = max(POOL, 2 * limit)
        near = self._nearest.find(space, asked, pool, where)
        with self.database.read() as connection:
            meaning = list(
                dict.fromkeys(spaces.entries_of(connection, [one for one, _ in near]).values())
            )
            wording = ledger.by_words(connection, query, where, pool)
            ranked = fusion.fused([meaning, wording])[: 4 * limit]
            found = _once(ledger.load(connection, ranked), limit)
            known = spaces.of_entries(connection, space.id, list(found))
        return [
            Recollection(
                entry.id,
                entry.text,
                entry.source,
                _score(known.get(row), asked),
                entry.time,
                entry.metadata,
            )
            for row, entry in found.items()
        ]

    # -- forgetting ------------------------------------------------------------------------------

    def forget(self, where: Sequence[Condition]) -> int:
        """See `ports.Memory.forget`."""
        return self._forget(where) if where and not self._nothing_kept(where) else 0

    def forget_all(self) -> int:
        """Forget everything."""
        return self._forget(()) if self.exists else 0

    def _forget(self, where: Sequence[Condition]) -> int:
        with self.database.write() as connection:
            rows = ledger.rows(connection, where)
            ledger.remove(connection, rows)
            ledger.drop_empty_documents(connection)
            empty = ledger.count(connection) == 0
            if empty:  # the next entry may be of another embedder
                connection.execute("DELETE FROM buried")
                connection.execute("DELETE FROM spaces")
        if empty:
            self.indexing.sweep()
        return len(rows)

    # -- looking ---------------------------------------------------------------------------------

    def entries(
        self, where: Sequence[Condition] = (), *, limit: int = -1, offset: int = 0
    ) -> list[Entry]:
        """The entries of which all conditions hold, the newest first."""
        if self._nothing_kept(where):
            return []
        with self.database.read() as connection:
            rows = ledger.rows(connection, where, limit=limit, offset=offset)
            return list(ledger.load(connection, rows).values())

    def count(self, where: Sequence[Condition] = ()) -> int:
        """How many entries there are of which all conditions hold."""
        if self._nothing_kept(where):
            return 0
        with self.database.read() as connection:
            return ledger.count(connection, where)

    def _nothing_kept(self, where: Sequence[Condition]) -> bool:
        """Whether there is no file yet; a condition that is none is told all the same."""
        matching(where)
        return not self.exists

    def status(self) -> Status:
        """What there is."""
        size = sum(file.stat().st_size for file in self.folder.rglob("*") if file.is_file())
        with self.database.read() as connection:
            space = spaces.current(connection)
            counted = connection.execute(
                "SELECT (SELECT count(*) FROM entries), (SELECT count(*) FROM documents), "
                "(SELECT count(*) FROM vectors WHERE space = ?), "
                "(SELECT count(*) FROM vectors WHERE space = ? AND id <= ?)",
                (space.id, space.id, space.indexed) if space else (0, 0, 0),
            ).fetchone()
        entries, files, all_vectors, indexed = counted
        return Status(
            name=self.name,
            path=self.folder,
            entries=entries,
            documents=files,
            bytes=size,
            model=space.model if space else "",
            dimensions=space.dimensions if space else 0,
            vectors=all_vectors,
            indexed=indexed,
            fault=self._fault(space),
        )

    def _fault(self, space: Space | None) -> str:
        try:
            if space:
                self._check(space)
        except AgentkitError as error:
            return f"{error} ({error.hint})"
        return ""

    # -- the space -------------------------------------------------------------------------------

    def usable(self, connection: Connection) -> Space | None:
        """The current space; None while there is none.

        Raises `UserError` if it is another embedder's.
        """
        space = spaces.current(connection)
        if space:
            self._check(space)
        return space

    def _check(self, space: Space) -> None:
        if space.digest != self.embedding.digest:
            raise UserError(
                f"the memory {self.name!r} was made with the embedder {space.model!r}, and settings"
                f" say {self.embedding.embedder.name!r}: their vectors cannot be compared",
                hint=f"agentkit memory reembed --collection {self.name}, or set roles.embed back",
            )

    def writable(self, connection: Connection, dimensions: int) -> Space:
        """The current space, made if there is none."""
        space = self.usable(connection)
        return space or spaces.create(
            connection,
            self.embedding.embedder.name,
            self.embedding.digest,
            dimensions,
            is_current=True,
        )

    def tend(
        self,
        *,
        most: int | None = None,
        progress: Progress = no_progress,
        cancel: CancelToken | None = None,
    ) -> None:
        """Bring the index up to the file, if much is missing in it."""
        with self.database.read() as connection:
            space = spaces.current(connection)
        if space and self.indexing.due(space):
            self.indexing.advance(space, most=most, progress=progress, cancel=cancel)


def checked(metadata: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Metadata that can be kept.  Raises `UserError` for a name or a value that cannot."""
    for key, value in metadata.items():
        if key in COLUMNS or not key:
            raise UserError(f"{key!r} cannot be the name of metadata: every entry has its own")
        if not isinstance(value, Scalar) or value != value:
            raise UserError(f"{key} is {value!r}: metadata are texts, numbers, true and false")
    return {
        words.plain(key): words.plain(value) if isinstance(value, str) else value
        for key, value in metadata.items()
    }


def _once(entries: Mapping[int, Entry], limit: int) -> dict[int, Entry]:
    """Each text once."""
    first: dict[bytes, int] = {}
    for row, entry in entries.items():
        first.setdefault(words.digest(entry.text), row)
    return {row: entries[row] for row in list(first.values())[:limit]}


def _score(parts: Array | None, asked: Array) -> float:
    """Of the part that is nearest."""
    nearest = 0.0 if parts is None else float((parts @ asked).max())
    return min(max(nearest, 0.0), 1.0)
