"""What notes of different days say about a question, in the order of time: the newest holds.

A model that has read several takes one that fits the words of the question; of a few lines by
themselves, the oldest first, it takes the last.
"""

from __future__ import annotations

from collections.abc import Iterable

from agentkit.agent.shown import placed
from agentkit.toolbox.telling import DATED, Telling

MOST, WIDEST = 8, 200
"""Lines, and characters of a line."""


def in_time(question: str, seen: Iterable[str]) -> list[str]:
    """The lines of dated files that have the most telling words of a question, the oldest first,
    with their days; none where they are all of one day.
    """
    telling = Telling(question)
    dated = [
        (date[0], len(telling.words_of(line)), line[:WIDEST])
        for text in seen
        for file, line in map(placed, text.splitlines())
        if line and (date := DATED.search(file))
    ]
    most = max((words for _, words, _ in dated), default=0)
    told = sorted({(date, line) for date, words, line in dated if words and words == most})[-MOST:]
    several = len({date for date, _ in told}) > 1
    return [f"{date}: {line}" for date, line in told] if several else []
