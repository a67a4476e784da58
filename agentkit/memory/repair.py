"""A damaged collection: what can still be read is saved, and the damaged file is put beside.

The words and the index of vectors are made anew in any case; they are only made from the rest.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from agentkit.cancel import CancelToken
from agentkit.errors import MachineError
from agentkit.memory import ledger, spaces, words
from agentkit.memory.database import CollectionDamaged, Database
from agentkit.memory.reembed import fill
from agentkit.memory.spaces import Space
from agentkit.memory.store import Collection
from agentkit.ports import Progress, no_progress

TABLES = ("documents", "spaces", "entries", "vectors")
"""What is saved, row by row; the rest is made from it."""

GUESS = 100_000
"""Rows that are tried where the file does not say any more how many there were."""

UNIT = 1e-3
"""So far from one the length of a vector may be."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What came of it: entries that are there now, and where the damaged file is, if it was."""

    entries: int
    damaged: Path | None = None


def repair(
    collection: Collection,
    *,
    progress: Progress = no_progress,
    cancel: CancelToken | None = None,
) -> Repaired:
    """Make a collection whole.  Nobody else may use it meanwhile.

    Raises `MachineError` where nothing at all can be read.
    """
    if not collection.exists:
        return Repaired(0)
    damaged = None if _whole(collection.database) else _salvage(collection)
    with collection.database.write() as connection:
        ledger.index_words(connection)
        entries = ledger.count(connection)
        space = spaces.current(connection)
    if entries and damaged:
        space = _with_all_vectors(collection, entries, progress, cancel)
    if space:
        collection.indexing.renew(space.id, cancel)
        collection.tend(progress=progress, cancel=cancel)
    return Repaired(entries, damaged)


def _with_all_vectors(
    collection: Collection, entries: int, progress: Progress, cancel: CancelToken | None
) -> Space:
    """Make the vectors that were lost."""
    dimensions = collection.embedding.embedder.dimensions
    with collection.database.write() as connection:
        space = collection.writable(connection, dimensions)
    done = 0
    while count := fill(collection, space, cancel):
        done += count
        progress(done, entries, "entries")
    return space


def _whole(database: Database) -> bool:
    try:
        with database.read() as connection:
            return bool(connection.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok")
    except CollectionDamaged:
        return False


def _salvage(collection: Collection) -> Path:
    """Copy what can be read into a new file, and exchange the files."""
    old = collection.database.path
    collection.close()
    fresh = Database(old.with_name("salvaged.sqlite"), collection.name)
    for leftover in old.parent.glob("salvaged.sqlite*"):
        leftover.unlink()
    with closing(sqlite3.connect(old, isolation_level=None)) as source, fresh.write() as target:
        source.execute("PRAGMA writable_schema=ON")  # opens a file that is shorter than it says
        for table in TABLES:
            columns = [row["name"] for row in target.execute(f"PRAGMA table_info({table})")]
            marks = ", ".join("?" * len(columns))
            target.executemany(
                f"INSERT OR IGNORE INTO {table} VALUES ({marks})",  # noqa: S608
                _rows(source, table, ", ".join(columns)),
            )
        _tidy(target)
        if not ledger.count(target):
            raise MachineError(
                f"nothing can be read from {old}",
                hint=f"begin anew: mv {old.parent} {old.parent}.damaged",
            )
    fresh.close()
    aside = old.with_name(f"damaged-{datetime.now(UTC):%Y%m%d-%H%M%S}.sqlite")
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            old.with_name(old.name + suffix).rename(aside.with_name(aside.name + suffix))
    old.rename(aside)
    fresh.path.rename(old)
    return aside


def _rows(source: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[object, ...]]:
    """The rows of a table, past those that cannot be read."""
    last, end = 0, _end(source, table)
    query = f"SELECT id, {columns} FROM {table} WHERE id > ? ORDER BY id LIMIT 1"  # noqa: S608
    while last < end:
        try:
            row = source.execute(query, (last,)).fetchone()
        except sqlite3.DatabaseError:
            last += 1
            continue
        if row is None:
            return
        if row[0] > last and _sound(table, row[1:]):
            yield row[1:]
        last = max(last + 1, row[0])


def _sound(table: str, row: tuple[Any, ...]) -> bool:
    """Whether a row is what was written: a damaged page may say anything."""
    try:
        if table == "vectors":
            length = float(np.linalg.norm(np.frombuffer(row[-1], "<f4")))
            return abs(length - 1) < UNIT  # not so where a part of it is gone
        if table == "entries":
            _, _, text, digest, _, time, metadata, *_ = row
            datetime.fromisoformat(time)
            return words.digest(text) == digest and isinstance(json.loads(metadata), dict)
    except (ValueError, TypeError, AttributeError):
        return False
    return all(value is not None for value in row)


def _end(source: sqlite3.Connection, table: str) -> int:
    """The highest number that was ever given in a table."""
    try:
        row = source.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    except sqlite3.DatabaseError as error:
        return 0 if "not a database" in str(error) else GUESS
    return int(row[0]) if row else 0


def _tidy(target: sqlite3.Connection) -> None:
    """Leave nothing that belongs to something that was lost."""
    target.execute("DELETE FROM vectors WHERE entry NOT IN (SELECT id FROM entries)")
    target.execute(
        "DELETE FROM vectors WHERE length(vector) != "
        "4 * (SELECT dimensions FROM spaces WHERE spaces.id = space)"
    )
    target.execute(
        "UPDATE entries SET document = NULL WHERE document NOT IN (SELECT id FROM documents)"
    )
    target.execute(
        "INSERT OR IGNORE INTO metadata SELECT item.key, item.value, entries.id "
        "FROM entries, json_each(entries.metadata) AS item"
    )
    # A document that lost a passage is to be read again.
    target.execute("UPDATE documents SET digest = '', mtime_ns = -1")
