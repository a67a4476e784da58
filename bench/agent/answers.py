"""What an answer in plain words says: a number, a date, a name, or that it is not known.

Strict about what is said and not about how: `EUR 1,204.50`, `1204.5` and `1 204.50` are one number.
An answer that names a lot of numbers or names, so that the right one is bound to be among them,
says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal

MOST_NUMBERS = 12
"""Different numbers in an answer that is about one of them."""
MOST_CHARACTERS = 2000

WORDS = {
    word: Decimal(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen twenty".split()
    )
}
CURRENCIES = re.compile(r"(?i)(?:EUR|USD|GBP|CHF)(?=[\d-])|[€$£]")
NUMBER = re.compile(
    r"(?<!\w)(?<!\d[.,])(?<![A-Za-z]-)(-?)"
    r"(?:(\d{1,3}(?:[, \u00a0\u202f']\d{3})+)(?!\d)(\.\d+)?|(\d+(?:\.\d+)?))"
)
MONTHS = "january february march april may june july august september october november december"
MONTH = "|".join(f"{month[:3]}(?:{month[3:]})?" for month in MONTHS.split())
DATES = (
    re.compile(r"(?P<y>\d{4})[-/](?P<m>\d{1,2})[-/](?P<d>\d{1,2})"),
    re.compile(r"\b(?P<d>\d{1,2})\.\s?(?P<m>\d{1,2})\.(?:\s?(?P<y>\d{4}))?"),
    re.compile(r"\b(?P<d>\d{1,2})/(?P<m>\d{1,2})(?:/(?P<y>\d{4}))?"),
    re.compile(r"\b(?P<m>\d{1,2})/(?P<d>\d{1,2})(?:/(?P<y>\d{4}))?"),
    re.compile(
        rf"(?i)\b(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\.?\s(?:of\s)?(?P<m>{MONTH})\b\.?,?(?:\s(?P<y>\d{{4}}))?"
    ),
    re.compile(
        rf"(?i)\b(?P<m>{MONTH})\.?\s(?P<d>\d{{1,2}})(?:st|nd|rd|th)?\b(?:,?\s(?P<y>\d{{4}}))?"
    ),
)
UNKNOWN = re.compile(
    r"(?i)\b(?:no(?:t|ne|thing|where)?|never|unknown|unable|without|cannot|missing|"
    r"(?:do|does|did|is|are|was|were|has|have|could|can|would)n[o'’]t)\b"
)
"""An answer that says that something is not there has one of these in it."""


def numbers(text: str) -> list[Decimal]:
    """The numbers in a text, also those in words, without those that are part of a name."""
    text = CURRENCIES.sub(" ", text.replace("*", " ").replace("`", " ").replace("−", "-"))
    found = []
    for sign, grouped, decimals, plain in NUMBER.findall(text):
        digits = re.sub(r"\D", "", grouped) + decimals if grouped else plain
        found.append(Decimal(sign + digits))
    return found + [WORDS[word] for word in re.findall(r"[a-z]+", text.lower()) if word in WORDS]


def says_number(
    answer: str, right: float | str, *, within: str = "0", but: Sequence[float | str] = ()
) -> str:
    """What is wrong with an answer that has to give one number; `but` it must not give."""
    if not answer.strip():
        return "no answer"
    found = set(numbers(answer))
    if not any(abs(number - Decimal(str(right))) <= Decimal(within) for number in found):
        return f"it does not say {right}: {_short(answer)}"
    wrong = [one for one in but if Decimal(str(one)) in found]
    if wrong:
        return f"it says {wrong[0]}, too: {_short(answer)}"
    if len(found) > MOST_NUMBERS:
        return f"it names {len(found)} numbers, not one"
    return _too_long(answer)


def dates(text: str) -> Iterator[tuple[int, int, int | None]]:
    """Month, day and year (if it is said) of the dates in a text, read in every way they can be."""
    for pattern in DATES:
        for found in pattern.finditer(text):
            month = found["m"].lower()
            number = int(month) if month.isdigit() else _month(month)
            if 1 <= number <= 12 and 1 <= int(found["d"]) <= 31:
                yield number, int(found["d"]), int(found["y"]) if found["y"] else None


def says_date(answer: str, right: date) -> str:
    """What is wrong with an answer that has to give one date; its year may be left out."""
    if not answer.strip():
        return "no answer"
    found = set(dates(answer))
    if not any(
        one[:2] == (right.month, right.day) and one[2] in (None, right.year) for one in found
    ):
        return f"it does not say {right}: {_short(answer)}"
    if len({one[:2] for one in found}) > 5:
        return "it names many dates, not one"
    return _too_long(answer)


def says(answer: str, *right: str, others: Sequence[str] = ()) -> str:
    """What is wrong with an answer that has to name all of `right`.

    Of `others`, which could be named by mistake, one may stand beside it: "Ann, who followed Tom".
    A way to say it differently is written with a bar: `Lisbon|Lisboa`.
    """
    if not answer.strip():
        return "no answer"
    for word in right:
        if not any(_in(answer, way) for way in word.split("|")):
            return f"it does not say {word}: {_short(answer)}"
    named = [other for other in others if _in(answer, other)]
    if len(named) > 1:
        return f"it names {', '.join(named)}, too"
    return _too_long(answer)


def says_unknown(answer: str, made_up: str) -> str:
    """What is wrong with an answer that has to say that nothing is there.

    `made_up` is a pattern of what would have been invented.
    """
    if not answer.strip():
        return "no answer"
    if found := re.search(made_up, answer):
        return f"it made up {found[0].strip()!r}: {_short(answer)}"
    if not UNKNOWN.search(answer):
        return f"it does not say that it is not there: {_short(answer)}"
    return _too_long(answer)


def _in(answer: str, word: str) -> bool:
    pattern = r"\s+".join(map(re.escape, word.split()))
    return re.search(rf"(?i)(?<!\w){pattern}(?!\w)", answer) is not None


def _month(name: str) -> int:
    return [month[:3] for month in MONTHS.split()].index(name[:3]) + 1


def _too_long(answer: str) -> str:
    return "it is not an answer but a dump" if len(answer) > MOST_CHARACTERS else ""


def _short(answer: str) -> str:
    line = " ".join(answer.split())
    return repr(line if len(line) < 90 else line[:87] + "...")
