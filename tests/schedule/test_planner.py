"""What is due: on time, late, missed under each policy, with a clock that is put back."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit.schedule.planner import MOST, Catchup, Decision, Entry, Standing, coming, plan
from agentkit.schedule.triggers import At, Cron, Every

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOURLY = Cron("0 * * * *", ZoneInfo("UTC"))
DAYS = timedelta(days=3)


def decide(entry: Entry, seen: datetime, now: datetime, *, paused: bool = False) -> list[Decision]:
    decisions, after = plan([Standing.of(entry, seen, paused=paused)], now)
    assert plan(after, now) == ([], after)  # nothing is decided twice
    return decisions


def fired(decisions: list[Decision]) -> list[datetime]:
    return [one.due for one in decisions if one.verdict == "fire"]


def test_what_is_due_fires_once_and_at_its_time() -> None:
    entry = Entry("flow", HOURLY)
    assert decide(entry, NOON - timedelta(minutes=1), NOON - timedelta(seconds=1)) == []
    assert fired(decide(entry, NOON - timedelta(minutes=1), NOON)) == [NOON]
    assert fired(decide(entry, NOON, NOON + timedelta(minutes=59))) == []


def test_late_is_not_missed() -> None:
    seen = NOON - timedelta(minutes=5)
    assert fired(decide(Entry("flow", HOURLY), seen, NOON + timedelta(seconds=60))) == [NOON]
    (missed,) = decide(Entry("flow", HOURLY), seen, NOON + timedelta(seconds=61))
    assert (missed.verdict, missed.due) == ("missed", NOON)


@pytest.mark.parametrize(
    ("catchup", "window", "made_up", "missed"),
    [
        ("none", None, 0, 72),
        ("last", None, 1, 71),
        ("all", None, 72, 0),
        ("all", 6 * 3600, 6, 66),
        ("last", 600, 0, 72),
    ],
)
def test_three_days_asleep(
    catchup: Catchup, window: float | None, made_up: int, missed: int
) -> None:
    """Half an hour after the last of 72 due times."""
    entry = Entry("flow", HOURLY, catchup, window)
    decisions = decide(entry, NOON - DAYS, NOON + timedelta(minutes=30))

    assert len(fired(decisions)) == made_up
    assert sum(one.many for one in decisions if one.verdict == "missed") == missed
    assert fired(decisions) == [NOON - timedelta(hours=n) for n in reversed(range(made_up))]
    assert all("catchup is " + catchup in one.reason for one in decisions)


def test_the_last_one_is_not_made_up_for_beside_one_that_is_on_time() -> None:
    assert fired(decide(Entry("flow", HOURLY, "last"), NOON - DAYS, NOON)) == [NOON]


def test_of_very_many_only_the_newest_count() -> None:
    decisions = decide(Entry("flow", Every(1), "all"), NOON - timedelta(days=9999), NOON)
    due = fired(decisions)
    assert MOST / 2 <= len(due) <= MOST
    assert due[-1] == NOON
    (missed,) = decide(Entry("flow", HOURLY), NOON - DAYS * 999, NOON - timedelta(minutes=30))
    assert f"it was due more than {missed.many} times" in missed.reason


def test_nobody_makes_up_for_what_passed_during_a_pause() -> None:
    entry = Entry("flow", HOURLY, "all")
    assert decide(entry, NOON - DAYS, NOON, paused=True) == []


def test_a_clock_that_is_put_back_stops_nothing() -> None:
    """Whoever was a year ahead starts again from now; the record of fires knows what was done."""
    ahead = Standing.of(Entry("flow", HOURLY), NOON + timedelta(days=365))
    decisions, (after,) = plan([ahead], NOON - timedelta(minutes=30))
    assert decisions == []
    assert after.wakes == NOON


def test_jitter_is_the_same_for_a_time_and_differs_between_workflows() -> None:
    entries = [Entry(f"flow{number}", At(NOON), jitter=600) for number in range(50)]
    wakes = [one.wakes(NOON) for one in entries]
    assert [one.wakes(NOON) for one in entries] == wakes
    assert len(set(wakes)) == 50
    assert all(timedelta() <= one - NOON <= timedelta(minutes=10) for one in wakes)
    early = min(entries, key=lambda one: one.wakes(NOON))
    assert fired(decide(early, NOON - DAYS, early.wakes(NOON))) == [NOON]
    assert decide(early, NOON - DAYS, early.wakes(NOON) - timedelta(seconds=0.01)) == []


def test_the_same_time_is_one_occurrence_unless_the_runs_are_given_other_things() -> None:
    daily, weekly = Entry("flow", HOURLY), Entry("flow", Cron("0 12 * * 6", ZoneInfo("UTC")))
    assert daily.occurrence(NOON) == weekly.occurrence(NOON)
    assert Entry("flow", HOURLY, apart="x").occurrence(NOON) != daily.occurrence(NOON)


def test_what_comes_next_is_in_order() -> None:
    entries = [Entry("a", HOURLY), Entry("b", Every(1800)), Entry("c", At(NOON))]
    due = islice(coming(entries, NOON - timedelta(minutes=30)), 4)
    order = [f"{entry.workflow} {time.minute}" for time, entry in due]
    assert order == ["a 0", "b 0", "c 0", "b 30"]


@settings(deadline=None)
@given(
    looks=st.lists(st.integers(0, 200_000), min_size=1, max_size=30),
    every=st.integers(1, 7200),
    catchup=st.sampled_from(["none", "last", "all"]),
)
def test_however_often_one_looks_each_due_time_has_one_decision(
    looks: list[int], every: int, catchup: Catchup
) -> None:
    stand = [Standing.of(Entry("flow", Every(every), catchup), NOON)]
    fires: Counter[datetime] = Counter()
    count, now = 0, NOON
    for pause in looks:
        now += timedelta(seconds=pause)
        decisions, stand = plan(stand, now)
        fires.update(fired(decisions))
        count += sum(one.many for one in decisions)
        assert all(one.due <= now for one in decisions)
    assert max(fires.values(), default=1) == 1
    due = int(now.timestamp() // every - NOON.timestamp() // every)
    assert count == due or due > MOST
