"""Is everything that was said in the text?  No score of Whisper's tells; time does.

A batch that loses half a chunk looks as confident as any other.  What gives it away is speech
without words: a gap, or far fewer words in a second than in the rest of the recording.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from agentkit.audio.windows import Region
from agentkit.transcript import Word

LONGEST_GAP_SECONDS = 2.0
LONGEST_WORD_SECONDS = 1.5
"""Where text is missing, Whisper's alignment stretches a word over the hole; nobody speaks so."""

THIN_SHARE = 0.6
"""Below this share of the usual words per second, a region is decoded again."""

RATE_NEEDS_SECONDS = 2.0
"""The rate of a shorter region says little."""

WORD_NEEDS_SECONDS = 1.0
"""A shorter region may be a cough; a longer one without any word is decoded again."""


def lies_in(region: Region, word: Word) -> bool:
    """Whether the middle of a word is in a region."""
    middle = (word.start + min(word.end, word.start + LONGEST_WORD_SECONDS)) / 2
    return region.start <= middle < region.end


def words_in(region: Region, words: Sequence[Word]) -> list[Word]:
    """The words of a region."""
    return [word for word in words if lies_in(region, word)]


def gaps(region: Region, words: Sequence[Word]) -> Iterator[Region]:
    """Stretches of a region longer than two seconds in which there is no word."""
    silent_since = region.start
    for word in words:
        if word.end <= region.start or word.start >= region.end:
            continue
        if word.start - silent_since > LONGEST_GAP_SECONDS:
            yield Region(silent_since, word.start)
        silent_since = max(silent_since, min(word.end, word.start + LONGEST_WORD_SECONDS))
    if region.end - silent_since > LONGEST_GAP_SECONDS:
        yield Region(silent_since, region.end)


def rates(regions: Sequence[Region], words: Sequence[Word]) -> list[float]:
    """Words per second of each region that is long enough to have a rate."""
    return [
        len(words_in(region, words)) / region.duration
        for region in regions
        if region.duration >= RATE_NEEDS_SECONDS
    ]


def thin(
    regions: Sequence[Region], words: Sequence[Word], known_rates: Sequence[float]
) -> list[Region]:
    """The regions that have too few words, compared with the median of `known_rates`."""
    usual = median(known_rates) if known_rates else 0.0
    return [region for region in regions if _is_thin(region, words, usual)]


def _is_thin(region: Region, words: Sequence[Word], usual: float) -> bool:
    if any(gaps(region, words)):
        return True
    count = len(words_in(region, words))
    if region.duration < RATE_NEEDS_SECONDS:
        return count == 0 and region.duration >= WORD_NEEDS_SECONDS
    return count / region.duration < THIN_SHARE * usual


def uncovered(regions: Sequence[Region], words: Sequence[Word]) -> list[Region]:
    """All stretches of speech longer than two seconds that have no words."""
    return [gap for region in regions for gap in gaps(region, words)]
