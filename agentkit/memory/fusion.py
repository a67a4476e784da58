"""Two rankings become one.

Reciprocal rank fusion: Cormack, Clarke, Büttcher, "Reciprocal rank fusion outperforms Condorcet
and individual rank learning methods", SIGIR 2009.  It needs no scores, which for words and for
meaning could not be compared, and 60 is the constant of the paper.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

CONSTANT = 60

T = TypeVar("T", bound=Hashable)


def fused(rankings: Iterable[Sequence[T]]) -> list[T]:
    """All that is in any of the rankings, the best first; of equals, the one that came first."""
    points: dict[T, float] = {}
    for ranking in rankings:
        for rank, one in enumerate(ranking, start=1):
            points[one] = points.get(one, 0.0) + 1 / (CONSTANT + rank)
    return sorted(points, key=lambda one: -points[one])
