"""Words into segments that people can read: a sentence or a breath long.

Whisper's batches give half a minute in one piece; subtitles and speaker labels need sentences.
No word is ever lost or moved here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from agentkit.audio.windows import Region
from agentkit.transcript import Segment, Word

PAUSE_SECONDS = 1.0
CLAUSE_PAUSE_SECONDS = 0.6
"""A pause that ends a segment: anywhere, and behind a comma (people also pause to think)."""

LONGEST_SECONDS = 15.0
LONGEST_WORD_SECONDS = 3.0

SENTENCE_ENDS = (".", "?", "!", "…", "。", "？", "！", "।", "؟")
CLAUSE_ENDS = (",", ";", ":", "—", "–", "，", "、", "；", "：", "،")
CLOSING = "\"'”’»)]}」』"
ABBREVIATIONS = frozenset(
    {"mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "sr.", "jr.", "vs.", "e.g.", "i.e.", "no.",
     "hr.", "fr.", "bzw.", "z.b.", "ca.", "mme.", "sra."}
)  # fmt: skip


def tidy(words: Sequence[Word], speech: Sequence[Region]) -> tuple[Word, ...]:
    """Words in order of time, none reaching far into the silence behind it.

    Whisper's alignment lets the last word before a pause last until the next one begins.
    """
    tidied: list[Word] = []
    clock = 0.0
    for word in sorted(words, key=lambda word: word.start):
        start = max(clock, word.start)
        end = max(start, min(word.end, start + LONGEST_WORD_SECONDS, _silence_after(start, speech)))
        tidied.append(replace(word, start=round(start, 3), end=round(end, 3)))
        clock = start
    return tuple(tidied)


def _silence_after(moment: float, speech: Sequence[Region]) -> float:
    """Where the speech around a moment ends; infinite if nobody speaks at that moment."""
    return next((one.end for one in speech if one.start <= moment < one.end), float("inf"))


def segments(words: Sequence[Word]) -> tuple[Segment, ...]:
    """Words (their texts with the spaces in front of them) as segments, in order."""
    found: list[Segment] = []
    for sentence in _sentences(words):
        for part in _short_enough(sentence):
            text = "".join(word.text for word in part).strip()
            plain = tuple(replace(word, text=word.text.strip()) for word in part)
            found.append(Segment(part[0].start, max(word.end for word in part), text, plain))
    return tuple(
        replace(one, end=max(one.start, min(one.end, after.start)))
        for one, after in pairwise(found)
    ) + tuple(found[-1:])


def _sentences(words: Sequence[Word]) -> Iterator[list[Word]]:
    current: list[Word] = []
    for word in words:
        if current and _breaks_between(current[-1], word):
            yield current
            current = []
        current.append(word)
    if current:
        yield current


def _breaks_between(before: Word, after: Word) -> bool:
    pause = CLAUSE_PAUSE_SECONDS if _ends_clause(before.text) else PAUSE_SECONDS
    return after.start - before.end > pause or _ends_sentence(before.text, after.text)


def _ends_clause(text: str) -> bool:
    return text.strip().rstrip(CLOSING).endswith(CLAUSE_ENDS)


def _ends_sentence(text: str, following: str) -> bool:
    """Whether a sentence ends with a word; the next one tells `3.` from `3. 5`."""
    bare = text.strip().rstrip(CLOSING)
    if not bare.endswith(SENTENCE_ENDS) or bare.lower() in ABBREVIATIONS:
        return False
    is_initial = len(bare) == 2 and bare[0].isupper() and bare[1] == "."
    return not is_initial and not following.strip()[:1].islower()


def _short_enough(words: list[Word]) -> Iterator[list[Word]]:
    """Cut what is too long in the middle half: behind a comma, else in the widest pause."""
    end = max(word.end for word in words)  # not always the last one's
    if len(words) < 2 or end - words[0].start <= LONGEST_SECONDS:
        yield words
        return
    quarter = max(1, len(words) // 4)
    places = range(quarter, max(quarter + 1, len(words) - quarter))
    best = max(places, key=lambda at: _quality_of_cut(words, at))
    yield from _short_enough(words[:best])
    yield from _short_enough(words[best:])


def _quality_of_cut(words: Sequence[Word], at: int) -> tuple[bool, float, int]:
    before, after = words[at - 1], words[at]
    return _ends_clause(before.text), after.start - before.end, -abs(2 * at - len(words))
