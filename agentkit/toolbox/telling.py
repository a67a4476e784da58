"""The lines that have the most telling words of a question, in texts that are read one by one.

A word is worth more the fewer lines have it (inverse document frequency); of a longer word the
beginning counts, so that `booked` also finds `booking`.  What a text is called counts for each of
its lines.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

BEST, AROUND = 6, 3
"""Lines that are found, and lines of their paragraph before and after each."""
TELLING = 0.4
"""What a line has to be worth, beside the best one."""
CANDIDATES = 4000
"""Lines that are kept in mind."""
LONGEST = 20_000
"""Characters of a line that are looked at."""
COMMON = frozenset(
    """about after again all also and any are because been before being between both but can could
    did does doing down each few first for from further get give had has have having her here him
    his how into its itself just let may more most much must nor not now off once one only other
    our out over own person same she should some such tell than that the their them then there
    these they this those through too under until was were what when where which while who whom
    whose why will with would you your according answer file files find folder list look many name
    note notes please say says somewhere text write one two three four five six seven eight nine ten
    aber als auch auf aus bei bis das dass dem den der des die diese dieser doch ein eine einem
    einen einer eines hat haben ich ihr ihre ist kann man mit nach nicht noch nur oder sein sich sie
    sind und uns vom von vor war was wenn wer wie wird wir wo zum zur""".split()
)
"""Words that tell nothing about what is looked for."""

DATED = re.compile(r"\b[12]\d{3}-\d\d(?:-\d\d)?\b|\b[12]\d{3}_\d\d(?:_\d\d)?\b")
"""The date in the name of a note or a record."""

Line = tuple[int, str]
"""A line with its number."""
Near = Callable[[Sequence[Line], int], list[Line]]
"""What is shown with a line: of the lines of a text that are not empty, the one at an index."""


def around(written: Sequence[Line], at: int) -> list[Line]:
    """A line with those of its paragraph, and the line above that, which may be its heading."""
    first = last = at
    while first > max(0, at - AROUND) and written[first - 1][0] == written[first][0] - 1:
        first -= 1
    while last < min(len(written) - 1, at + AROUND) and (
        written[last + 1][0] == written[last][0] + 1
    ):
        last += 1
    heading = written[max(0, first - 1) : first] if first > at - AROUND else []
    below = written[last + 1 : last + 1 + AROUND] if first == last else []
    return [*heading, *written[first : last + 1], *below]


class Telling:
    """Reads texts, and tells their best lines."""

    def __init__(self, question: str, *, near: Near = around) -> None:
        words = dict.fromkeys(re.findall(r"\w{3,}|\d{2}", question.lower()))
        stems = {_stem(word): word for word in words if word not in COMMON}
        self._words = {  # of `invoice` and `invoices`, one
            stem: word
            for stem, word in stems.items()
            if not any(stem != other and stem.startswith(other) for other in stems)
        }
        self.several = len(question.split()) > 1 and self.words != []
        self._near = near
        self._stems = re.compile(r"\b(?:" + "|".join(map(re.escape, self._words or ["$^"])) + ")")
        self._lines = 0
        self._with: Counter[str] = Counter()
        self._found: list[tuple[frozenset[str], str, list[Line]]] = []

    def read(self, name: str, lines: Iterable[str], title: str = "") -> None:
        """Look at a text; `title` is what it is called, where its name does not say it."""
        written = [(at, line) for at, line in enumerate(lines, start=1) if line.strip()]
        self._lines += len(written)
        of_all = self.words_of(title or name)
        for at, (_, line) in enumerate(written):
            stems = of_all | self.words_of(line)
            if stems:
                self._with.update(stems)
                self._found.append((stems, name, self._near(written, at)))
        if len(self._found) > CANDIDATES:
            self._found.sort(key=lambda found: -len(found[0]))
            del self._found[CANDIDATES // 2 :]

    def words_of(self, line: str) -> frozenset[str]:
        """The telling words in a line, by their beginnings."""
        return frozenset(self._stems.findall(line[:LONGEST].lower()))

    def part_of(self, line: str, widest: int) -> str:
        """As much of a line as can be shown, with the most telling of its words."""
        if len(line) <= widest:
            return line
        found = self._stems.finditer(line[:LONGEST].lower())
        first = min(found, key=lambda word: self._with[word[0]], default=None)
        at = max(0, first.start() - widest // 4) if first else 0
        return "…" * (at > 0) + line[at : at + widest] + "…" * (at + widest < len(line))

    @property
    def words(self) -> list[str]:
        """The telling words of the question."""
        return list(self._words.values())

    @property
    def nowhere(self) -> list[str]:
        """The words that no line has."""
        return [word for stem, word in self._words.items() if not self._with[stem]]

    def best(self, most: int = BEST) -> dict[str, list[Line]]:
        """By the names of their texts: the one with the best line first, its lines in order.

        Of those that have a date in their name the newest is last: what a model has read last holds
        for it, too.
        """
        worth = {stem: math.log(1 + self._lines / count) for stem, count in self._with.items()}
        scored = [(sum(map(worth.__getitem__, found[0])), found) for found in self._found]
        scored.sort(key=lambda pair: -pair[0])
        shown: dict[str, dict[int, str]] = {}
        for score, (_, name, near) in scored[:most]:
            if score >= TELLING * scored[0][0]:
                shown.setdefault(name, {}).update(near)
        dated = iter(sorted(filter(DATED.search, shown), key=_date))
        names = [next(dated) if DATED.search(name) else name for name in shown]
        return {name: sorted(shown[name].items()) for name in names}


def _date(name: str) -> str:
    found = DATED.search(name)
    return found[0] if found else ""


def _stem(word: str) -> str:
    return word if word.isdigit() else word[: max(4, len(word) - 2)]
