"""All vectors anew, by another embedder, while the old ones go on being used.

The new space is filled beside the current one, batch by batch, and takes its place in one
transaction when nothing is missing in it, its index included.  Whatever stops this, the old space
is as it was, and the next start goes on from there.
"""

from __future__ import annotations

from agentkit.cancel import CancelToken
from agentkit.memory import ledger, spaces
from agentkit.memory.passages import BATCH, vectors
from agentkit.memory.spaces import Space
from agentkit.memory.store import Collection
from agentkit.ports import Progress, no_progress


def reembed(
    collection: Collection,
    *,
    progress: Progress = no_progress,
    cancel: CancelToken | None = None,
) -> int:
    """Make the vectors of a collection its embedder's own; how many entries had to be read.

    Raises `Cancelled` between two batches.
    """
    if not collection.exists:
        return 0
    digest = collection.embedding.digest
    with collection.database.read() as connection:
        current = spaces.current(connection)
        total = ledger.count(connection)
    if current is None or current.digest == digest:
        return 0
    space = _coming(collection)
    done = 0
    while True:
        count = fill(collection, space, cancel)
        done += count
        progress(done, max(done, total), "entries")
        if count == 0 and _swap(collection, space, cancel):
            return done


def fill(collection: Collection, space: Space, cancel: CancelToken | None = None) -> int:
    """The vectors of some entries that have none in a space; how many, 0 when none is missing."""
    if cancel:
        cancel.check()
    with collection.database.read() as connection:
        rows = connection.execute(
            "SELECT id FROM entries WHERE id NOT IN (SELECT entry FROM vectors WHERE space = ?) "
            "ORDER BY id LIMIT ?",
            (space.id, BATCH),
        ).fetchall()
        entries = ledger.load(connection, [row["id"] for row in rows])
    texts = [entry.text for entry in entries.values()]
    made = vectors(collection.embedding.embedder, texts, cancel)
    with collection.database.write() as connection:
        there = ledger.load(connection, entries)  # some may have been forgotten meanwhile
        have = spaces.of_entries(connection, space.id, list(entries))
        for row, parts in zip(entries, made, strict=True):
            if row in there and row not in have:
                spaces.put(connection, space.id, row, parts)
    return len(entries)


def _coming(collection: Collection) -> Space:
    """The space that is to be: the one that an earlier start began, or a new one."""
    embedder, digest = collection.embedding.embedder, collection.embedding.digest
    with collection.database.read() as connection:
        space = spaces.coming(connection, digest)
    if space:
        return space
    dimensions = embedder.dimensions
    with collection.database.write() as connection:
        return spaces.coming(connection, digest) or spaces.create(
            connection, embedder.name, digest, dimensions, is_current=False
        )


def _swap(collection: Collection, space: Space, cancel: CancelToken | None) -> bool:
    """Put the coming space in the place of the current one, unless something came meanwhile."""
    if collection.indexing.due(space):
        collection.indexing.advance(space, cancel=cancel)
    with collection.database.write() as connection:
        missing = connection.execute(
            "SELECT EXISTS (SELECT 1 FROM entries "
            "WHERE id NOT IN (SELECT entry FROM vectors WHERE space = ?))",
            (space.id,),
        ).fetchone()[0]
        current = spaces.current(connection)
        if missing and current and current.id != space.id:
            return False
        spaces.drop_others(connection, space.id)
    collection.indexing.sweep()
    return True
