"""SQLite in a file: WAL, and what a transaction wrote has reached the disk when it ends."""

from __future__ import annotations

import sqlite3
import threading
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from agentkit.connections import Connections, is_busy, transaction

BUSY_SECONDS = 10
"""How long a lock of another process is waited for."""

LASTING, PASSING = "FULL", "NORMAL"
"""`synchronous` of transactions that have to survive a power cut, and of those that need not."""


class DatabaseFault(Exception):
    """What a database says is wrong; `away`: it cannot be had now, and may be in a moment."""

    def __init__(self, cause: str, *, away: bool = False) -> None:
        super().__init__(cause.strip())
        self.away = away


class File:
    """Transactions in one file.  Nothing is opened before the first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connections = Connections(path, BUSY_SECONDS, _prepare)
        self._writing = threading.Lock()
        """Threads of a process wait in turn; SQLite would let them sleep and try again."""

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """See `Store.read`."""
        with self._connection() as connection:
            yield connection

    @contextmanager
    def write(self, *, lasting: bool, alone: bool) -> Iterator[sqlite3.Connection]:
        """See `Store.write`.  Who writes to a file is always alone."""
        del alone
        with self._writing, self._connection() as connection:
            connection.execute(f"PRAGMA synchronous={LASTING if lasting else PASSING}")
            with transaction(connection, "BEGIN IMMEDIATE"):
                yield connection

    def migrate(self) -> None:
        """See `Store.migrate`."""
        from sqlalchemy import URL, create_engine
        from sqlalchemy.exc import DatabaseError
        from sqlalchemy.pool import NullPool

        from agentkit.journal.tables import migrate

        with self._connection():  # makes the file what it has to be
            pass
        about = {"timeout": BUSY_SECONDS}
        url = URL.create("sqlite", database=str(self.path))
        try:
            migrate(create_engine(url, connect_args=about, poolclass=NullPool))
        except DatabaseError as error:
            raise DatabaseFault(str(error.orig), away=is_busy(error.orig)) from None

    def vacuum(self) -> None:
        """See `Store.vacuum`."""
        with self._writing, self._connection() as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """See `Store.close`."""
        self._connections.close()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._connections.one() as connection:
                yield connection
        except sqlite3.DatabaseError as error:
            raise DatabaseFault(str(error), away=is_busy(error)) from None


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA foreign_keys=ON")
    connection.row_factory = _row


def _row(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> Any:
    """A row with the columns as attributes."""
    return _shape(tuple(column[0] for column in cursor.description))._make(values)


@lru_cache
def _shape(columns: tuple[str, ...]) -> Any:
    return namedtuple("Row", columns, rename=True)
