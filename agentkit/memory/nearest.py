"""The vectors nearest to one, in the fewest steps that are sure to find them.

    no filter                   ask the index
    filter fits a few           compare these one by one
    filter fits more            ask the index for the nearest of all: enough of them may fit
    not enough of them do       ask the index for the nearest among those that fit

The index is quick to tell the nearest of all, and slow where it has to leave out many: 500 of all
take 9 ms, 50 among 10,000 of 100,000 take 52 ms.  What is newer than the index is compared one by
one in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentkit.memory import spaces
from agentkit.memory.database import Database
from agentkit.memory.indexing import Indexing
from agentkit.memory.spaces import Hits, Space
from agentkit.ports import Condition

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEEP = 500
"""So many of the nearest are looked at for some that fit."""


class Nearest:
    """Over one collection.  To be called outside of transactions."""

    def __init__(self, database: Database, indexing: Indexing) -> None:
        self._database = database
        self._indexing = indexing

    def find(
        self,
        space: Space,
        vector: NDArray[np.float32],
        limit: int,
        where: Sequence[Condition] = (),
    ) -> Hits:
        """The nearest vectors of the entries of which all conditions hold.

        With conditions it may be half of `limit` only, though more would fit.
        """
        if not where:
            return self._with_newer(space, vector, limit, where, self._graves(limit))
        with self._database.read() as connection:
            fitting = spaces.allowed(connection, space.id, where, self._indexing.few + 1)
            if len(fitting) <= self._indexing.few:
                return spaces.nearest(connection, space.id, vector, limit, among=fitting)
        hits = self._with_newer(space, vector, limit, where, DEEP)
        if len(hits) >= limit / 2:
            return hits
        with self._database.read() as connection:  # what fits is far from what was asked
            fitting = spaces.allowed(connection, space.id, where, -1)
        return self._with_newer(space, vector, limit, where, limit, fitting)

    def _with_newer(
        self,
        space: Space,
        vector: NDArray[np.float32],
        limit: int,
        where: Sequence[Condition],
        depth: int,
        among: Sequence[int] | None = None,
    ) -> Hits:
        """What the index says, and what it does not know yet; of both, what fits."""
        hits, indexed = self._indexing.nearest(space, vector, depth, among)
        with self._database.read() as connection:
            hits += spaces.nearest(connection, space.id, vector, after=indexed)
            there = spaces.fitting(connection, [one for one, _ in hits], where)
        best = {one: similarity for one, similarity in hits if one in there}
        return sorted(best.items(), key=lambda hit: -hit[1])[:limit]

    def _graves(self, limit: int) -> int:
        """How deep to look, so that what is forgotten but still indexed takes nobody's place."""
        with self._database.read() as connection:
            buried = connection.execute("SELECT count(*) FROM buried").fetchone()[0]
        return limit + min(int(buried), self._indexing.few)
