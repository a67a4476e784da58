"""Who gets how many tokens of the next batch.

Whoever is writing comes first: one token each, and those the grammar dictated.  Prompts fill the
rest, but while somebody is writing only by `PIECE` tokens in all, so that no running answer waits
for longer than that.  Among prompts the oldest gets half, and what is left goes to the shortest
first: a short question is not held up by a long document, and the document still gets on.
"""

from __future__ import annotations

from collections.abc import Sequence

PIECE = 128
"""Prompt tokens in a batch while somebody is writing."""

DICTATED = 32
"""Tokens in a batch for one who is writing."""


def share(size: int, writing: Sequence[int], reading: Sequence[int]) -> tuple[list[int], list[int]]:
    """Tokens for each of those who write and of those who read.

    `writing` and `reading` are the numbers of their pending tokens, the oldest first; `size` is
    what fits in a batch.

    >>> share(256, [1, 3], [500, 20])
    ([1, 3], [108, 20])
    >>> share(256, [], [500, 20])
    ([], [236, 20])
    """
    written = []
    left = size
    for pending in writing:
        written.append(min(pending, DICTATED, left))
        left -= written[-1]
    left = min(left, PIECE) if writing else left
    read = [0] * len(reading)
    if reading:
        read[0] = min(reading[0], (left + 1) // 2)
        left -= read[0]
    for place in sorted(range(len(reading)), key=lambda one: reading[one]):
        more = min(reading[place] - read[place], left)
        read[place] += more
        left -= more
    return written, read
