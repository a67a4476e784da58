"""Naming a language."""

from __future__ import annotations

import pytest

from agentkit.audio.languages import LANGUAGES, language_code
from agentkit.errors import UserError

ALL = set(LANGUAGES)


@pytest.mark.parametrize(
    ("asked", "code"),
    [("de", "de"), ("German", "de"), (" EN ", "en"), ("haw", "haw"), (None, None)],
)
def test_codes_and_names_are_understood(asked: str | None, code: str | None) -> None:
    assert language_code(asked, "whisper-base", ALL) == code


@pytest.mark.parametrize(("asked", "near"), [("germn", "de"), ("englisch", "en"), ("frech", "fr")])
def test_a_slip_is_answered_with_what_was_meant(asked: str, near: str) -> None:
    with pytest.raises(UserError, match=f'did you mean "{near}"') as caught:
        language_code(asked, "whisper-base", ALL)
    assert "en" in (caught.value.hint or "")


def test_an_english_model_says_that_it_only_knows_english() -> None:
    assert language_code("English", "whisper-tiny.en", {"en"}) == "en"
    with pytest.raises(UserError, match=r"whisper-tiny\.en only knows English, and German"):
        language_code("de", "whisper-tiny.en", {"en"})


def test_the_table_is_the_one_of_whisper() -> None:
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    assert set(_LANGUAGE_CODES) == ALL
