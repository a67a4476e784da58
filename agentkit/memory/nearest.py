"""The vectors nearest to one, in the fewest steps that are sure to find them.

    no filter                   ask the index
    filter fits a few           compare these one by one
    filter fits more            ask the index for the nearest of all: enough of them may fit
    not enough of them do       compare those that fit, or ask the index among them

The index is quick to tell the nearest of all, and slow where it has to leave out many; which fit is
quick to count for one condition, and slow to list.  So the first look is at how many fit the
narrowest condition, and where these are many, nobody asks which they are until the nearest of all
have not been enough.  What is newer than the index is compared one by one in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from sqlite3 import Connection
from typing import TYPE_CHECKING

from agentkit.memory import spaces
from agentkit.memory.database import Database
from agentkit.memory.filters import fewest
from agentkit.memory.indexing import Indexing
from agentkit.memory.spaces import Hits, Space
from agentkit.ports import Condition

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DEEP = 500
"""So many of the nearest are asked for, to find some among them that fit: 11 ms."""

COMPARED = 5000
"""So many that fit are compared one by one: 15 ms, and the index takes longer among them."""


LOOKED_AT = 100
"""So many of them are looked at in one go: a millisecond."""


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
            few = fewest(connection, where, COMPARED + 1) <= COMPARED
        if not few:
            hits = self._with_newer(space, vector, limit, where, DEEP)
            if len(hits) >= limit / 2:
                return hits
        with self._database.read() as connection:
            fitting = spaces.allowed(connection, space.id, where)
            if len(fitting) <= COMPARED:
                return spaces.nearest(connection, space.id, vector, limit, among=fitting)
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
            ranked = sorted(dict(hits).items(), key=lambda hit: -hit[1])
            return _first(connection, ranked, limit, where)

    def _graves(self, limit: int) -> int:
        """How deep to look, so that what is forgotten but still indexed takes nobody's place."""
        with self._database.read() as connection:
            buried = connection.execute("SELECT count(*) FROM buried").fetchone()[0]
        return limit + min(int(buried), self._indexing.few)


def _first(connection: Connection, ranked: Hits, limit: int, where: Sequence[Condition]) -> Hits:
    """The first that are still there and fit; what comes after them is not looked at."""
    found: Hits = []
    for at in range(0, len(ranked), LOOKED_AT):
        some = ranked[at : at + LOOKED_AT]
        there = spaces.fitting(connection, [one for one, _ in some], where)
        found += [hit for hit in some if hit[0] in there]
        if len(found) >= limit:
            break
    return found[:limit]
