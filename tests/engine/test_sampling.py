"""Drawing tokens: bounds of parameters, the greedy path, and the chain on a tiny vocabulary."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.engine.sampling import BOUNDS, Sampler, check
from agentkit.errors import ModelError, UserError
from agentkit.messages import Sampling

LOGITS = np.array([0.0, 3.0, 1.0, 2.9, -4.0], dtype=np.float32)


def draws(sampling: Sampling, count: int = 40, allowed: list[int] | None = None) -> list[int]:
    with Sampler(sampling, len(LOGITS)) as sampler:
        mask = None if allowed is None else np.array(allowed)
        found = []
        for _ in range(count):
            found.append(sampler.draw(LOGITS, mask))
            sampler.accept(found[-1:])
        return found


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


@pytest.mark.parametrize("value", [1.5, "1", [1]])
def test_a_seed_is_a_whole_number(value: Any) -> None:
    with pytest.raises(UserError, match="seed must be a whole number"):
        check(Sampling(seed=value))


def test_greedy_takes_the_likeliest_of_what_is_allowed() -> None:
    assert draws(Sampling(), 2) == [1, 1]
    assert draws(Sampling(), 2, [0, 2, 4]) == [2, 2]
    assert draws(Sampling(), 1, [4]) == [4]


@given(st.lists(st.integers(0, 4), min_size=1, unique=True).map(sorted), st.integers())
def test_a_draw_is_always_allowed(allowed: list[int], seed: int) -> None:
    assert set(draws(Sampling(temperature=2.0, seed=seed), 5, allowed)) <= set(allowed)


@given(st.integers())
def test_the_same_seed_draws_the_same(seed: int) -> None:
    sampling = Sampling(temperature=1.0, seed=seed)
    assert draws(sampling, 10) == draws(sampling, 10)


def test_temperature_spreads_and_truncation_narrows() -> None:
    hot: dict[str, Any] = {"temperature": 5.0, "seed": 3}
    assert len(set(draws(Sampling(**hot), 200))) == 5
    assert set(draws(Sampling(**hot, top_k=2), 200)) == {1, 3}
    assert set(draws(Sampling(**hot, top_p=0.01), 50)) == {1}
    assert set(draws(Sampling(**hot, min_p=0.9), 200)) == {1, 3}


def test_penalties_count_what_was_written() -> None:
    assert set(draws(Sampling(), 10)) == {1}
    assert draws(Sampling(presence_penalty=2.0), 2) == [1, 3]
    assert draws(Sampling(repeat_penalty=2.0), 2) == [1, 3]
    assert draws(Sampling(frequency_penalty=1.0), 3) == [1, 3, 1]


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.0, seed=1)])
def test_logits_that_are_no_numbers_are_an_error(sampling: Sampling) -> None:
    with Sampler(sampling, 3) as sampler, pytest.raises(ModelError):
        sampler.draw(np.full(3, np.nan, dtype=np.float32))
