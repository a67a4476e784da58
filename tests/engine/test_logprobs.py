"""Log probabilities of tokens, beside the same sums in double precision."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.engine.logprobs import MOST_ALTERNATIVES, check_top, log_sum_exp, token_logprob
from agentkit.engine.sampling import Logits, Places
from agentkit.engine.vocabulary import Vocabulary
from agentkit.errors import UserError
from agentkit.messages import TokenLogprob

LETTERS = cast(Vocabulary, SimpleNamespace(piece=lambda token: b"%c" % (97 + token)))


class Allowing:
    """A mask of some ids."""

    def __init__(self, *ids: int) -> None:
        self.ids = np.array(ids)

    def permits(self, token: int) -> bool:
        return token in self.ids

    def candidates(self, logits: Logits) -> tuple[Places, Logits]:
        return self.ids, logits[self.ids]


def of(logits: list[float], token: int, **about: Any) -> TokenLogprob:
    array = np.array(logits, dtype=np.float32)
    return token_logprob(array, token, **{"top": 0, "vocabulary": LETTERS, **about})


@given(st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=300))
def test_probabilities_of_all_tokens_add_up_to_one(logits: list[float]) -> None:
    exact = np.array(logits, dtype=np.float64)
    expected = exact - np.log(np.exp(exact).sum())
    found = [of(logits, token).logprob for token in range(len(logits))]
    assert found == pytest.approx(expected.tolist(), abs=1e-4)
    assert np.exp(found).sum() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("shift", [0.0, 5e4, -5e4])
def test_large_logits_do_not_overflow(shift: float) -> None:
    assert of([shift, shift], 0).logprob == pytest.approx(np.log(0.5), abs=1e-5)
    assert of([shift, shift - 1000], 1).logprob == pytest.approx(-1000, abs=0.01)


def test_half_a_million_small_probabilities_are_not_lost() -> None:
    assert log_sum_exp(np.zeros(500_000, dtype=np.float32)) == pytest.approx(np.log(500_000))


def test_what_is_left_when_only_allowed_tokens_share_the_probability() -> None:
    logits = [3.0, 1.0, 1.0, -2.0]
    found = of(logits, 1, matcher=Allowing(1, 2))
    assert found.allowed_logprob == pytest.approx(np.log(0.5))
    assert found.logprob == of(logits, 1).logprob < found.allowed_logprob
    assert of(logits, 1).allowed_logprob == of(logits, 1).logprob


def test_an_allowed_token_that_the_model_finds_impossible_has_its_share_all_the_same() -> None:
    found = of([0.0, -400.0, -400.0], 2, matcher=Allowing(1, 2))
    assert found.logprob == pytest.approx(-400)
    assert found.allowed_logprob == pytest.approx(np.log(0.5))


def test_a_forced_token_has_the_models_own_opinion_and_no_alternative_to_be_weighed_with() -> None:
    found = of([0.0, 0.0], 0, forced=True)
    assert (found.forced, found.allowed_logprob) == (True, 0.0)
    assert found.logprob == pytest.approx(np.log(0.5))


def test_the_likeliest_tokens_come_in_order_whatever_is_allowed() -> None:
    logits = [0.0, 2.0, 1.0, -1.0]
    found = of(logits, 3, top=3, matcher=Allowing(3))
    assert [piece for piece, _ in found.top] == [b"b", b"c", b"a"]
    assert [value for _, value in found.top] == [of(logits, n).logprob for n in (1, 2, 0)]
    assert found.token == b"d"
    assert len(of(logits, 0, top=MOST_ALTERNATIVES).top) == 4
    assert of(logits, 0).top == ()


@pytest.mark.model
def test_a_control_token_has_the_text_that_stands_for_it(
    vocabulary_of: Callable[[str], Vocabulary],
) -> None:
    vocabulary = vocabulary_of("smollm2-135m")
    (word,) = vocabulary.tokenize(" word", special=False)
    logits = np.zeros(vocabulary.size, dtype=np.float32)
    logits[vocabulary.eos], logits[word] = 20, 19
    found = token_logprob(logits, vocabulary.eos, top=2, vocabulary=vocabulary)
    assert vocabulary.piece(vocabulary.eos) == b""
    assert found.token == vocabulary.text(vocabulary.eos).encode() == b"<|im_end|>"
    assert [piece for piece, _ in found.top] == [b"<|im_end|>", b" word"]


@pytest.mark.parametrize("top", [-1, 21, True, 1.5, "3"])
def test_a_number_of_alternatives_that_is_not_given_is_refused(top: Any) -> None:
    with pytest.raises(UserError, match="top_logprobs must be"):
        check_top(top)


@pytest.mark.parametrize("top", [None, 0, 20])
def test_a_number_of_alternatives_that_is_given(top: int | None) -> None:
    check_top(top)
