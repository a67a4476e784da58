"""The words of texts: what makes two texts the same, and what can be looked for in them.

SQLite's tokenizer finds words between spaces and punctuation, in any case, with and without
accents.  Chinese, Japanese and their like write no spaces: each of their characters becomes a word,
and a run of them a phrase.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from itertools import takewhile

VERSION = 1
"""Of `spaced`: the words of a text are taken out of the index as they were put in."""

_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff"  # Japanese
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Chinese
    "\U00020000-\U0003ffff"
)
_CHARACTER = re.compile(f"[{_UNSPACED}]")
_PIECE = re.compile(rf"[{_UNSPACED}]+|[^\W{_UNSPACED}]+")
_SHORT = {"no", "ne"}
"""What a sentence cannot do without, though it has two letters."""
_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")


def plain(text: str) -> str:
    """Text as SQLite can store it: no halves of surrogate pairs, no NUL."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def digest(text: str) -> bytes:
    """The same for texts that differ in case, spaces or the form of a character only."""
    normal = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return hashlib.sha256(normal.encode("utf-8", "replace")).digest()


def alike(one: str, other: str) -> bool:
    """Whether two texts have the same numbers, and the same words in the same order.

    A word may have another ending, and little ones may be missing.  A vector hardly tells left from
    right in a long sentence, or Monday from Tuesday: what differs in such a word is not the same.
    """
    if _NUMBER.findall(one) != _NUMBER.findall(other):
        return False
    words, others = _telling(one), _telling(other)
    return len(words) == len(others) and all(map(_of_one_stem, words, others))


def _telling(text: str) -> list[str]:
    pieces = _PIECE.findall(unicodedata.normalize("NFKC", text).casefold())
    return [one for one in pieces if len(one) > 2 or one in _SHORT or _CHARACTER.match(one)]


def _of_one_stem(one: str, other: str) -> bool:
    if one == other:
        return True
    if _CHARACTER.match(one):
        return False
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other)))  # noqa: B905
    return shared >= max(3, 0.6 * max(len(one), len(other)))


def spaced(text: str) -> str:
    """A text as SQLite's tokenizer should see it."""
    return _CHARACTER.sub(r" \g<0> ", text)


def phrases(query: str) -> list[str]:
    """What to look for, each in the syntax of FTS5: words, and runs of unspaced characters."""
    found = _PIECE.findall(plain(query))
    return [f'"{spaced(piece).strip()}"' for piece in dict.fromkeys(map(str.casefold, found))]
