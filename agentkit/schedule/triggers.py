"""Times: a value that tells the first due time after a moment.

What a cron says is a time on the wall, and APScheduler knows the days of it.  From the wall to a
moment it goes here: a time that does not exist, because clocks are put forward, is due once, at the
next moment that does; one that exists twice is due once, the first time.  Where the hour is `*` no
time on the wall is meant, but every hour there is, and both are due.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Protocol
from zoneinfo import ZoneInfo, available_timezones

from agentkit.durations import shown
from agentkit.errors import did_you_mean
from agentkit.values import dataclass

FIELDS = ("minute", "hour", "day", "month", "day_of_week")
"""Of a cron, as APScheduler calls them."""

SAID = {
    "minute": "a minute: 0 to 59",
    "hour": "an hour: 0 to 23",
    "day": "a day of the month: 1 to 31, or last",
    "month": "a month: 1 to 12, or jan to dec",
    "day_of_week": "a day of the week: 0 to 7 (0 and 7 are Sunday), or mon to sun",
}

SHORT = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)


class Times(Protocol):
    """Due times, without an end or with one."""

    @property
    def key(self) -> str:
        """What it is called on record: the same for what means the same."""

    def next(self, after: datetime) -> datetime | None:
        """The first due time after a moment, in UTC; None: there is none any more."""


@dataclass(frozen=True, slots=True)
class Every:
    """Spaced by elapsed time, whatever clocks on walls do: multiples of it since 1970 in UTC.

    So two schedulers agree without a word, and a restart changes nothing.
    """

    seconds: float

    @property
    def key(self) -> str:
        """See `Times.key`."""
        return f"every {shown(self.seconds)}"

    def next(self, after: datetime) -> datetime:
        """See `Times.next`."""
        count = after.timestamp() // self.seconds + 1
        return datetime.fromtimestamp(count * self.seconds, UTC)


@dataclass(frozen=True, slots=True)
class At:
    """Once."""

    moment: datetime

    @property
    def key(self) -> str:
        """See `Times.key`."""
        return f"at {self.moment.isoformat()}"

    def next(self, after: datetime) -> datetime | None:
        """See `Times.next`."""
        return self.moment if self.moment > after else None


@dataclass(frozen=True)
class Cron:
    """Times on the wall of a place: minute, hour, day, month, day of the week.

    Where both kinds of day are given, either one is enough, as in every crontab.  Raises
    `ValueError` with a sentence for what is no cron.
    """

    text: str
    zone: ZoneInfo
    _last: ClassVar[tuple[datetime | None, datetime | None]] = (None, None)
    """The last question with its answer: at midnight, thousands that say the same ask the same."""

    def __post_init__(self) -> None:
        """Raise now, and not when it is first due."""
        _ = self._table, self._days

    @property
    def key(self) -> str:
        """See `Times.key`."""
        return f"cron {' '.join(_fields(self.text))} {self.zone.key}"

    def next(self, after: datetime) -> datetime | None:
        """See `Times.next`."""
        asked, due = self._last
        if asked != after:
            due = self._next(after)
            self.__dict__["_last"] = (after, due)  # as cached properties do
        return due

    def _next(self, after: datetime) -> datetime | None:
        if self._every_hour:
            return self._of_every_hour(after)
        wall = _wall(after, self.zone)
        while (found := self._on_the_wall(wall)) is not None:
            due = moment(found, self.zone)
            if due > after:
                return due
            wall = found
        return None

    def _of_every_hour(self, after: datetime) -> datetime | None:
        """As if clocks were never changed; where they are, it goes on from there."""
        here = after.astimezone(self.zone)
        found = self._on_the_wall(here.replace(tzinfo=None))
        if found is None:
            return None
        if found - here.replace(tzinfo=None) > DAY:  # between now and then nothing is due
            return self._of_every_hour(moment(found - DAY, self.zone))
        offset = here.utcoffset() or timedelta()
        due = (found - offset).replace(tzinfo=UTC)
        if due.astimezone(self.zone).utcoffset() == offset:
            return due
        changed = _change(self.zone, after, due).astimezone(self.zone)
        found = self._on_the_wall(changed.replace(tzinfo=None) - INSTANT)
        return None if found is None else moment(found, self.zone, fold=changed.fold)

    def _on_the_wall(self, after: datetime) -> datetime | None:
        """The first time after one, by a clock that is never changed."""
        today = after.date()
        if _day(self._days, today) == today:
            minute = after.hour * 60 + after.minute
            index = bisect_right(self._table, minute)
            if index < len(self._table):
                return _at(today, self._table[index])
        following = _day(self._days, today + timedelta(days=1))
        return None if following is None else _at(following, self._table[0])

    @cached_property
    def _table(self) -> tuple[int, ...]:
        """The minutes of a day."""
        minute, hour, *_ = _fields(self.text)
        minutes, hours = _values("minute", minute, 60), _values("hour", hour, 24)
        return tuple(one * 60 + other for one in hours for other in minutes)

    @cached_property
    def _every_hour(self) -> bool:
        return len({minute // 60 for minute in self._table}) == 24

    @cached_property
    def _days(self) -> tuple[tuple[str, str, str], ...]:
        """Day, month and day of the week, of one kind of day or of either."""
        _, _, day, month, weekday = _fields(self.text)
        weekdays = _weekdays(weekday)
        for name, text in (("day", day), ("month", month)):
            _trigger(**{name: text})
        if not day.startswith("*") and not weekday.startswith("*"):
            return ((day, month, "*"), ("*", month, weekdays))
        return ((day, month, weekdays),)


@lru_cache(maxsize=10_000)
def cron(text: str, place: ZoneInfo) -> Cron:
    """One for all that say the same: to read it takes longer than to use it."""
    return Cron(text, place)


def never(times: Times, now: datetime) -> bool:
    """Whether nothing is ever due, such as on February 30th."""
    return times.next(now) is None


def zone(name: str) -> ZoneInfo:
    """A time zone by its name.  Raises `ValueError` with a sentence."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # a folder, a path, nothing
        known = available_timezones()
    last = {one.rpartition("/")[2].lower(): one for one in known}
    place = last.get(name.lower().replace(" ", "_"))
    near = f' did you mean "{place}"?' if place else did_you_mean(name, known)
    raise ValueError(f'there is no time zone "{name}".{near}')


