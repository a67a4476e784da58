"""What time it is, wherever."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import ToolRetry

Call = Callable[..., Any]


@pytest.fixture
def local_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A machine in Kathmandu, which no other machine of these tests is."""
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    yield "+05:45"
    os.environ.pop("TZ")
    time.tzset()


def test_all_that_it_says_is_one_moment(call: Call) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    told = call("now", timezone="Europe/Berlin")
    after = datetime.now(UTC)

    moment = datetime.fromisoformat(told["iso"])
    assert before <= moment <= after
    assert told == {
        "date": moment.date().isoformat(),
        "time": moment.time().isoformat(),
        "weekday": moment.strftime("%A"),
        "timezone": "Europe/Berlin",
        "iso": moment.isoformat(),
    }


@pytest.mark.parametrize("said", [{}, {"timezone": ""}, {"timezone": " Local "}])
def test_without_a_timezone_it_is_the_local_time(
    call: Call, local_zone: str, said: dict[str, str]
) -> None:
    told = call("now", **said)

    assert told["iso"].endswith(local_zone)
    assert told["timezone"] == "+0545"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("europe/berlin", "Europe/Berlin"),
        ("America/New York", "America/New_York"),
        ("new york", "America/New_York"),
        ("Ho Chi Minh", "Asia/Ho_Chi_Minh"),
        ("utc", "UTC"),
        ("Z", "UTC"),
        ("PST", "America/Los_Angeles"),
        ("Japan", "Japan"),
        ("UTC+2", "UTC+02:00"),
        ("-03:30", "UTC-03:30"),
        ("gmt +0545", "UTC+05:45"),
    ],
)
def test_a_place_is_known_by_many_names(call: Call, said: str, meant: str) -> None:
    assert call("now", timezone=said)["timezone"] == meant


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("Europe/Berln", "did you mean 'Europe/Berlin'?"),
        ("Tokio", "did you mean 'Asia/Tokyo'?"),
        ("my house", "write a zone such as 'Europe/Berlin'"),
        ("../../etc/passwd", "there is no timezone '../../etc/passwd'"),
        ("UTC+25", "offsets go from UTC-12 to UTC\\+14"),
        ("+02:75", "no place is at '\\+02:75'"),
    ],
)
def test_a_place_that_does_not_exist(call: Call, said: str, hint: str) -> None:
    with pytest.raises(ToolRetry, match=hint.replace("?", "\\?").replace("../", "\\.\\./")):
        call("now", timezone=said)


@given(st.integers(-14 * 60, 14 * 60))
def test_an_offset_is_what_it_says(call_anywhere: Call, minutes: int) -> None:
    sign = "-" if minutes < 0 else "+"
    said = f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"

    told = datetime.fromisoformat(call_anywhere("now", timezone=said)["iso"])

    assert told.utcoffset() == timedelta(minutes=minutes)
