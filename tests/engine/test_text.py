"""Bytes to text: whole characters, no stop strings, and no difference however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.engine.text import Characters, StopFilter

LETTERS = "ab \né日🦊"


def told(raw: bytes, cuts: list[int], stops: tuple[str, ...] = ()) -> tuple[list[str], bool]:
    """The pieces given out when the bytes come in pieces that end at `cuts`."""
    characters, stream = Characters(), StopFilter(stops)
    edges = sorted({0, len(raw), *(cut % (len(raw) + 1) for cut in cuts)})
    pieces = [stream.push(characters.push(raw[start:end])) for start, end in pairwise(edges)]
    return [*pieces, stream.finish()], stream.stopped


@given(st.text(), st.lists(st.integers(min_value=0)))
def test_any_split_gives_the_text(text: str, cuts: list[int]) -> None:
    assert "".join(told(text.encode(), cuts)[0]) == text


@given(st.binary(), st.lists(st.integers(min_value=0)))
def test_any_split_of_any_bytes_gives_the_same(raw: bytes, cuts: list[int]) -> None:
    assert "".join(told(raw, cuts)[0]) == "".join(told(raw, [])[0])


@given(
    st.text(LETTERS),
    st.lists(st.text(LETTERS, min_size=1, max_size=4), max_size=3).map(tuple),
    st.lists(st.integers(min_value=0)),
)
def test_stop_strings_never_show_however_they_are_cut(
    text: str, stops: tuple[str, ...], cuts: list[int]
) -> None:
    pieces, stopped = told(text.encode(), cuts, stops)
    given_out = "".join(pieces)
    assert stopped == any(stop in text for stop in stops)
    assert text.startswith(given_out)
    assert not any(stop in given_out for stop in stops)
    assert (given_out, stopped) == ("".join(told(text.encode(), [], stops)[0]), stopped)
    if not stopped:
        assert given_out == text


def test_the_stop_string_that_is_complete_first_decides() -> None:
    for cuts in ([], [1], [2], [3], [1, 2, 3]):
        pieces, stopped = told(b"xabcd", cuts, ("abcd", "b"))
        assert ("".join(pieces), stopped) == ("xa", True)


def test_what_can_still_become_a_stop_string_is_held_back() -> None:
    stream = StopFilter(("END",))
    assert [stream.push(piece) for piece in ("the E", "N", "d", " EN")] == [
        "the ",
        "",
        "ENd",
        " ",
    ]
    assert stream.finish() == "EN"


def test_nothing_comes_after_a_stop_string() -> None:
    stream = StopFilter(("\n",))
    assert stream.push("one\ntwo") == "one"
    assert stream.stopped
    assert stream.push("three") == stream.finish() == ""


def test_empty_stop_strings_stop_nothing() -> None:
    assert told(b"text", [2], ("", "")) == (["te", "xt", ""], False)


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_half_a_character_at_the_end_is_dropped(kept: int) -> None:
    pieces, _ = told(b"ok " + "🦊".encode()[:kept], [4])
    assert "".join(pieces) == "ok "


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    assert "".join(told(b"a\xffb", [1])[0]) == "a\ufffdb"
