"""From segments of speech to numbered lines and to windows that fit a prompt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import InvalidInput

Call = Callable[..., Any]


def segment(start: float, end: float, text: str) -> dict[str, Any]:
    return {"start": start, "end": end, "text": text, "words": []}


def test_lines_are_numbered_and_carry_their_times(call: Call) -> None:
    segments = [
        segment(0.0, 2.0, "Good morning to all of you."),
        {**segment(2.5, 4.0, "Let us begin with the budget."), "confidence": 0.9},
    ]

    assert call("number_lines", segments=segments) == {
        "lines": [
            {**segment(0.0, 2.0, "Good morning to all of you."), "number": 1, "window": 0},
            {**segment(2.5, 4.0, "Let us begin with the budget."), "number": 2, "window": 0},
        ],
        "windows": [
            {
                "window": 0,
                "text": "Good morning to all of you.\nLet us begin with the budget.",
                "start": 0.0,
                "end": 4.0,
            }
        ],
    }


@pytest.mark.parametrize(
    ("pause", "texts"),
    [
        (0.1, ["Agreed. We take the cheaper offer."]),
        (1.5, ["Agreed.", "We take the cheaper offer."]),
    ],
)
def test_a_crumb_joins_the_line_that_it_introduces(
    call: Call, pause: float, texts: list[str]
) -> None:
    segments = [segment(0, 1, "Agreed."), segment(1 + pause, 4, "We take the cheaper offer.")]

    found = call("number_lines", segments=segments)["lines"]

    assert [line["text"] for line in found] == texts
    assert (found[0]["start"], found[-1]["end"]) == (0, 4)


def test_a_long_transcript_is_cut_into_windows(call: Call) -> None:
    segments = [segment(n, n + 0.5, "one two three four five six") for n in range(10)]

    found = call("number_lines", segments=segments, window_chars=90)

    assert [line["window"] for line in found["lines"]] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]
    assert [(w["window"], w["start"], w["end"]) for w in found["windows"]] == [
        (0, 0, 2.5), (1, 3, 5.5), (2, 6, 8.5), (3, 9, 9.5),
    ]  # fmt: skip


def test_silence_has_no_lines(call: Call) -> None:
    assert call("number_lines", segments=[]) == {"lines": [], "windows": []}


def test_segments_are_checked(call: Call) -> None:
    with pytest.raises(InvalidInput, match="must be a list, not the string"):
        call("number_lines", segments="all")


@given(
    st.lists(st.tuples(st.floats(0, 2), st.text("ab .", min_size=1, max_size=30)), max_size=30),
    st.integers(1, 200),
)
def test_no_word_is_lost_and_every_line_is_in_its_window(
    call_anywhere: Call, speech: list[tuple[float, str]], window_chars: int
) -> None:
    at, segments = 0.0, []
    for pause, text in speech:
        segments.append(segment(at + pause, at + pause + 1, text))
        at += pause + 1

    found = call_anywhere("number_lines", segments=segments, window_chars=window_chars)

    assert " ".join(line["text"] for line in found["lines"]) == " ".join(t for _, t in speech)
    assert [line["number"] for line in found["lines"]] == list(range(1, len(found["lines"]) + 1))
    for line in found["lines"]:
        assert line["text"] in found["windows"][line["window"]]["text"].splitlines()


def test_words_stay_with_their_line(call: Call) -> None:
    word = {"start": 0.1, "end": 0.4, "text": "Agreed."}
    next_word = {"start": 1.2, "end": 1.5, "text": "Fine."}
    segments = [
        {**segment(0, 1, "Agreed."), "words": [word]},
        {**segment(1.1, 2, "Fine."), "words": [next_word]},
    ]

    assert call("number_lines", segments=segments)["lines"][0]["words"] == [word, next_word]
