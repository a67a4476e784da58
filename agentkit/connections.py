"""Connections to a SQLite file in WAL mode, each in one hand at a time.

A connection that a thread is using must not be closed by another one: SQLite would go on in memory
that is no longer its own.  So who wants one takes it out of those that are idle, and gives it back.
One whose file was exchanged for another, as a repair does, would go on with the old file for ever:
it is not used again.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

ENOUGH = 4
"""So many wait for whoever wants one next: each holds memory and open files."""

AGAIN = 0.02
"""Seconds between two tries to make a new file one in WAL mode."""

_PRIMARY = 0xFF
"""The part of an error's code that says what it is; the rest says where."""

_File = tuple[int, int]
"""Its device and its number there: a path may name another file tomorrow."""


class _Opened(NamedTuple):
    connection: sqlite3.Connection
    file: _File | None


class Connections:
    """As many as are in use at once, opened when they are wanted; a few are kept for later.

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
        self._idle: list[_Opened] = []

    @contextmanager
    def one(self) -> Iterator[sqlite3.Connection]:
        """A connection that nobody else uses until the end of the block, without a transaction."""
        there = self._there()
        with self._guard:
            idle = self._idle
            stale = [one for one in idle if one.file != there]
            idle[:] = [one for one in idle if one.file == there]
            used = idle.pop() if idle else None
        for one in stale:
            one.connection.close()
        used = used or self._open()
        try:
            yield used.connection
        finally:
            with self._guard:
                kept = idle is self._idle and len(idle) < ENOUGH
                if kept:
                    idle.append(used)
            if not kept:
                used.connection.close()

    def close(self) -> None:
        """Close the idle ones now, and those in use when they come back.  More may be opened."""
        with self._guard:
            idle, self._idle = self._idle, []
        for one in idle:
            one.connection.close()

    def _there(self) -> _File | None:
        """The file that is at the path now; None where there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _open(self) -> _Opened:
        file = self._there()  # if it is exchanged from here on, the next take finds out
        connection = sqlite3.connect(
            self._path, self._busy_seconds, isolation_level=None, check_same_thread=False
        )
        file = file or self._there()
        try:
            self._turn_to_wal(connection)
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return _Opened(connection, file)

    def _turn_to_wal(self, connection: sqlite3.Connection) -> None:
        """For this one SQLite waits for nobody: of two that make a file, one is refused."""
        until = time.monotonic() + self._busy_seconds
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > until:
                    raise
                time.sleep(AGAIN)
            else:
                return


@contextmanager
def transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    """All that is done in the block, or nothing of it."""
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def is_busy(error: BaseException | None) -> bool:
    """Whether somebody else holds the file, and SQLite has nothing else to complain of."""
    return getattr(error, "sqlite_errorcode", 0) & _PRIMARY == sqlite3.SQLITE_BUSY
