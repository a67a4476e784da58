"""The vectors of entries: each belongs to the space of one embedder, and spaces are never mixed.

Everything here works inside a transaction of the caller.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from sqlite3 import Connection, Row
from typing import TYPE_CHECKING

import numpy as np

from agentkit.memory.filters import beginning, holding
from agentkit.ports import Condition

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

Hits = list[tuple[int, float]]
"""Numbers of vectors with their similarity, from -1 to 1, the nearest first."""

AT_ONCE = 100
"""Vectors that are compared while the processor's cache has them: half the time of all at once."""


@dataclass(frozen=True, slots=True)
class Space:
    """What one embedder makes of texts, and how far the index of it is.

    See the table `spaces` in `database`.
    """

    id: int
    model: str
    digest: str
    dimensions: int
    edition: int
    indexed: int
    revision: int
    writing: bool
    files: dict[str, int]


def current(connection: Connection) -> Space | None:
    """The space that is searched; None while nothing was remembered."""
    row = connection.execute("SELECT * FROM spaces WHERE current").fetchone()
    return _space(row) if row else None


def coming(connection: Connection, digest: str) -> Space | None:
    """The space of an embedder that is being filled beside the current one."""
    row = connection.execute(
        "SELECT * FROM spaces WHERE NOT current AND digest = ?", (digest,)
    ).fetchone()
    return _space(row) if row else None


def by_id(connection: Connection, space: int) -> Space | None:
    """One space, as it is now."""
    row = connection.execute("SELECT * FROM spaces WHERE id = ?", (space,)).fetchone()
    return _space(row) if row else None


def create(
    connection: Connection, model: str, digest: str, dimensions: int, *, is_current: bool
) -> Space:
    """A space without vectors."""
    made = connection.execute(
        "INSERT INTO spaces (model, digest, dimensions, current) VALUES (?, ?, ?, ?)",
        (model, digest, dimensions, is_current),
    )
    assert made.lastrowid is not None
    space = by_id(connection, made.lastrowid)
    assert space is not None
    return space


def drop_others(connection: Connection, space: int) -> None:
    """Delete all spaces but one, which becomes the current one."""
    connection.execute("DELETE FROM vectors WHERE space != ?", (space,))
    connection.execute("DELETE FROM buried WHERE space != ?", (space,))
    connection.execute("DELETE FROM spaces WHERE id != ?", (space,))
    connection.execute("UPDATE spaces SET current = 1 WHERE id = ?", (space,))


def put(connection: Connection, space: int, entry: int, vectors: Array) -> None:
    """The vectors of an entry, a row for each part of its text."""
    connection.executemany(
        "INSERT INTO vectors (space, entry, vector) VALUES (?, ?, ?)",
        [(space, entry, vector.astype("<f4").tobytes()) for vector in vectors],
    )


def of_entries(connection: Connection, space: int, entries: Sequence[int]) -> dict[int, Array]:
    """The vectors of entries."""
    found: dict[int, list[bytes]] = {}
    for row in connection.execute(
        "SELECT entry, vector FROM vectors WHERE space = ? "
        "AND entry IN (SELECT value FROM json_each(?)) ORDER BY id",
        (space, json.dumps(list(entries))),
    ):
        found.setdefault(row["entry"], []).append(row["vector"])
    return {entry: np.stack([_array(one) for one in parts]) for entry, parts in found.items()}


def entries_of(connection: Connection, vectors: Sequence[int]) -> dict[int, int]:
    """Which entry each vector belongs to, as far as they are still there, in their order."""
    found = dict(
        map(
            tuple,
            connection.execute(
                "SELECT id, entry FROM vectors WHERE id IN (SELECT value FROM json_each(?))",
                (json.dumps(list(vectors)),),
            ),
        )
    )
    return {vector: found[vector] for vector in vectors if vector in found}


def last(connection: Connection) -> int:
    """The newest vector."""
    return int(connection.execute("SELECT coalesce(max(id), 0) FROM vectors").fetchone()[0])


def beyond(connection: Connection, space: int, after: int, limit: int) -> int:
    """How many vectors are newer than one, as far as that matters."""
    counted = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM vectors WHERE id > ? AND space = ? LIMIT ?)",
        (after, space, limit),
    )
    return int(counted.fetchone()[0])


def allowed(connection: Connection, space: int, where: Sequence[Condition]) -> list[int]:
    """The vectors of the entries of which all conditions hold."""
    source, condition, parameters = beginning(connection, where, "vectors", "vectors.entry")
    found = connection.execute(
        f"SELECT vectors.id FROM {source} WHERE {condition} AND vectors.space = ?",  # noqa: S608
        [*parameters, space],
    )
    return [row[0] for row in found]


def fitting(connection: Connection, vectors: Sequence[int], where: Sequence[Condition]) -> set[int]:
    """Those of some vectors that are still there, and of which the entries fit all conditions."""
    condition, parameters = holding(where, "vectors.entry")
    found = connection.execute(
        f"SELECT id FROM vectors WHERE id IN (SELECT value FROM json_each(?)) AND {condition}",  # noqa: S608
        [json.dumps(list(vectors)), *parameters],
    )
    return {row[0] for row in found}


def nearest(
    connection: Connection,
    space: int,
    vector: Array,
    limit: int | None = None,
    *,
    after: int = 0,
    among: Sequence[int] | None = None,
) -> Hits:
    """Compare with every vector that is newer than one, or with some: 3 ms for a thousand."""
    if among is None:
        rows = connection.execute(
            "SELECT id, vector FROM vectors WHERE id > ? AND space = ?", (after, space)
        )
    else:
        rows = connection.execute(
            "SELECT id, vector FROM vectors WHERE id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(among)),),
        )
    numbers: list[int] = []
    products: list[Array] = []
    while some := rows.fetchmany(AT_ONCE):
        numbers += [row["id"] for row in some]
        matrix = _array(b"".join([row["vector"] for row in some])).reshape(len(some), -1)
        products.append(matrix @ vector)
    if not numbers:
        return []
    similarities = np.concatenate(products)
    best = np.argsort(-similarities, kind="stable")[:limit]
    return [(numbers[at], float(similarities[at])) for at in best]


def _array(data: bytes) -> Array:
    return np.frombuffer(data, "<f4").astype(np.float32, copy=False)


def _space(row: Row) -> Space:
    values = dict(row)
    del values["current"]
    return Space(
        **{**values, "writing": bool(values["writing"]), "files": json.loads(values["files"])}
    )
