"""The SQLite file of a collection: how it is opened, and what its faults mean to a person.

The file is the truth: texts, where they are from, and their vectors.  What makes search fast (the
words in it, the index of vectors beside it) can be made anew from that.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentkit.connections import Connections, transaction
from agentkit.errors import MachineError

BUSY_SECONDS = 30

FORMAT = 1
"""Of the tables; a file of a later one is not touched."""

TABLES = """
CREATE TABLE facts_of_collection (name TEXT PRIMARY KEY, value TEXT NOT NULL);

-- What is remembered: a note, or a passage of a document.
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,         -- its id to the world
    text TEXT NOT NULL,
    digest BLOB NOT NULL,             -- of the text in its normal form
    source TEXT NOT NULL,
    time TEXT NOT NULL,               -- UTC, so that text compares as time does
    metadata TEXT NOT NULL,           -- JSON
    document INTEGER REFERENCES documents(id),
    place INTEGER NOT NULL DEFAULT 0  -- which passage of its document
);
CREATE INDEX entries_by_digest ON entries(digest);
CREATE INDEX entries_by_source ON entries(source);
CREATE INDEX entries_by_time ON entries(time);
CREATE INDEX entries_by_document ON entries(document) WHERE document IS NOT NULL;

-- The metadata once more, so that filters find entries without reading them.
CREATE TABLE metadata (
    key TEXT NOT NULL, value NOT NULL, entry INTEGER NOT NULL, PRIMARY KEY (key, value, entry)
) WITHOUT ROWID;
CREATE INDEX metadata_by_entry ON metadata(entry);

-- The files that were taken in, as they were then.
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path TEXT NOT NULL UNIQUE,
    digest TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL         -- -1: do not trust it
);

-- The embedders that vectors are from.  One space is current; another may be coming.
CREATE TABLE spaces (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    model TEXT NOT NULL,
    digest TEXT NOT NULL,
    dimensions INTEGER NOT NULL,
    current INTEGER NOT NULL,
    edition INTEGER NOT NULL DEFAULT 0,   -- names the index; another one is a new index
    indexed INTEGER NOT NULL DEFAULT 0,   -- the last vector that the index has
    revision INTEGER NOT NULL DEFAULT 0,  -- how often the index was written
    writing INTEGER NOT NULL DEFAULT 0,   -- somebody writes it, or died over it
    files TEXT NOT NULL DEFAULT '{}'      -- its files and their sizes
);
CREATE UNIQUE INDEX one_current_space ON spaces(current) WHERE current;

-- One for each entry, or several where the text is longer than the embedder reads.
CREATE TABLE vectors (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    space INTEGER NOT NULL REFERENCES spaces(id),
    entry INTEGER NOT NULL,
    vector BLOB NOT NULL              -- float32, little-endian, length one
);
CREATE INDEX vectors_by_entry ON vectors(entry, space);

-- Vectors that are gone from here but not from the index yet.
CREATE TABLE buried (vector INTEGER PRIMARY KEY, space INTEGER NOT NULL);

CREATE VIRTUAL TABLE words USING fts5(
    text, content='', tokenize='unicode61 remove_diacritics 2'
);
"""


class CollectionDamaged(MachineError):
    """A file of memory that SQLite cannot read."""


class Database:
    """One file in WAL mode with `synchronous=FULL`.

    Thread-safe, and several processes may use one.  Everything here raises `CollectionDamaged` or
    `MachineError` with the way out.
    """

    def __init__(self, path: Path, collection: str) -> None:
        self.path = path
        self.collection = collection
        self._connections = Connections(path, BUSY_SECONDS, self._prepare)

    @property
    def exists(self) -> bool:
        """Whether anything was ever written."""
        return self.path.exists()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """The file as it is at this moment, until the end of the block."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it, or nothing.  One writer at a time."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def close(self) -> None:
        """Close all connections: those in use when they are given back.  Idempotent."""
        self._connections.close()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._explained():
            self._make_folder()
            with self._connections.one() as connection, transaction(connection, begin):
                yield connection

    def _make_folder(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MachineError(f"the memory {self.path.parent}: {error.strerror}") from None

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA cache_size=-32000")
        if self._format(connection) == 0:
            connection.execute("BEGIN IMMEDIATE")
            if self._format(connection) == 0:  # nobody else was faster
                for statement in TABLES.split(";\n"):
                    connection.execute(statement)
                name = "INSERT INTO facts_of_collection VALUES ('name', ?)"
                connection.execute(name, (uuid.uuid4().hex[:12],))
                connection.execute(f"PRAGMA user_version={FORMAT}")
            connection.execute("COMMIT")
        if (found := self._format(connection)) > FORMAT:
            raise MachineError(
                f"{self.path} was written by a later agentkit (format {found}, this one has "
                f"{FORMAT})",
                hint="use that one, or take its entries out with `agentkit memory export` there",
            )

    @staticmethod
    def _format(connection: sqlite3.Connection) -> int:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise MachineError(
                    f"the memory {self.path} is in use by another process for {BUSY_SECONDS} s",
                    hint="try again when it is done",
                ) from None
            if "malformed" in str(error) or "no such table" in str(error):
                raise self._damaged(error) from None
            raise MachineError(
                f"the memory {self.path}: {error}",
                hint="check that the disk has room and the folder can be written",
            ) from None
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> CollectionDamaged:
        return CollectionDamaged(
            f"the memory {self.path} is damaged: {error}",
            hint="save what can still be read: agentkit memory repair --collection "
            + self.collection,
        )
