"""The journal's database: how it is opened, and what its faults mean to a person.

SQLite in a file is the rule; a database of PostgreSQL, named by its URL, does the same.
"""

from __future__ import annotations

import re
import shlex
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from agentkit.errors import MachineError, UserError
from agentkit.journal.tables import alone, migrate

BUSY_SECONDS = 10
"""How long a lock of another process is waited for."""

AWAY_SECONDS = 60.0
"""How long a server that does not answer is waited for."""

AGAIN = 0.5
"""Seconds between two tries."""

_CHECK = "check that the disk has room and the folder can be written"


class Away(MachineError):
    """A server that does not answer now, and may do so in a moment."""


class Database:
    """What a transaction wrote has reached the disk when it ends (SQLite: WAL, `synchronous=FULL`).

    Thread-safe; several processes may use one.  Everything here raises `MachineError` where it
    cannot be used, with the way out.
    """

    def __init__(self, place: Path | str) -> None:
        self.name = str(place) if isinstance(place, Path) else _without_password(place)
        self._path = place if isinstance(place, Path) else None
        self._engine = _file(place) if isinstance(place, Path) else _server(place)
        try:
            with self._explained():
                if self._path is not None:
                    self._path.parent.mkdir(parents=True, exist_ok=True)
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

    def alone(self, connection: Connection) -> None:
        """Let nobody else write until this transaction ends; its first statement."""
        alone(connection)

    def insert(self, table: Table) -> Any:
        """An insert that can say what happens on a conflict, which each database spells its way."""
        return _insert(self._engine.dialect.name, table)

    def vacuum(self) -> None:
        """Give room that is free in the file back to the disk."""
        with self._explained(), self._engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.exec_driver_sql("VACUUM")
            if self._path is not None:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def insist(self, write: Callable[[], None]) -> None:
        """Do a transaction, again and again while a server is away: it is being restarted.

        It may be done twice, if the answer to its end was lost: it has to bear that.
        """
        until = time.monotonic() + AWAY_SECONDS
        while True:
            try:
                return write()
            except Away:
                if time.monotonic() > until:
                    raise
                time.sleep(AGAIN)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """The errors of a database as ours, with its name and the way out."""
        try:
            yield
        except DatabaseError as error:
            cause = str(error.orig).strip()
            away = self._path is None and (
                error.connection_invalidated or isinstance(error, OperationalError)
            )
            kind = Away if away else MachineError
            hint = self._hint(cause)
            raise kind(f"the journal {self.name}: {cause}", hint=hint) from None
        except OSError as error:
            raise MachineError(f"the journal {self.name}: {error.strerror}", hint=_CHECK) from None

    def _hint(self, cause: str) -> str:
        if self._path is None:
            return "check that the server runs, and `journal` in settings"
        if "malformed" in cause or "not a database" in cause:
            # With its companions: a new database would take over the old one's write-ahead log.
            old = shlex.quote(str(self._path.with_name("damaged")))
            files = shlex.quote(str(self._path))
            return f"move it away and go on with a new one: mkdir {old} && mv {files}* {old}"
        if "locked" in cause:
            return "another agentkit holds it for long; try again when that one is done"
        return _CHECK


def _insert(dialect: str, table: Table) -> Any:
    return (sqlite if dialect == "sqlite" else postgresql).insert(table)


def _file(path: Path) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": BUSY_SECONDS},
        hide_parameters=True,
    )
    event.listen(engine, "connect", _configure)
    return engine


def _server(url: str) -> Engine:
    """Raises `UserError` for what is no URL of PostgreSQL, or where its driver is not installed."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UserError(
            f"journal: {url!r} is no URL", hint="journal: postgresql://user@host/name"
        ) from None
    if parsed.get_backend_name() != "postgresql":
        raise UserError(f"journal: {parsed.get_backend_name()} is not supported: postgresql is")
    try:
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True, hide_parameters=True
        )
    except ImportError:
        hint = "pip install 'agentkit[postgres]'"
        raise UserError("a journal on PostgreSQL needs a package more", hint=hint) from None


def _without_password(url: str) -> str:
    return re.sub(r"(//[^:/@]*):[^@]*@", r"\1@", url)


def _configure(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
    del record
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
