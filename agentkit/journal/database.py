"""The SQLite file: how it is opened, and what its faults mean to a person."""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import ConnectionPoolEntry

from agentkit.errors import MachineError
from agentkit.journal.tables import migrate

BUSY_SECONDS = 10

_CHECK = "check that the disk has room and the folder can be written"


class Database:
    """WAL with `synchronous=FULL`: what a transaction wrote has reached the disk when it ends.

    Thread-safe; several processes may use one file.  Everything here raises `MachineError` where
    the file cannot be used, with the way out.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = create_engine(
            URL.create("sqlite", database=str(path)),
            connect_args={"timeout": BUSY_SECONDS},
            hide_parameters=True,
        )
        event.listen(self._engine, "connect", _configure)
        try:
            with self._explained():
                path.parent.mkdir(parents=True, exist_ok=True)
                migrate(self._engine)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to look with."""
        with self._explained(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction: all of it, or nothing."""
        with self._explained(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """SQLite's errors as ours, with the file and the way out."""
        try:
            yield
        except DatabaseError as error:
            raise MachineError(
                f"the journal {self.path}: {error.orig}", hint=self._hint(error)
            ) from None
        except OSError as error:
            raise MachineError(f"the journal {self.path}: {error.strerror}", hint=_CHECK) from None

    def _hint(self, error: DatabaseError) -> str:
        cause = str(error.orig)
        if "malformed" in cause or "not a database" in cause:
            # With its companions: a new database would take over the old one's write-ahead log.
            old = shlex.quote(str(self.path.with_name("damaged")))
            files = shlex.quote(str(self.path))
            return f"move it away and go on with a new one: mkdir {old} && mv {files}* {old}"
        if "locked" in cause:
            return "another agentkit holds it for long; try again when that one is done"
        return _CHECK


def _configure(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
    del record
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
