"""What Whisper makes up is dropped, what people say is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.audio.hallucination import Piece, loops, plain, unloop, why_unspoken
from agentkit.audio.windows import Region
from agentkit.transcript import Word

SPEECH = [Region(0, 60)]


def words(text: str, start: float = 0.0, step: float = 0.4) -> tuple[Word, ...]:
    return tuple(
        Word(start + at * step, start + (at + 1) * step, f" {word}", 0.9)
        for at, word in enumerate(text.split())
    )


def piece(
    text: str, *, seconds: float = 5.0, no_speech: float = 0.1, logprob: float = -0.2
) -> Piece:
    return Piece(0.0, seconds, words(text), no_speech, logprob)


@pytest.mark.parametrize(
    "text",
    [
        "Thank you very much for the applause, and for the laughter.",
        "So, thank you for watching the children yesterday.",
        "Please subscribe to the newsletter before Friday.",
        "The music was too loud.",
    ],
)
def test_a_sentence_that_contains_a_known_phrase_stays(text: str) -> None:
    """Others delete by substring, and true sentences with it."""
    assert why_unspoken(piece(text, no_speech=0.9, logprob=-0.9), SPEECH) is None


@pytest.mark.parametrize("text", ["Thank you.", "Okay.", "Bye!", "Yeah."])
def test_a_short_answer_heard_clearly_stays(text: str) -> None:
    assert why_unspoken(piece(text, seconds=0.6), SPEECH) is None


@pytest.mark.parametrize("text", ["You", "Thank you.", " Thanks for watching!"])
def test_a_known_phrase_alone_goes_when_whisper_was_unsure(text: str) -> None:
    assert why_unspoken(piece(text, no_speech=0.93), SPEECH)
    assert why_unspoken(piece(text, logprob=-0.71), SPEECH)


def test_a_subtitle_credit_goes_even_when_whisper_was_sure_if_it_is_too_short() -> None:
    assert why_unspoken(piece("Thanks for watching!", seconds=1.0), SPEECH)
    assert why_unspoken(piece("Thanks for watching!", seconds=4.0), SPEECH) is None


def test_what_lies_where_nobody_speaks_goes() -> None:
    heard = piece("And then we went home to see")
    assert why_unspoken(heard, [Region(30, 40)]) == "nobody speaks there"
    assert why_unspoken(heard, [Region(0, 1)]) is None


def test_punctuation_alone_goes() -> None:
    assert why_unspoken(piece("... !"), SPEECH) == "nothing but punctuation"


def test_every_entry_of_the_lists_is_in_its_normal_form() -> None:
    from agentkit.audio.hallucination import ARTEFACTS, FILLERS

    assert [text for text in ARTEFACTS | FILLERS if plain(text) != text] == []


def test_a_loop_is_recognised() -> None:
    assert loops("I think so. " * 20)
    assert not loops("They swarmed up in front of the palings as thick as they could jam together.")
    assert not loops("")


def test_a_loop_becomes_one_round() -> None:
    spoken = words("well " + "you know what " * 9 + "that was it")
    assert " ".join(word.text.strip() for word in unloop(spoken)) == (
        "well you know what that was it"
    )


def test_saying_something_twice_is_no_loop() -> None:
    spoken = words("tear down the fence tear down the fence")
    assert unloop(spoken) == spoken


@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=60))
def test_unlooping_keeps_order_and_drops_only_repetition(texts: list[str]) -> None:
    spoken = words(" ".join(texts))
    kept = unloop(spoken)
    assert {word.text for word in kept} == {word.text for word in spoken}
    assert list(kept) == sorted(kept, key=lambda word: word.start)
