"""What a result states that nothing in the run has shown: figures, dates, addresses, quotations.

A small model fills gaps with likely numbers.  Whether a number stands in what the tools gave is no
question for a model: it is looked up here.  What a model can count at a glance is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from agentkit.agent.shown import placed

_ADDRESS = re.compile(r"https?://[^\s<>\"')\]]*[^\s<>\"')\].,;:!?]|[\w.+-]+@[\w-]+\.[\w.-]*\w")
_NUMBER = re.compile(r"(?<![\w.])\d[\d.,:/-]*\d|(?<![\w.])\d")
_PARTED = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:\.\d{3})+(?:,\d+)?")
"""A number with thousands in groups, in one way or the other."""
_QUOTE = re.compile(r"[\"“]([^\"“”]{12,})[\"”]")

_FRACTION = re.compile(r"(?<![\w.])\d+\.\d{2,}\b")
_NAME = re.compile(r"\b[A-Z]\w+(?: [A-Z]\w+)+")
"""Two words with capitals: somebody's name, more often than not."""

SMALL = 10
"""Whole numbers below are no claims."""

CLAIMS, LINES, WIDEST = 3, 2, 200
"""Claims whose lines are shown, lines of each, and characters of a line."""

DECIMALS = 6
"""No number with fewer was meant to have more than nine."""

NOTHING = re.compile(
    r"\b(not (?:been )?(?:found|given|stated|mentioned|specified|available|shown|known|contain)"
    r"|(?:could|can|did|does|do|was|were|is|are)(?:n't| not)\b|cannot|no (?:such|information|data"
    r"|mention|file|results?|match(?:es)?)|nothing|unknown|unable|none)\b",
    re.IGNORECASE,
)


_BINARY = re.compile(r"(?<![\w.])\d+\.\d{9,}\b")
"""A number as a program prints it that has computed with binary fractions."""


_CENTS = re.compile(
    r"(?P<before>(?:[€$£]|\b(?:EUR|USD|GBP|CHF))\s?)?(?<![\w.])(?P<number>\d+\.\d{5,})\b"
    r"(?P<after>\s?(?:[€$£]|(?:EUR|USD|GBP|CHF|euros?|dollars?|pounds?|francs?)\b))?",
)
"""A sum of money as it was computed: a rate of exchange has four decimals at most."""


def as_meant(result: str) -> str:
    """A text in which 1996.7099999999996 is 1996.71; what is a long fraction stays one, unless it
    is money: from one of its units on, there are no parts of a cent.
    """

    def meant(number: re.Match[str]) -> str:
        short = f"{float(number[0]):.10g}"
        _, _, decimals = short.partition(".")
        return short if len(decimals) <= DECIMALS and "e" not in short else number[0]

    def paid(money: re.Match[str]) -> str:
        before, number, after = (part or "" for part in money.groups())
        if not (before or after) or float(number) < 1:
            return money[0]
        return f"{before}{float(number):.2f}{after}"

    return _CENTS.sub(paid, _BINARY.sub(meant, result))


def stated(result: str) -> list[str]:
    """The claims of a text that can be looked up, in order, each once."""
    found = _ADDRESS.findall(result)
    rest = _ADDRESS.sub(" ", result)
    found += _QUOTE.findall(rest)
    found += [number for number in _NUMBER.findall(rest) if not _small(number)]
    return list(dict.fromkeys(found))


def named(result: str) -> list[str]:
    """The first claims of a text, and names of people."""
    return [*stated(result)[:CLAIMS], *_NAME.findall(result)[:CLAIMS]]


def shows(text: str, claim: str) -> bool:
    """Whether a claim stands in a text, however it is written there."""
    if _NUMBER.fullmatch(claim):
        return bool(_values(claim) & _numbers(text)) or _rounded(claim, text)
    return f" {_plain(claim)} " in f" {_plain(text)} "


def unshown(result: str, seen: Iterable[str]) -> list[str]:
    """The claims of a result that stand in none of some texts."""
    text = "\n".join(seen)
    return [claim for claim in stated(result) if not shows(text, claim)]


def lines(result: str, seen: Iterable[str]) -> list[str]:
    """The lines in which a result's claims and names stand, in short: a few of each."""
    there = [line.strip() for text in seen for line in text.splitlines() if line.strip()]
    found = [
        ": ".join(filter(None, placed(line)))[:WIDEST]
        for claim in named(result)
        for line in [line for line in there if shows(line, claim)][:LINES]
    ]
    return list(dict.fromkeys(found))


def admits_nothing(result: str) -> bool:
    """Whether a result says that something was not found, or could not be done."""
    return bool(NOTHING.search(result))


def _plain(text: str) -> str:
    return re.sub(r"\W+", " ", text.lower()).strip()


def _small(number: str) -> bool:
    return number.isdigit() and int(number) < SMALL


def _rounded(claim: str, text: str) -> bool:
    """Whether a number is what one gets who rounds a longer one."""
    _, _, decimals = claim.partition(".")
    return decimals.isdigit() and any(
        f"{float(number):.{len(decimals)}f}" == claim
        for number in _FRACTION.findall(text)
        if len(number.partition(".")[2]) > len(decimals)
    )


def _numbers(text: str) -> set[str]:
    """The values of all numbers; what is written without a gap (a row, a date) is many."""
    values = set[str]()
    for number in _NUMBER.findall(text):
        values |= _values(number)
        if not _PARTED.fullmatch(number):
            for field in number.split(","):
                dots = "." if field.count(".") > 1 else ""
                for part in (field, *re.split(rf"[:/{dots}-]", field)):
                    values |= _values(part)
    return values


def _values(number: str) -> set[str]:
    """A number in the ways in which it may be written elsewhere: 1,204.50 is 1204.5."""
    values = {number}
    for thousands, decimal in (",.", ".,"):
        point = re.escape(decimal)
        grouped = rf"\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+(?:{point}\d+)?"
        if re.fullmatch(rf"{grouped}|\d+(?:{point}\d+)?", number):
            bare = number.replace(thousands, "").replace(decimal, ".")
            values.add(f"{float(bare):.10g}")
    parts = re.split(r"[./:-]", number)
    if len(parts) >= 3 and all(part.isdigit() for part in parts):
        values.add("-".join(sorted(str(int(part)) for part in parts)))  # a date in another order
    return values
