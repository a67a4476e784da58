"""What is due: schedules, how far each has been looked at, and now; decisions come out.

Pure.  That a due time is started once is not its business: it may decide the same again after a
crash or a clock that was put back, and the record of fires refuses what is there already.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Literal, NamedTuple

from agentkit.durations import shown
from agentkit.schedule.triggers import Times

Catchup = Literal["none", "last", "all"]

GRACE = timedelta(seconds=60)
"""What is decided no later than this after its time was not missed, but late."""

DUE = "it was due"

MOST = 1000
"""Due times of one trigger that are looked at at once: after a year off, nobody wants all."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A trigger of a workflow that has times.

    `apart` tells triggers of one workflow apart that give their runs different things: only then
    does it start twice where two are due at the same time.
    """

    workflow: str
    times: Times
    catchup: Catchup = "none"
    window: float | None = None
    jitter: float = 0.0
    apart: str = ""

    def occurrence(self, due: datetime) -> str:
        """What a due time is called on record: it is there once."""
        return f"time {due.isoformat()} {self.apart}".rstrip()

    def wakes(self, due: datetime) -> datetime:
        """When a due time is acted upon: with jitter, later by what is always the same."""
        if not self.jitter:
            return due
        part = int(digest(f"{self.workflow} {self.times.key} {due.isoformat()}"), 16) / 16**16
        return due + timedelta(seconds=self.jitter * part)


class Standing(NamedTuple):
    """An entry, up to which moment it was looked at, when it is due next, and acted upon.

    A tuple, like the decision: at midnight thousands are made at once.
    """

    entry: Entry
    seen: datetime
    due: datetime | None
    wakes: datetime | None
    paused: bool = False

    @classmethod
    def of(cls, entry: Entry, seen: datetime, *, paused: bool = False) -> Standing:
        """That of an entry that was looked at up to a moment."""
        due = entry.times.next(seen)
        return cls(entry, seen, due, None if due is None else entry.wakes(due), paused)


class Decision(NamedTuple):
    """What becomes of a due time; for `missed`, of `many` of them, of which it is the last."""

    entry: Entry
    verdict: Literal["fire", "missed"]
    due: datetime
    reason: str
    many: int = 1


def plan(standing: Iterable[Standing], now: datetime) -> tuple[list[Decision], list[Standing]]:
    """Decisions in order of their times, and how all stand after them."""
    decisions: list[Decision] = []
    after: list[Standing] = []
    for one in standing:
        if one.seen > now:  # the clock was put back
            after.append(Standing.of(one.entry, now, paused=one.paused))
        elif one.wakes is None or one.due is None or one.wakes > now:
            after.append(one)
        else:
            later = Standing.of(one.entry, one.due, paused=one.paused)
            if (later.wakes is None or later.wakes > now) and now - one.wakes <= GRACE:
                if not one.paused:
                    decisions.append(Decision(one.entry, "fire", one.due, DUE))
            else:
                made, later = _decide(one, now)
                decisions += made
            after.append(later)
    decisions.sort(key=attrgetter("due"))
    return decisions, after


def _decide(one: Standing, now: datetime) -> tuple[list[Decision], Standing]:
    """What becomes of several due times, or of one that nobody looked at in time."""
    entry = one.entry
    dues, more, following = _dues(entry, one.due, now)
    if one.paused:
        return [], _after(one, dues[-1], following)
    fresh = [due for due in dues if now - entry.wakes(due) <= GRACE]
    old = dues[: len(dues) - len(fresh)]
    window = timedelta.max if entry.window is None else timedelta(seconds=entry.window)
    caught = [due for due in old if now - due <= window]
    if entry.catchup == "none" or (entry.catchup == "last" and fresh):
        caught = []
    elif entry.catchup == "last":
        caught = caught[-1:]
    made = [Decision(entry, "fire", due, _caught(entry, due, now)) for due in caught]
    made += [Decision(entry, "fire", due, DUE) for due in fresh]
    kept = set(caught)
    if missed := [due for due in old if due not in kept]:
        reason = _missed(entry, missed, more)
        made.append(Decision(entry, "missed", missed[-1], reason, len(missed)))
    return made, _after(one, dues[-1], following)


def _after(one: Standing, seen: datetime, following: datetime | None) -> Standing:
    wakes = None if following is None else one.entry.wakes(following)
    return Standing(one.entry, seen, following, wakes, one.paused)


def _dues(
    entry: Entry, due: datetime | None, now: datetime
) -> tuple[list[datetime], bool, datetime | None]:
    """The due times from one on that are to be acted upon by now, whether there were more before
    them, and the next one.
    """
    more = False
    while True:
        found: list[datetime] = []
        while due is not None and entry.wakes(due) <= now and len(found) <= MOST:
            found.append(due)
            due = entry.times.next(due)
        if len(found) <= MOST:
            return found, more, due
        due, more = entry.times.next(_newest(entry, now)), True


def _newest(entry: Entry, now: datetime) -> datetime:
    """A moment after which at most `MOST` times were due, and about half as many at least."""
    back = timedelta(seconds=1)
    while True:
        earlier = now - 2 * back
        count = sum(1 for _ in islice(_between(entry, earlier, now), MOST + 1))
        if count > MOST:
            return now - back
        back *= 2


def _between(entry: Entry, after: datetime, until: datetime) -> Iterator[datetime]:
    due = entry.times.next(after)
    while due is not None and due <= until:
        yield due
        due = entry.times.next(due)


def _caught(entry: Entry, due: datetime, now: datetime) -> str:
    late = shown(round((now - due).total_seconds()))
    return f"it was missed {late} before, and catchup is {entry.catchup}"


def _missed(entry: Entry, missed: list[datetime], more: bool) -> str:
    count = f"more than {len(missed)} times" if more else "once"
    if not more and len(missed) > 1:
        count = f"{len(missed)} times from {missed[0].isoformat()} on"
    why = f"catchup is {entry.catchup}"
    if entry.catchup != "none" and entry.window is not None:
        why += f" within {shown(entry.window)}"
    return f"it was due {count} while nothing looked after it, and {why}"


# -- what will be due ------------------------------------------------------------------------------


def coming(entries: Iterable[Entry], after: datetime) -> Iterator[tuple[datetime, Entry]]:
    """All due times to come, in order."""

    def of(entry: Entry) -> Iterator[tuple[datetime, Entry]]:
        due = entry.times.next(after)
        while due is not None:
            yield due, entry
            due = entry.times.next(due)

    return merge(*(of(entry) for entry in entries), key=lambda one: one[0])


def digest(text: str) -> str:
    """A few letters that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
