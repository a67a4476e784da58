"""Words into sentences."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.audio.segments import LONGEST_SECONDS, segments, tidy
from agentkit.audio.windows import Region
from agentkit.transcript import Segment, Word


def spoken(text: str, step: float = 0.4) -> list[Word]:
    """`|` is a pause of 0.7 s."""
    found = []
    at = 0.0
    for token in text.split():
        if token == "|":
            at += 0.7
        else:
            found.append(Word(at, at + step, f" {token}", 0.9))
            at += step
    return found


def texts(found: tuple[Segment, ...]) -> list[str]:
    return [segment.text for segment in found]


@st.composite
def words(draw: st.DrawFn) -> list[Word]:
    """Any words, in order, as Whisper might give them."""
    found = []
    at = 0.0
    for _ in range(draw(st.integers(0, 60))):
        at += draw(st.floats(0, 3))
        length = draw(st.floats(0, 6))
        text = draw(st.sampled_from([" so", " Mr.", " end.", "。", " what?", " a,", "日", " 3."]))
        found.append(Word(at, at + length, text, 0.5))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It works. Does it? Yes!", ["It works.", "Does it?", "Yes!"]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("I saw Mr. Hale and Dr. No there.", ["I saw Mr. Hale and Dr. No there."]),
        ("J. R. Smith came.", ["J. R. Smith came."]),
        ("we stopped | | and went on", ["we stopped", "and went on"]),
        ("we stopped, | and went on", ["we stopped,", "and went on"]),
        ("we wanted | to think", ["we wanted to think"]),
        ("It costs 3. 5 euros", ["It costs 3.", "5 euros"]),
        ("Well... you know it", ["Well... you know it"]),
    ],
)
def test_a_segment_ends_with_its_sentence_or_in_a_pause(text: str, expected: list[str]) -> None:
    assert texts(segments(spoken(text))) == expected


def test_languages_without_spaces_stay_without() -> None:
    heard = [Word(0, 1, "今日は", 0.9), Word(1, 2, "晴れです。", 0.9), Word(2, 3, "はい。", 0.9)]
    assert texts(segments(heard)) == ["今日は晴れです。", "はい。"]


def test_a_long_sentence_is_cut_at_a_comma() -> None:
    heard = spoken("one two three four five six seven, eight nine ten eleven twelve " * 4)
    found = segments(heard)
    assert len(found) > 1
    assert all(segment.text.endswith(("seven,", "twelve")) for segment in found)


@given(words())
def test_no_word_is_ever_lost_or_moved(heard: list[Word]) -> None:
    found = segments(tidy(heard, []))
    kept = [word.text for segment in found for word in segment.words]
    assert kept == [word.text.strip() for word in heard]


@given(words())
def test_segments_follow_each_other_and_are_short(heard: list[Word]) -> None:
    found = segments(tidy(heard, []))
    for segment in found:
        assert 0 <= segment.start <= segment.end
        assert segment.end - segment.start <= LONGEST_SECONDS or len(segment.words) == 1
    for before, after in pairwise(found):
        assert before.end <= after.start


@given(words(), st.floats(0, 50), st.floats(0.1, 50))
def test_tidy_words_are_in_order_and_keep_their_texts(
    heard: list[Word], start: float, length: float
) -> None:
    found = tidy(heard, [Region(start, start + length)])
    assert [word.text for word in found] == [word.text for word in heard]
    assert all(word.start <= word.end for word in found)
    assert [word.start for word in found] == sorted(word.start for word in found)


def test_a_word_does_not_last_through_the_silence_behind_it() -> None:
    word = Word(9.5, 14.0, " over", 0.9)
    assert tidy([word], [Region(0, 10)]) == (replace(word, end=10),)
    assert tidy([word], []) == (replace(word, end=12.5),)
