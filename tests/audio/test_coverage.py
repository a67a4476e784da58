"""Finding speech that has no words."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentkit.audio.coverage import gaps, rates, thin, uncovered, words_in
from agentkit.audio.windows import Region
from agentkit.transcript import Word


def spoken(start: float, end: float, per_second: float = 2.5) -> list[Word]:
    """Words at an even pace."""
    count = round((end - start) * per_second)
    step = (end - start) / count
    return [Word(start + at * step, start + (at + 1) * step, f" w{at}", 0.9) for at in range(count)]


def test_speech_with_words_all_along_has_no_gaps() -> None:
    assert list(gaps(Region(10, 20), spoken(10, 20))) == []


def test_a_hole_in_the_middle_is_found() -> None:
    words = [*spoken(10, 13), *spoken(17, 20)]
    assert list(gaps(Region(10, 20), words)) == [Region(13, 17)]


def test_a_word_stretched_over_a_hole_does_not_hide_it() -> None:
    """Seen with faster-whisper's own batches: "don't" lasts from 198.2 s to 205.6 s."""
    words = [*spoken(10, 13), Word(13, 20, " don't", 0.5)]
    assert list(gaps(Region(10, 20), words)) == [Region(14.5, 20)]
    assert [word.text for word in words_in(Region(14, 20), words)] == []


def test_speech_without_any_word_is_one_gap() -> None:
    assert list(gaps(Region(10, 20), [])) == [Region(10, 20)]
    assert list(gaps(Region(10, 11.5), [])) == []


def test_a_region_with_half_the_words_of_the_others_is_thin() -> None:
    regions = [Region(0, 10), Region(10, 20), Region(20, 30), Region(30, 40)]
    words = [*spoken(0, 30), *spoken(30, 40, per_second=1.2)]
    assert thin(regions, words, rates(regions, words)) == [regions[3]]


def test_a_short_region_is_thin_only_without_any_word() -> None:
    regions = [Region(0, 10), Region(11, 12.5), Region(14, 15.5), Region(17, 17.5)]
    words = [*spoken(0, 10), Word(11.5, 11.7, " no", 0.9)]
    assert thin(regions, words, rates(regions, words)) == [regions[2]]


def test_evenly_slow_speech_is_not_thin() -> None:
    regions = [Region(0, 10), Region(10, 20)]
    words = spoken(0, 20, per_second=0.8)
    assert thin(regions, words, rates(regions, words)) == []


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 5)), max_size=30))
def test_uncovered_time_lies_within_the_speech(places: list[tuple[float, float]]) -> None:
    words = sorted((Word(at, at + length, " w", 1.0) for at, length in places),
                   key=lambda word: word.start)  # fmt: skip
    regions = [Region(5, 30), Region(40, 41), Region(60, 95)]
    found = uncovered(regions, words)
    assert all(any(r.start <= gap.start <= gap.end <= r.end for r in regions) for gap in found)
    assert all(gap.duration > 2 for gap in found)
    assert not any(gap.start < word.start < gap.end for gap in found for word in words)
