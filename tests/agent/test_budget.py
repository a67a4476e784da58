"""Which limit was hit, as a function of what was spent."""

from __future__ import annotations

import pytest

from agentkit.agent.budget import Budget, Spent, limit_hit

SMALL = Budget(tasks=2, steps=3, tokens=100, seconds=10.0)


@pytest.mark.parametrize(
    ("spent", "limit"),
    [
        (Spent(), None),
        (Spent(tasks=1, steps=2, tokens=99, seconds=9.9), None),
        (Spent(tasks=2), "tasks"),
        (Spent(steps=3), "steps"),
        (Spent(tokens=100), "tokens"),
        (Spent(seconds=10.0), "seconds"),
        (Spent(tasks=9, steps=9, tokens=999), "tokens"),
        (Spent(tasks=9, steps=9, tokens=999, seconds=99.0), "seconds"),
    ],
)
def test_a_limit_is_hit_when_all_of_it_is_spent(spent: Spent, limit: str | None) -> None:
    assert limit_hit(SMALL, spent) == limit


def test_there_is_a_limit_to_everything_where_nobody_sets_one() -> None:
    endless = Spent(tasks=10**6), Spent(steps=10**6), Spent(tokens=10**9), Spent(seconds=10.0**6)

    assert [limit_hit(Budget(), spent) for spent in endless] == [
        "tasks", "steps", "tokens", "seconds",
    ]  # fmt: skip
