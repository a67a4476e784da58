"""What makes two texts the same, and what can be looked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.memory import words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The Sky is blue.", "the  sky\nis BLUE."),
        ("ﬁle １２", "file 12"),
        ("Café", "Cafe\u0301"),
        ("Straße", "STRASSE"),
    ],
)
def test_case_spaces_and_forms_of_characters_make_no_other_text(one: str, other: str) -> None:
    assert words.digest(one) == words.digest(other)


@pytest.mark.parametrize(
    ("one", "other"), [("a b", "ab"), ("now", "now!"), ("é", "e"), ("", "."), ("1", "2")]
)
def test_anything_else_does(one: str, other: str) -> None:
    assert words.digest(one) != words.digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The door is open.", "The door is open!"),
        ("He opened the door at 3", "he opens the door at 3"),
        ("Look at the red car", "Look to the red car"),
    ],
)
def test_an_ending_or_a_little_word_makes_no_other_meaning(one: str, other: str) -> None:
    assert words.alike(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The door is open", "The door is not open"),
        ("There is milk", "There is no milk"),
        ("Use port 8080", "Use port 8081"),
        ("At 12:30", "At 12:45"),
        ("Turn left", "Turn right"),
        ("On Monday", "On Tuesday"),
        ("Anna owes Bob money", "Bob owes Anna money"),
        ("東京へ行く", "東京へ行かない"),
    ],
)
def test_a_number_a_name_or_a_no_does(one: str, other: str) -> None:
    assert not words.alike(one, other)


def test_each_character_of_a_language_without_spaces_is_a_word() -> None:
    assert words.spaced("I like 東京.").split() == ["I", "like", "東", "京", "."]
    assert words.phrases("東京 Tower") == ['"東  京"', '"tower"']


def test_a_phrase_is_looked_for_once() -> None:
    assert words.phrases("Tea, tea and TEA") == ['"tea"', '"and"']


@given(st.text())
def test_any_text_can_be_stored_compared_and_looked_for(text: str) -> None:
    assert "\0" not in words.plain(text)
    words.plain(text).encode()
    words.digest(text)
    assert words.alike(text, text)
    assert all(one.count('"') == 2 for one in words.phrases(text))


def test_halves_of_characters_become_a_mark() -> None:
    assert words.plain("a\ud800b\0c") == "a?b\ufffdc"
