"""The date and the time, here or in another timezone.

A place is known by the name of its zone, of its city, by an abbreviation or an offset: models and
people say all of these.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field

from agentkit import tool
from agentkit.errors import ToolRetry, closest

OFFSET = re.compile(r"(?:utc|gmt)? ?([+-]\d{1,2})(?::?(\d{2}))?", re.IGNORECASE)
"""`UTC+2`, `+02:00`, `GMT-0330`."""

FURTHEST = 14
"""Hours that a place can be from UTC."""

ABBREVIATIONS = {
    "bst": "Europe/London",
    "cest": "Europe/Berlin",
    "edt": "America/New_York",
    "jst": "Asia/Tokyo",
    "mdt": "America/Denver",
    "pdt": "America/Los_Angeles",
    "pst": "America/Los_Angeles",
    "z": "UTC",
}
"""Those that mean one place to most people, and are no zones by themselves."""


@tool
def now(timezone: Annotated[str, Field(max_length=60)] = "") -> dict[str, str]:
    """Tell the current date, time and weekday.

    Args:
        timezone: Such as Europe/Berlin or UTC; left out: the local one.
    """
    zone = _zone(timezone.strip())
    moment = dt.datetime.now(zone) if zone else dt.datetime.now().astimezone()
    return {
        "date": f"{moment:%Y-%m-%d}",
        "time": f"{moment:%H:%M:%S}",
        "weekday": f"{moment:%A}",
        "timezone": str(zone or moment.tzname()),
        "iso": moment.isoformat(timespec="seconds"),
    }


def _zone(name: str) -> dt.tzinfo | None:
    """What a name means; None is the local zone."""
    if name.lower() in ("", "local"):
        return None
    if offset := OFFSET.fullmatch(name):
        return _offset(name, offset[1], offset[2] or "0")
    plain = _plain(name)
    zones = {_plain(zone): zone for zone in sorted(available_timezones())}
    cities = {full.rpartition("/")[2]: zone for full, zone in zones.items() if "/" in full}
    names = {**cities, **ABBREVIATIONS, **zones}
    if plain in names:
        return ZoneInfo(names[plain])
    near = closest(plain, names)
    told = f"did you mean {names[near]!r}?" if near else "write a zone such as 'Europe/Berlin'"
    raise ToolRetry(f"there is no timezone {name!r}; {told}")


def _offset(name: str, hours: str, minutes: str) -> dt.timezone:
    sign = -1 if hours.startswith("-") else 1
    distance = dt.timedelta(hours=int(hours), minutes=sign * int(minutes))
    if int(minutes) > 59 or abs(distance) > dt.timedelta(hours=FURTHEST):
        raise ToolRetry(f"no place is at {name!r}: offsets go from UTC-12 to UTC+{FURTHEST}")
    return dt.timezone(distance)


def _plain(name: str) -> str:
    return name.lower().replace("_", " ")
