"""The normaliser behind the word error rate: forgives spelling, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Errors = Callable[[str, str], Any]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hello, World!", "hello world"),
        ("Mr. Hale’s colour", "mister hale's color"),
        ("I can't, they're", "I cannot they are"),
        ("a hundred masked men", "100 masked men"),
        ("in 1984 and 2026", "in nineteen eighty-four and twenty twenty-six"),
        ("1,250 of them", "one thousand two hundred fifty of them"),
        ("half-a-man", "half a man"),
    ],
)
def test_spelling_is_no_error(word_errors: Errors, one: str, other: str) -> None:
    assert word_errors(one, other).rate == 0


def test_every_other_difference_counts(word_errors: Errors) -> None:
    found = word_errors("she put it into her lap", "she put on her big lap")
    assert (found.substituted, found.deleted, found.inserted) == (2, 0, 0) or found.rate > 0.3
    assert word_errors("one two three four", "").rate == 1