def local_zone() -> ZoneInfo:
    """That of this machine; UTC where it has none with a name."""
    import tzlocal

    found: tzinfo = tzlocal.get_localzone()
    return found if isinstance(found, ZoneInfo) and found.key else ZoneInfo("UTC")


def at(text: str, place: ZoneInfo) -> At:
    """`2026-12-24 18:00`, on the wall of a place unless it says how far from UTC.

    Raises `ValueError` with a sentence.
    """
    try:
        said = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f'"{text}" is no date with a time, such as "2026-12-24 18:00"') from None
    if len(text.strip()) <= len("2026-12-24"):
        raise ValueError(f'"{text}" has no time of day, such as "{text.strip()} 18:00"')
    return At(said.astimezone(UTC) if said.tzinfo is not None else moment(said, place))


@lru_cache(maxsize=1024)
def _wall(after: datetime, place: tzinfo) -> datetime:
    """What clocks show at a moment; midnight is the same for a thousand schedules."""
    return after.astimezone(place).replace(tzinfo=None, fold=0)


@lru_cache(maxsize=1024)
def moment(wall: datetime, place: tzinfo, fold: int = 0) -> datetime:
    """What a time on the wall is in UTC; one that does not exist is the next moment that does."""
    first, second = (place.utcoffset(wall.replace(fold=one)) or timedelta() for one in (0, 1))
    if first >= second:  # it exists, once or twice
        return (wall - (second if fold else first)).replace(tzinfo=UTC, fold=0)
    early, late = (wall - second).replace(tzinfo=UTC), (wall - first).replace(tzinfo=UTC)
    return _change(place, early, late)


