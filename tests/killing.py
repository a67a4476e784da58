"""Processes that are killed at a write to the journal, as often as there are writes.

The process that starts them has imported all, keeps nothing open and has no threads, so that
children are cheap.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import ConnectionPoolEntry

from agentkit.journal import database
from agentkit.journal.database import Database

LIMIT = 60
"""Seconds that a child may take, on a machine with other things to do."""


class Fuse:
    """Kills the process before or after its n-th transaction."""

    def __init__(self, when: str, count: int) -> None:
        self.when, self.left = when, count

    def light(self) -> None:
        transaction = Database.write

        @contextmanager
        def write(database: Database) -> Iterator[Connection]:
            self.left -= 1
            if self.left == 0 and self.when == "before":
                kill()
            with transaction(database) as connection:
                yield connection
            if self.left == 0 and self.when == "after":
                kill()

        setattr(Database, "write", write)  # noqa: B010  mypy minds the other way


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hurry(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
    """A kill loses nothing that the kernel has: the disk need not be waited for."""
    configure(connection, record)
    connection.execute("PRAGMA synchronous=OFF")


configure = database._configure


def share_statements() -> None:
    """Statements that this process has compiled are those of its children."""
    compiled = list[Any]()

    def engine(*about: Any, **more: Any) -> Engine:
        made = create_engine(*about, **more)
        compiled.append(made._compiled_cache)
        made._compiled_cache = compiled[0]
        return made

    setattr(database, "create_engine", engine)  # noqa: B010  mypy minds the other way


class Failure(Exception):
    """What a kill has led to, in a sentence."""


def child(work: Callable[[], None], what: str, said: Path) -> bool:
    """Whether it came through; False: it was killed as it should be.

    `said` takes the traceback of one that failed.
    """
    sys.stdout.flush()
    number = os.fork()
    if number == 0:
        signal.alarm(LIMIT)
        try:
            work()
            os._exit(0)
        except BaseException:
            said.write_text(traceback.format_exc())
            os._exit(1)
    _, status = os.waitpid(number, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    if os.WIFSIGNALED(status):
        raise Failure(f"{what}: it hangs, {signal.Signals(os.WTERMSIG(status)).name}")
    if os.WEXITSTATUS(status):
        raise Failure(f"{what}: {said.read_text()[-1500:]}")
    return True
