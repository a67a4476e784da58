"""Drawing tokens: parameters, each stage beside llama.cpp's own, and how often a token comes."""

from __future__ import annotations

import ctypes
import math
from collections import Counter
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import llama_cpp as lib
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentkit.engine.sampling import (
    BOUNDS,
    PENALTY_WINDOW,
    Logits,
    Places,
    Repetitions,
    Sampler,
    _drawn,
    _exceeding,
    _stages,
    check,
    largest,
)
from agentkit.engine.vocabulary import Vocabulary
from agentkit.errors import ModelError, UserError
from agentkit.messages import Sampling

LOGITS = np.array([0.0, 3.0, 1.0, 2.9, -4.0], dtype=np.float32)


class Listed:
    """A mask that hands out the ids that it permits."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = np.array(ids)

    def permits(self, token: int) -> bool:
        return token in self.ids

    def candidates(self, logits: Logits) -> tuple[Places, Logits]:
        return self.ids, logits[self.ids]


class Crossed(Listed):
    """A mask that hands out all ids, some crossed out."""

    def candidates(self, logits: Logits) -> tuple[Places, Logits]:
        crossed = np.full_like(logits, -np.inf)
        crossed[self.ids] = logits[self.ids]
        return np.arange(len(logits)), crossed


def vocabulary(size: int = len(LOGITS)) -> Vocabulary:
    """Tokens that are letters, and `:` for 0."""
    return cast(
        Vocabulary,
        SimpleNamespace(
            size=size, ids=np.arange(size), piece=lambda token: b":" if token == 0 else b"a"
        ),
    )


def draws(
    sampling: Sampling, count: int = 40, mask: Listed | None = None, logits: Logits = LOGITS
) -> list[int]:
    sampler = Sampler(sampling, vocabulary(len(logits)))
    found = []
    for _ in range(count):
        found.append(sampler.draw(logits, mask))
        sampler.accept(found[-1:])
    return found


# -- parameters ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_are_inclusive_and_named(name: str) -> None:
    low, high = BOUNDS[name]

    def given_as(value: Any) -> Sampling:
        return Sampling(**{name: value})

    for value in (low, high):
        check(given_as(value))
    for bad in (low - 1, high + 1, math.nan, math.inf, "1", None, True):
        with pytest.raises(UserError, match=f"^{name} must be .* not "):
            check(given_as(bad))


@pytest.mark.parametrize("value", [1.5, "1", [1], True])
def test_a_seed_is_a_whole_number(value: Any) -> None:
    with pytest.raises(UserError, match="seed must be a whole number"):
        check(Sampling(seed=value))


@pytest.mark.parametrize(
    ("bias", "fault"),
    [
        ({-1: 1.0}, "-1 is no token of this model"),
        ({5: 1.0}, "5 is no token of this model"),
        ({"a": 1.0}, "wants ids of tokens, not 'a'"),
        ({True: 1.0}, "wants ids of tokens, not True"),
        ({1: 100.5}, "the bias of token 1 must be between -100 and 100, not 100.5"),
        ({1: math.nan}, "the bias of token 1 must be between -100 and 100, not nan"),
        ({1: "x"}, "the bias of token 1 must be a number, not 'x'"),
    ],
)
def test_a_bias_names_a_token_of_the_vocabulary(bias: Any, fault: str) -> None:
    with pytest.raises(UserError, match="logit_bias") as caught:
        Sampler(Sampling(logit_bias=bias), vocabulary())
    assert fault in str(caught.value)


# -- greedy ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Listed, Crossed])
def test_greedy_takes_the_likeliest_of_what_is_allowed(kind: type[Listed]) -> None:
    assert draws(Sampling(), 2) == [1, 1]
    assert draws(Sampling(), 2, kind([0, 2, 4])) == [2, 2]
    assert draws(Sampling(), 1, kind([4])) == [4]


def test_the_logits_given_are_left_as_they_are() -> None:
    before = LOGITS.copy()
    draws(Sampling(logit_bias={1: -100.0}, presence_penalty=1.0, dry_multiplier=1.0), 9)
    assert np.array_equal(before, LOGITS)


def test_a_bias_of_minus_100_bans_and_a_smaller_one_only_weighs() -> None:
    unlikely = np.array([0.0, -200.0], dtype=np.float32)
    assert draws(Sampling(logit_bias={0: -99.0}), 1, logits=unlikely) == [0]
    assert draws(Sampling(logit_bias={0: -100.0}), 1, logits=unlikely) == [1]
    assert set(draws(Sampling(temperature=5.0, logit_bias={1: -100.0, 3: -100.0}))) == {0, 2, 4}
    assert draws(Sampling(logit_bias={4: 10.0}), 1) == [4]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_ban_on_everything_that_may_come_is_the_users_error(temperature: float) -> None:
    sampling = Sampling(temperature=temperature, logit_bias={1: -100, 2: -100}, top_k=2)
    with pytest.raises(UserError, match="bans every token"):
        draws(sampling, 1, Listed([1, 2]))


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.0, seed=1)])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_an_error(sampling: Sampling, bad: float) -> None:
    logits = np.array([0, bad, 0], dtype=np.float32)
    with pytest.raises(ModelError, match="NaN"):
        draws(sampling, 1, logits=logits)
    with pytest.raises(ModelError, match="NaN"):
        draws(sampling, 1, Listed([0, 1]), logits=logits)


# -- seeds -----------------------------------------------------------------------------------------


@given(st.integers())
def test_the_same_seed_draws_the_same(seed: int) -> None:
    sampling = Sampling(temperature=1.0, seed=seed)
    assert draws(sampling, 10) == draws(sampling, 10)


def test_a_seed_and_its_negative_are_two() -> None:
    hot = [draws(Sampling(temperature=5.0, seed=seed)) for seed in (1, -1, 2)]
    assert hot[0] != hot[1] != hot[2]


def test_samplers_side_by_side_do_not_see_each_other() -> None:
    alone = draws(Sampling(temperature=2.0, seed=7))
    one, other = (Sampler(Sampling(temperature=2.0, seed=s), vocabulary()) for s in (7, 8))
    together = []
    for _ in alone:
        together.append(one.draw(LOGITS))
        other.draw(LOGITS)
    assert together == alone


# -- stages, beside llama.cpp's own ----------------------------------------------------------------


def logits_of(seed: int, size: int) -> Logits:
    """Many unlikely tokens and a few likely ones, as models write them."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, size)
    likely = random.integers(0, size, max(1, size // 50))
    logits[likely] += random.exponential(5, len(likely))
    return logits.astype(np.float32)


def llama(logits: Logits, *stages: Any, written: Sequence[int] = ()) -> dict[int, float]:
    """Tokens that stages of llama.cpp keep, with their logits."""
    data = (lib.llama_token_data * len(logits))()
    for token, logit in enumerate(logits):
        data[token].id, data[token].logit = token, float(logit)
    candidates = lib.llama_token_data_array(data=data, size=len(logits), selected=-1, sorted=False)
    for stage in stages:
        for token in written:
            lib.llama_sampler_accept(stage, token)
        lib.llama_sampler_apply(stage, ctypes.byref(candidates))
        lib.llama_sampler_free(stage)
    kept = (candidates.data[place] for place in range(candidates.size))
    return {item.id: item.logit for item in kept}


STAGES: dict[str, tuple[Sampling, Callable[[], list[Any]]]] = {
    "top-k": (Sampling(top_k=7), lambda: [lib.llama_sampler_init_top_k(7)]),
    "top-k of many": (Sampling(top_k=900), lambda: [lib.llama_sampler_init_top_k(900)]),
    "typical": (Sampling(typical_p=0.6), lambda: [lib.llama_sampler_init_typical(0.6, 1)]),
    "top-p": (Sampling(top_p=0.9), lambda: [lib.llama_sampler_init_top_p(0.9, 1)]),
    "top-p of little": (Sampling(top_p=0.01), lambda: [lib.llama_sampler_init_top_p(0.01, 1)]),
    "min-p": (Sampling(min_p=0.05), lambda: [lib.llama_sampler_init_min_p(0.05, 1)]),
    "all": (
        Sampling(top_k=40, typical_p=0.9, top_p=0.8, min_p=0.05),
        lambda: [
            lib.llama_sampler_init_top_k(40),
            lib.llama_sampler_init_typical(0.9, 1),
            lib.llama_sampler_init_top_p(0.8, 1),
            lib.llama_sampler_init_min_p(0.05, 1),
        ],
    ),
}


def kept(sampling: Sampling, logits: Logits) -> set[int]:
    places: NDArray[np.intp] = np.arange(len(logits))
    for stage in _stages(sampling):
        places = places[stage(logits[places])]
    return set(places.tolist())


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("size", [1, 2, 30, 1000, 50_000])
def test_each_stage_keeps_what_llama_cpp_keeps(name: str, size: int) -> None:
    sampling, stages = STAGES[name]
    for seed in range(5):
        logits = logits_of(seed, size)
        assert kept(sampling, logits) == set(llama(logits, *stages()))


@pytest.mark.parametrize("name", STAGES)
def test_what_is_crossed_out_counts_as_missing_at_every_stage(name: str) -> None:
    sampling, _ = STAGES[name]
    logits = logits_of(3, 3000)
    ids = np.flatnonzero(np.random.default_rng(1).random(3000) < 0.3)
    _, crossed = Crossed(ids.tolist()).candidates(logits)
    listed = {int(ids[place]) for place in kept(sampling, logits[ids])}
    assert {n for n in kept(sampling, crossed) if crossed[n] > -np.inf} == listed


def test_flat_logits_are_no_special_case() -> None:
    flat = np.zeros(2000, dtype=np.float32)
    for sampling, count in ((Sampling(top_p=0.5), 1000), (Sampling(typical_p=0.5), 1000)):
        assert abs(len(kept(sampling, flat)) - count) <= 1
    assert len(kept(Sampling(min_p=1.0), flat)) == 2000
    assert len(kept(Sampling(top_k=3), flat)) == 3


@given(
    st.lists(st.sampled_from([-np.inf, -3.0, 0.0, 0.5, 2.0, 9.0]), min_size=1, max_size=2000),
    st.integers(1, 60),
)
def test_the_largest_are_the_largest_even_with_ties(values: list[float], count: int) -> None:
    array = np.array(values, dtype=np.float32)
    places = largest(array, count)
    assert array[places].tolist() == sorted(values, reverse=True)[:count]
    assert len(set(places.tolist())) == len(places)


# -- changes to logits, beside llama.cpp's own -----------------------------------------------------

histories = st.lists(st.integers(0, 6), max_size=90)


def adjusted(sampling: Sampling, written: Sequence[int], logits: Logits) -> Logits:
    sampler = Sampler(sampling, vocabulary(len(logits)))
    sampler.accept(written[:3])
    sampler.accept(written[3:])
    return sampler._adjusted(logits)


@example([1, *[2, 3] * (PENALTY_WINDOW // 2)], 1.5, 1.0, 0.5)
@given(histories, st.floats(0.5, 2), st.floats(-2, 2), st.floats(-2, 2))
def test_penalties_are_those_of_llama_cpp(
    written: list[int], repeat: float, frequency: float, presence: float
) -> None:
    sampling = Sampling(
        repeat_penalty=repeat, frequency_penalty=frequency, presence_penalty=presence
    )
    logits = np.linspace(-3, 3, 8, dtype=np.float32)
    stage = lib.llama_sampler_init_penalties(8, PENALTY_WINDOW, repeat, frequency, presence)
    expected = llama(logits, stage, written=written)
    found = adjusted(sampling, written, logits)
    assert found == pytest.approx([expected[n] for n in range(8)], abs=1e-4)


@given(histories, st.floats(0.1, 5), st.floats(1, 4), st.integers(1, 5))
def test_dry_is_that_of_llama_cpp(
    written: list[int], multiplier: float, base: float, allowed: int
) -> None:
    """Without breakers: llama.cpp finds those in a vocabulary, which comes next."""
    written = [token + 1 for token in written]
    sampling = Sampling(dry_multiplier=multiplier, dry_base=base, dry_allowed_length=allowed)
    logits = np.zeros(9, dtype=np.float32)
    stage = lib.llama_sampler_init_dry(None, multiplier, base, allowed, 1000, None, 0)
    expected = llama(logits, stage, written=written)
    found = adjusted(sampling, written, logits)
    assert found == pytest.approx([expected[n] for n in range(9)], rel=1e-3)


@pytest.mark.model
@pytest.mark.parametrize("seed", range(8))
def test_the_breakers_of_dry_are_those_of_llama_cpp(
    seed: int, vocabulary_of: Callable[[str], Vocabulary]
) -> None:
    real = vocabulary_of("smollm2-135m")
    texts = ['"name": "Ann"', "one two three", "* item\n", " said:", " one two"]
    random = np.random.default_rng(seed)
    text = "".join(texts[n] for n in random.integers(0, len(texts), 40))
    written = real.tokenize(text, special=False)
    breakers = (ctypes.c_char_p * 4)(b"\n", b":", b'"', b"*")
    stage = lib.llama_sampler_init_dry(real.handle, 0.8, 1.75, 2, 4096, breakers, 4)
    sampler = Sampler(Sampling(dry_multiplier=0.8), real)
    sampler.accept(written)
    logits = np.zeros(real.size, dtype=np.float32)
    expected = llama(logits, stage, written=written)
    assert sampler._adjusted(logits) == pytest.approx([expected[n] for n in range(real.size)])


def test_a_repetition_without_end_is_counted_without_overflow() -> None:
    sampling = Sampling(dry_multiplier=100.0, dry_base=10.0)
    changed = adjusted(sampling, [1, 2] * 500, LOGITS)
    assert changed[1] < -1e30
    assert np.isfinite(changed).all()


def test_a_token_that_breaks_a_repetition_is_not_discouraged() -> None:
    repetitions = Repetitions(vocabulary().piece)
    for token in (1, 2, 0, 1, 2):  # 0 is the breaker
        repetitions.accept(token)
    assert repetitions.prolonged_by(2) == {}
    for token in (3, 1, 2):
        repetitions.accept(token)
    assert repetitions.prolonged_by(2) == {3: 2}


def test_penalties_and_bias_come_before_the_choice() -> None:
    assert draws(Sampling(presence_penalty=2.0), 2) == [1, 3]
    assert draws(Sampling(repeat_penalty=2.0), 2) == [1, 3]
    assert draws(Sampling(frequency_penalty=1.0), 3) == [1, 3, 1]
    assert set(draws(Sampling(temperature=1.0, top_k=1, logit_bias={4: 10.0}))) == {4}


# -- how often a token comes -----------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("mask", [None, Listed([0, 2, 3]), Crossed([0, 2, 3])])
def test_tokens_come_as_often_as_the_softmax_says(temperature: float, mask: Listed | None) -> None:
    count = 20_000
    allowed = np.arange(5) if mask is None else mask.ids
    weights = np.exp(LOGITS[allowed] / temperature)
    expected = count * weights / weights.sum()
    sampler = Sampler(Sampling(temperature=temperature, seed=5), vocabulary())
    found = Counter(sampler.draw(LOGITS, mask) for _ in range(count))
    assert set(found) <= set(allowed.tolist())
    chi_square = sum((found[int(n)] - e) ** 2 / e for n, e in zip(allowed, expected, strict=True))
    assert chi_square < 18.5  # one in a thousand for four degrees of freedom


def test_both_kinds_of_mask_draw_the_same() -> None:
    ids = sorted(np.random.default_rng(0).permutation(5000)[:700].tolist())
    logits = logits_of(0, 5000)
    for sampling in (Sampling(temperature=2.0, seed=1), Sampling(temperature=1, top_p=0.9, seed=2)):
        listed, crossed = (draws(sampling, 200, kind(ids), logits) for kind in (Listed, Crossed))
        assert listed == crossed


def test_a_large_vocabulary_is_drawn_from_by_the_same_rule() -> None:
    """The probability of each tenth of 100,000 tokens."""
    logits = logits_of(4, 100_000)
    found = np.array(draws(Sampling(temperature=1.5, seed=1), 3000, logits=logits)) // 10_000
    weights = np.exp(logits.astype(np.float64) / 1.5).reshape(10, -1).sum(axis=1)
    expected = 3000 * weights / weights.sum()
    assert ((np.bincount(found, minlength=10) - expected) ** 2 / expected).sum() < 27.9


@given(
    st.lists(st.sampled_from([0.0, 1e-30, 0.1, 1.0]), min_size=1, max_size=700).filter(any),
    st.one_of(st.floats(0, 1, exclude_max=True), st.sampled_from([0.0, 1 - 2**-53])),
)
def test_what_has_no_probability_is_never_drawn(weights: list[float], chance: float) -> None:
    assert weights[_drawn(np.array(weights, dtype=np.float32), chance)] > 0


@pytest.mark.parametrize("sought", [-1e-18, 0.0, 1.0, 1.0 + 1e-15])
def test_a_place_that_adds_nothing_is_not_found_by_rounding_either(sought: float) -> None:
    assert _exceeding(np.array([0.0, 1.0, 1.0]), sought) == 1


@given(st.lists(st.integers(0, 4), min_size=1, unique=True).map(sorted), st.integers())
def test_a_draw_is_always_allowed(allowed: list[int], seed: int) -> None:
    sampling = Sampling(temperature=2.0, seed=seed)
    for kind in (Listed, Crossed):
        assert set(draws(sampling, 5, kind(allowed))) <= set(allowed)
