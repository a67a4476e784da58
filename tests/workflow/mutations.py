"""Workflow files with a mistake or two in them, as people and programs make them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence

WORDS = (
    "name inputs steps outputs id needs if foreach items as key max_parallel on_error uses with "
    "run bash python files env prompt file text system agent objective approve choices timeout "
    "on_timeout retry max_attempts delay backoff jitter on queue cache ttl output_schema checks "
    "strategy secrets concurrency group limit on_conflict on_failure finally defaults permissions "
    "type default enum workflow:changelog yes no on 0755 1.10 null true -1 30 ${{ }} {{ | > [ ] "
    "{ } & * ! % @ ` ' \" # : - ? , ~"
).split()


def mutants(texts: Sequence[str], count: int, seed: int) -> Iterator[str]:
    """So many, the same for the same seed."""
    chance = random.Random(seed)
    for _ in range(count):
        text = chance.choice(texts)
        for _ in range(chance.randint(1, 3)):
            text = chance.choice(CHANGES)(text, chance)
        yield text


Change = Callable[[str, random.Random], str]


def _lines(change: Callable[[list[str], int, random.Random], None]) -> Change:
    def changed(text: str, chance: random.Random) -> str:
        lines = text.split("\n")
        change(lines, chance.randrange(len(lines)), chance)
        return "\n".join(lines)

    return changed


def _drop(lines: list[str], at: int, chance: random.Random) -> None:
    del lines[at]


def _twice(lines: list[str], at: int, chance: random.Random) -> None:
    lines.insert(at, lines[at])


def _swap(lines: list[str], at: int, chance: random.Random) -> None:
    other = chance.randrange(len(lines))
    lines[at], lines[other] = lines[other], lines[at]


def _indent(lines: list[str], at: int, chance: random.Random) -> None:
    lines[at] = chance.choice([" ", "  ", "\t"]) + lines[at]


def _outdent(lines: list[str], at: int, chance: random.Random) -> None:
    lines[at] = lines[at][chance.randint(1, 3) :]


def _word(text: str, chance: random.Random) -> str:
    """A word becomes another one of the language, or a sign of YAML."""
    words = list(re.finditer(r"[\w.]+|\S", text))
    if not words:
        return text
    word = chance.choice(words)
    return text[: word.start()] + chance.choice(WORDS) + text[word.end() :]


def _letter(text: str, chance: random.Random) -> str:
    """A letter is missing, or one more is there."""
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.choice(["", "x", '"', "'", ":", "\u00e9", "\0"]) + text[at + 1 :]


def _cut(text: str, chance: random.Random) -> str:
    return text[: chance.randrange(len(text) + 1)]


CHANGES: tuple[Change, ...] = (
    _lines(_drop), _lines(_twice), _lines(_swap), _lines(_indent), _lines(_outdent), _word, _word,
    _word, _letter, _letter, _cut,
)  # fmt: skip
