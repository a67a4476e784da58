"""Times on the wall become moments: changes of the clock in both directions, days, mistakes."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit.schedule.triggers import At, Cron, Every, Times, at, moment, zone

BERLIN = ZoneInfo("Europe/Berlin")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
SPRING, AUTUMN = datetime(2027, 3, 28, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)
"""Midnight in UTC before clocks in Berlin go from 2 to 3, and from 3 to 2: both at 1 in UTC."""


def following(times: Times, after: datetime, count: int, place: ZoneInfo = BERLIN) -> list[str]:
    found = []
    for _ in range(count):
        due = times.next(after)
        if due is None:
            break
        found.append(due.astimezone(place).strftime("%d %H:%M %z"))
        after = due
    return found


@pytest.mark.parametrize(
    ("cron", "after", "due"),
    [
        ("30 2 * * *", SPRING, ["28 03:00 +0200", "29 02:30 +0200"]),
        ("0 2,3 * * *", SPRING, ["28 03:00 +0200", "29 02:00 +0200"]),
        ("30 2 * * *", AUTUMN, ["25 02:30 +0200", "26 02:30 +0100"]),
        ("*/30 1-2 * * *", AUTUMN, ["25 02:30 +0200", "26 01:00 +0100"]),
        ("0 * * * *", SPRING, ["28 03:00 +0200", "28 04:00 +0200"]),
        ("0 * * * *", AUTUMN, ["25 02:00 +0100", "25 03:00 +0100"]),
    ],
    ids=["gap", "gap and its end", "twice", "twice, some hours", "gap, hourly", "twice, hourly"],
)
def test_clocks_that_are_changed(cron: str, after: datetime, due: list[str]) -> None:
    assert following(Cron(cron, BERLIN), after, 2) == due


def test_clocks_that_are_changed_by_half_an_hour() -> None:
    before = datetime(2026, 4, 4, 14, 20, tzinfo=UTC)
    assert following(Cron("*/20 * * * *", LORD_HOWE), before, 3, LORD_HOWE) == [
        "05 01:40 +1100", "05 01:40 +1030", "05 02:00 +1030",
    ]  # fmt: skip


def test_every_is_spaced_by_what_elapses() -> None:
    due = [SPRING - timedelta(hours=2)]
    for _ in range(5):
        due.append(Every(3600).next(due[-1]))
    assert {later - earlier for earlier, later in pairwise(due)} == {timedelta(hours=1)}


@pytest.mark.parametrize(
    ("cron", "due"),
    [
        ("0 7 * * 1", ["30 07:00 +0100", "07 07:00 +0100"]),
        ("0 7 * * 7", ["29 07:00 +0100", "06 07:00 +0100"]),
        ("0 7 * * 0", ["29 07:00 +0100", "06 07:00 +0100"]),
        ("0 7 * * 5-7", ["28 07:00 +0100", "29 07:00 +0100"]),
        ("0 7 * * fri-sun", ["28 07:00 +0100", "29 07:00 +0100"]),
        ("0 7 1 * 1", ["30 07:00 +0100", "01 07:00 +0100"]),
        ("0 7 last * *", ["30 07:00 +0100", "31 07:00 +0100"]),
        ("@daily", ["28 00:00 +0100", "29 00:00 +0100"]),
    ],
)
def test_days_as_in_a_crontab(cron: str, due: list[str]) -> None:
    """2026-11-28 is a Saturday."""
    assert following(Cron(cron, BERLIN), datetime(2026, 11, 27, 22, tzinfo=UTC), 2) == due


def test_days_that_are_rare_or_never_come() -> None:
    leap = Cron("0 0 29 2 *", ZoneInfo("UTC"))
    assert leap.next(AUTUMN) == datetime(2028, 2, 29, tzinfo=UTC)
    assert Cron("0 0 30 2 *", BERLIN).next(AUTUMN) is None


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        ("* * *", "has 3 fields"),
        ("0 0 7 * * *", "has 6 fields"),
        ("61 * * * *", '"61" is not a minute: 0 to 59'),
        ("* 24 * * *", '"24" is not an hour'),
        ("* * 0 * *", '"0" is not a day of the month'),
        ("* * * foo *", '"foo" is not a month'),
        ("* * * * 8", '"8" is not a day of the week'),
        ("* * * * fri-mon", "ends before it begins"),
        ("* * * * */0", "makes no steps"),
        ("*/0 * * * *", '"*/0" is not a minute'),
    ],
)
def test_what_is_no_cron(cron: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        Cron(cron, BERLIN)


def test_zones_and_moments_that_are_none() -> None:
    with pytest.raises(ValueError, match='did you mean "Europe/Berlin"'):
        zone("Berlin")
    with pytest.raises(ValueError, match='no time of day, such as "2026-12-24 18:00"'):
        at("2026-12-24", BERLIN)
    assert at("2026-12-24 18:00", BERLIN) == at("2026-12-24T17:00:00Z", BERLIN)
    once = At(AUTUMN)
    assert (once.next(SPRING - timedelta(days=999)), once.next(AUTUMN)) == (AUTUMN, None)


ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe",
                         "Asia/Kathmandu", "Pacific/Apia", "Africa/Casablanca"])  # fmt: skip
FIELDS = st.sampled_from(["*", "0", "2", "*/7", "1-3", "1,30", "23"])


@settings(deadline=None)
@given(
    minute=FIELDS, hour=FIELDS, place=ZONES,
    after=st.datetimes(datetime(2011, 1, 1), datetime(2030, 1, 1)),
)  # fmt: skip
def test_due_times_are_later_fit_the_wall_and_none_is_left_out(
    minute: str, hour: str, place: str, after: datetime
) -> None:
    try:
        cron = Cron(f"{minute} {hour} * * *", ZoneInfo(place))
    except ValueError:
        return  # 30 and 23 are no hours and minutes of everything
    start, zone_ = after.replace(tzinfo=UTC), ZoneInfo(place)
    due = cron.next(start)
    assert due is not None
    assert due > start
    table, wall = set(cron._table), due.astimezone(zone_)
    gap = moment(wall.replace(tzinfo=None) - timedelta(minutes=1), zone_) == due
    assert wall.hour * 60 + wall.minute in table or gap
    # From any moment in between the next due time is the same.
    assert cron.next(start + (due - start) / 2) == due
    assert cron.next(due - timedelta(microseconds=1)) == due
