"""The journal's database: how it is opened, and what its faults mean to a person.

SQLite in a file is the rule; a database of PostgreSQL, named by its URL, does the same.  What is
said to either is SQL that both understand, with `:name` for a value: to import, build and compile
anything more takes longer than a short run does.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from agentkit.errors import MachineError
from agentkit.journal.file import DatabaseFault, File

FORM = 5
"""How many migrations there are: a database of that form is used as it is."""

AWAY_SECONDS = 60.0
"""How long a server that does not answer, or a file that another process holds, is waited for."""

AGAIN = 0.5
"""Seconds between two tries."""

_CHECK = "check that the disk has room and the folder can be written"


class Rows(Protocol):
    """What a statement gave back; the columns of a row are its attributes."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""

    def __iter__(self) -> Iterator[Any]:
        """Row by row."""

    def fetchone(self) -> Any:
        """The next row, or None."""

    def fetchall(self) -> list[Any]:
        """All that are left."""


class Connection(Protocol):
    """A transaction."""

    def execute(self, statement: str, values: Mapping[str, Any] = ..., /) -> Rows:
        """Values that the statement does not name are left out."""


class Store(Protocol):
    """Where a database is: a file, or a server."""

    def read(self) -> Any:
        """A context in which a connection looks."""

    def write(self, *, lasting: bool, alone: bool) -> Any:
        """A context that is a transaction; see `Database.write`."""

    def migrate(self) -> None:
        """Bring it to the newest form."""

    def vacuum(self) -> None:
        """Give room that is free back to the disk."""

    def close(self) -> None:
        """Close all connections."""


class Away(MachineError):
    """A server does not answer, or another process holds the file; in a moment it may be over."""


class Database:
    """What a transaction wrote has reached the disk when it ends.

    Thread-safe; several processes may use one.  Everything here raises `MachineError` where it
    cannot be used, with the way out.
    """

    def __init__(self, place: Path | str) -> None:
        self.name = str(place) if isinstance(place, Path) else _without_password(place)
        self._path = place if isinstance(place, Path) else None
        self._store: Store = File(place) if isinstance(place, Path) else _server(place)
        try:
            with self._explained():
                if self._path is not None:
                    self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                if self._form() != FORM:
                    self._store.migrate()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections."""
        self._store.close()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to look with."""
        with self._explained(), self._store.read() as connection:
            yield connection

    @contextmanager
    def write(self, *, lasting: bool = True, alone: bool = False) -> Iterator[Connection]:
        """A transaction: all of it, or nothing.  `alone`: nobody else writes until it ends.

        One that is not `lasting` survives the end of this process, but not a power cut before the
        next one that is: it says what can be found out again, such as that something begins.
        """
        with self._explained(), self._store.write(lasting=lasting, alone=alone) as connection:
            yield connection

    def vacuum(self) -> None:
        """Give room that is free in the file back to the disk."""
        with self._explained():
            self._store.vacuum()

    def insist(self, write: Callable[[], None]) -> None:
        """Do a transaction, again and again while the database is away.

        A server is being restarted, or another process gives the room in the file back.  It may be
        done twice, if the answer to its end was lost: it has to bear that.
        """
        until = time.monotonic() + AWAY_SECONDS
        while True:
            try:
                return write()
            except Away:
                if time.monotonic() > until:
                    raise
                time.sleep(AGAIN)

    def _form(self) -> int:
        """The number of the last migration that was done; 0 where nobody can say."""
        try:
            with self._store.read() as connection:
                return int(connection.execute("SELECT max(number) FROM migrations").fetchone()[0])
        except (DatabaseFault, TypeError):
            return 0

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """The errors of a database as ours, with its name and the way out."""
        try:
            yield
        except DatabaseFault as fault:
            kind = Away if fault.away else MachineError
            hint = self._hint(str(fault))
            raise kind(f"the journal {self.name}: {fault}", hint=hint) from None
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
        if "no such table" in cause:
            return "another file is in its place: start again what uses it, the service too"
        if "locked" in cause:
            return "another agentkit holds it for long; try again when that one is done"
        return _CHECK


def one_of(column: str, values: Iterable[str]) -> tuple[str, dict[str, str]]:
    """The condition that a column has one of some values, and the values by their names in it."""
    named = {f"{column}_{number}": value for number, value in enumerate(values)}
    return f"{column} IN ({', '.join(f':{name}' for name in named)})", named


def beginning(text: str) -> str:
    """The pattern of texts that begin so, for `LIKE :pattern ESCAPE '/'`."""
    return re.sub(r"([%_/])", r"/\1", text) + "%"


def _server(url: str) -> Store:
    from agentkit.journal.server import Server

    return Server(url)


def _without_password(url: str) -> str:
    return re.sub(r"(//[^:/@]*):[^@]*@", r"\1@", url)
