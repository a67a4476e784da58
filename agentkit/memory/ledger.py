"""Entries in the tables of a collection: put in, taken out, found by conditions and by words.

Everything here works inside a transaction of the caller, so that an entry, its metadata, its words
and its vectors come and go together.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from sqlite3 import Connection, Row

from agentkit.memory import words
from agentkit.memory.filters import holding, matching, stamp
from agentkit.ports import Condition, Scalar

MOST_MATCHES = 4000
"""A search by words ranks no more entries than this: the rarest words come first, and a word that
half of the entries have is not looked for at all.  Ranking takes 2 ms for a thousand."""

MOST_PHRASES = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """Something remembered."""

    id: str
    text: str
    source: str
    time: datetime
    metadata: Mapping[str, Scalar] = field(default_factory=dict)


def new_id() -> str:
    """For one entry; there will be no other with it in any collection."""
    return secrets.token_hex(6)


# -- in and out ----------------------------------------------------------------------------------


def add(
    connection: Connection, entry: Entry, *, document: int | None = None, place: int = 0
) -> int:
    """Put an entry in, and return the number of its row."""
    made = connection.execute(
        "INSERT INTO entries (key, text, digest, source, time, metadata, document, place) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            entry.id,
            entry.text,
            words.digest(entry.text),
            entry.source,
            stamp(entry.time),
            json.dumps(dict(entry.metadata), ensure_ascii=False),
            document,
            place,
        ),
    )
    row = made.lastrowid
    assert row is not None
    connection.executemany(
        "INSERT INTO metadata VALUES (?, ?, ?)",
        [(key, value, row) for key, value in entry.metadata.items()],
    )
    connection.execute(
        "INSERT INTO words (rowid, text) VALUES (?, ?)", (row, words.spaced(entry.text))
    )
    return row


def remove(connection: Connection, rows: Sequence[int]) -> None:
    """Take entries out, with all that belongs to them."""
    chosen = (json.dumps(list(rows)),)
    texts = connection.execute(
        "SELECT id, text FROM entries WHERE id IN (SELECT value FROM json_each(?))", chosen
    ).fetchall()
    connection.executemany(
        "INSERT INTO words (words, rowid, text) VALUES ('delete', ?, ?)",
        [(row["id"], words.spaced(row["text"])) for row in texts],
    )
    connection.execute(
        "INSERT INTO buried SELECT vectors.id, space FROM vectors JOIN spaces ON spaces.id = space "
        "WHERE vectors.id <= indexed AND entry IN (SELECT value FROM json_each(?))",
        chosen,
    )
    connection.execute(
        "DELETE FROM vectors WHERE entry IN (SELECT value FROM json_each(?))", chosen
    )
    connection.execute(
        "DELETE FROM metadata WHERE entry IN (SELECT value FROM json_each(?))", chosen
    )
    connection.execute("DELETE FROM entries WHERE id IN (SELECT value FROM json_each(?))", chosen)


def drop_empty_documents(connection: Connection) -> None:
    """Documents of which nothing is left may come in again."""
    connection.execute(
        "DELETE FROM documents WHERE id NOT IN "
        "(SELECT document FROM entries WHERE document IS NOT NULL)"
    )


def index_words(connection: Connection) -> None:
    """Make the index of words anew from the texts."""
    connection.execute("INSERT INTO words (words) VALUES ('delete-all')")
    for row in connection.execute("SELECT id, text FROM entries").fetchall():
        connection.execute(
            "INSERT INTO words (rowid, text) VALUES (?, ?)", (row["id"], words.spaced(row["text"]))
        )


# -- found ---------------------------------------------------------------------------------------


def count(connection: Connection, where: Sequence[Condition] = ()) -> int:
    """How many entries there are of which all conditions hold."""
    condition, parameters = matching(where)
    counted = connection.execute(f"SELECT count(*) FROM entries WHERE {condition}", parameters)  # noqa: S608
    return int(counted.fetchone()[0])


def rows(
    connection: Connection, where: Sequence[Condition], *, limit: int = -1, offset: int = 0
) -> list[int]:
    """The entries of which all conditions hold, the newest first."""
    condition, parameters = matching(where)
    found = connection.execute(
        f"SELECT id FROM entries WHERE {condition} ORDER BY time DESC, id DESC LIMIT ? OFFSET ?",  # noqa: S608
        [*parameters, limit, offset],
    )
    return [row["id"] for row in found]


def load(connection: Connection, rows: Iterable[int]) -> dict[int, Entry]:
    """Entries by their rows, in the order asked for; those that are gone are left out."""
    wanted = list(rows)
    found = {
        row["id"]: _entry(row)
        for row in connection.execute(
            "SELECT * FROM entries WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(wanted),),
        )
    }
    return {row: found[row] for row in wanted if row in found}


def same(connection: Connection, text: str) -> Entry | None:
    """The oldest entry with the same text, but for case and spaces."""
    row = connection.execute(
        "SELECT * FROM entries WHERE digest = ? ORDER BY id LIMIT 1", (words.digest(text),)
    ).fetchone()
    return _entry(row) if row else None


def by_words(
    connection: Connection, query: str, where: Sequence[Condition], limit: int
) -> list[int]:
    """The entries that have words of the query, best first by BM25."""
    chosen: list[str] = []
    room = MOST_MATCHES
    phrases = words.phrases(query)[:MOST_PHRASES]
    for matches, phrase in sorted((_matches(connection, one), one) for one in phrases):
        if 0 < matches <= room:
            chosen.append(phrase)
            room -= matches
    if not chosen:
        return []
    condition, parameters = holding(where, "words.rowid")
    found = connection.execute(
        f"SELECT rowid FROM words WHERE words MATCH ? AND {condition} ORDER BY rank LIMIT ?",  # noqa: S608
        [" OR ".join(chosen), *parameters, limit],
    )
    return [row[0] for row in found]


def _matches(connection: Connection, phrase: str) -> int:
    """How many entries have a phrase, as far as that matters."""
    counted = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)",
        (phrase, MOST_MATCHES + 1),
    )
    return int(counted.fetchone()[0])


def _entry(row: Row) -> Entry:
    return Entry(
        id=row["key"],
        text=row["text"],
        source=row["source"],
        time=datetime.fromisoformat(row["time"]).astimezone(UTC),
        metadata=json.loads(row["metadata"]),
    )
