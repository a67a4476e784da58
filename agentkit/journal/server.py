"""A database of PostgreSQL; SQLAlchemy keeps the connections, and mends them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from agentkit.errors import UserError
from agentkit.journal import tables
from agentkit.journal.file import DatabaseFault


class Words:
    """A connection that takes what a file of SQLite takes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Mapping[str, Any] | None = None, /) -> Any:
        """See `database.Connection.execute`."""
        return self._connection.exec_driver_sql(_as_psycopg_writes(statement), dict(values or {}))


class Server:
    """Raises `UserError` for what is no URL of PostgreSQL, or where its driver is not installed."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)

    @contextmanager
    def read(self) -> Iterator[Words]:
        """See `Store.read`."""
        with _faults(), self._engine.connect() as connection:
            yield Words(connection)

    @contextmanager
    def write(self, *, lasting: bool, alone: bool) -> Iterator[Words]:
        """See `Store.write`."""
        with _faults(), self._engine.begin() as connection:
            if not lasting:
                connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            if alone:
                tables.alone(connection)
            yield Words(connection)

    def migrate(self) -> None:
        """See `Store.migrate`."""
        with _faults():
            tables.migrate(self._engine)

    def vacuum(self) -> None:
        """See `Store.vacuum`."""
        with _faults(), self._engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.exec_driver_sql("VACUUM")

    def close(self) -> None:
        """See `Store.close`."""
        self._engine.dispose()


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except DatabaseError as error:
        away = error.connection_invalidated or isinstance(error, OperationalError)
        raise DatabaseFault(str(error.orig), away=away) from None


def _engine(url: str) -> Engine:
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


@lru_cache
def _as_psycopg_writes(statement: str) -> str:
    return re.sub(r":(\w+)", r"%(\1)s", statement.replace("%", "%%"))