def _change(place: tzinfo, before: datetime, after: datetime) -> datetime:
    """The second at which clocks are changed between two moments."""
    low, high = int(before.timestamp()), int(after.timestamp())
    offset = datetime.fromtimestamp(low, UTC).astimezone(place).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, UTC).astimezone(place).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)


# -- what a cron says ------------------------------------------------------------------------------


def _fields(text: str) -> list[str]:
    words = SHORT.get(text.strip().lower(), text).lower().split()
    if len(words) != len(FIELDS):
        what = "minute, hour, day, month, day of the week"
        raise ValueError(f'"{text}" has {len(words)} fields, and a cron has 5: {what}')
    return words


@lru_cache(maxsize=1024)
def _trigger(**fields: str) -> Any:
    """One of APScheduler's, on a wall without changes of the clock; shared, since it is a value."""
    from apscheduler.triggers.cron import CronTrigger

    try:
        return CronTrigger(**fields, timezone=UTC)
    except ValueError:
        name, text = next(iter(fields.items()))
        raise ValueError(f'"{text}" is not {SAID[name]}; lists, 1-5 and */2 are') from None


@lru_cache(maxsize=1024)
def _values(name: str, text: str, count: int) -> list[int]:
    """The values that a field of hours or minutes means."""
    field = next(one for one in _trigger(**{name: text}).fields if one.name == name)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return [
        value for value in range(count)
        if field.get_next_value(start.replace(**{name: value})) == value  # type: ignore[arg-type]  # hour or minute
    ]  # fmt: skip


def _weekdays(text: str) -> str:
    """Days of the week by name: by number, APScheduler begins with Monday and crontabs do not."""
    if text == "*":
        return text
    found: set[int] = set()
    for part in text.split(","):
        matched = re.fullmatch(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?", part)
        if matched is None:
            raise ValueError(f'"{text}" is not {SAID["day_of_week"]}; lists, 1-5 and */2 are')
        star, first, last, step = matched.groups()
        low = 0 if star else _weekday(first)
        high = 6 if star else (low if last is None else _weekday(last))
        if last is None and step and not star:
            high = 6
        if last is not None and low > high and high == 0:
            high = 7  # `fri-sun`
        if low > high:
            raise ValueError(f'"{part}" ends before it begins: write it as two')
        if step == "0":
            raise ValueError(f'"{part}" makes no steps')
        found |= {number % 7 for number in range(low, high + 1, int(step or 1))}
    return ",".join(DAYS[number] for number in sorted(found))


def _weekday(text: str) -> int:
    if text in DAYS:
        return DAYS.index(text)
    if text.isdecimal() and int(text) <= 7:
        return int(text)
    raise ValueError(f'"{text}" is not {SAID["day_of_week"]}; lists, 1-5 and */2 are')


@lru_cache(maxsize=4096)
def _day(days: tuple[tuple[str, str, str], ...], first: date) -> date | None:
    """The first day from one on; shared by all crons of the same days."""
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    found = []
    for day, month, weekday in days:
        trigger = _calendar(day, month, weekday)
        following = None if trigger is None else trigger.get_next_fire_time(None, start)
        if following is not None:
            found.append(following.date())
    return min(found, default=None)


@lru_cache(maxsize=1024)
def _calendar(day: str, month: str, weekday: str) -> Any:
    """None for days that no calendar has: to find that out takes until the year 9999."""
    if _in_no_calendar(day, month):
        return None
    return _trigger(day=day, month=month, day_of_week=weekday, hour="0", minute="0")


def _in_no_calendar(day: str, month: str) -> bool:
    if day.startswith("*") or "last" in day:
        return False
    days = _trigger(day=day)
    return not any(
        days.fields[2].get_next_value(datetime(2024, one, 1, tzinfo=UTC)) is not None
        for one in range(1, 13)
        if _trigger(month=month).fields[1].get_next_value(datetime(2024, one, 1, tzinfo=UTC)) == one
    )


def _at(day: date, minute: int) -> datetime:
    return datetime(day.year, day.month, day.day, minute // 60, minute % 60)
