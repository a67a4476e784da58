"""Connections to a SQLite file in WAL mode, each in one hand at a time.

A connection that a thread is using must not be closed by another one: SQLite would go on in memory
that is no longer its own.  So who wants one takes it out of those that are idle, and gives it back.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Connections:
    """As many as are in use at once, opened when they are wanted.

    `busy_seconds` is how long a lock of another process is waited for.  `prepare` is called with
    each that was opened; it may raise, and nothing stays open then.
    """

    def __init__(
        self, path: Path, busy_seconds: float, prepare: Callable[[sqlite3.Connection], None]
    ) -> None:
        self._path = path
        self._busy_seconds = busy_seconds
        self._prepare = prepare
        self._guard = threading.Lock()
        self._idle: list[sqlite3.Connection] = []

    @contextmanager
    def one(self) -> Iterator[sqlite3.Connection]:
        """A connection that nobody else uses until the end of the block, without a transaction."""
        with self._guard:
            idle = self._idle
            connection = idle.pop() if idle else None
        connection = connection or self._open()
        try:
            yield connection
        finally:
            with self._guard:
                closed = idle is not self._idle
                if not closed:
                    idle.append(connection)
            if closed:
                connection.close()

    def close(self) -> None:
        """Close the idle ones now, and those in use when they come back.  More may be opened."""
        with self._guard:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, self._busy_seconds, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection
