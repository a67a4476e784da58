"""What every `Clock` does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agentkit.ports import Clock
from agentkit.schedule.scheduler import SystemClock
from agentkit.testing import FrozenClock

NOON = datetime(2026, 7, 1, 12).astimezone()


@pytest.mark.parametrize("clock", [SystemClock(), FrozenClock(NOON)], ids=["system", "frozen"])
def test_it_tells_utc_and_seconds_that_only_grow(clock: Clock) -> None:
    now, steady = clock.now(), clock.steady()
    assert now.tzinfo is UTC
    assert clock.steady() >= steady


def test_a_clock_that_is_set_lets_no_time_pass() -> None:
    clock = FrozenClock(NOON)
    clock.advance(hours=2)
    assert (clock.now() - NOON, clock.steady()) == (timedelta(hours=2), 7200.0)
    clock.put(NOON)
    assert (clock.now(), clock.steady()) == (NOON, 7200.0)
