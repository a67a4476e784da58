"""Which step waits for which, and which do not: pure functions of what a list of steps says.

Where no step says `needs`, each waits for the one above it.  Where any does, all do: a step without
it waits for nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import Protocol

Needs = Mapping[str, tuple[str, ...]]
"""By step, what it waits for; in the order of the file."""


def order(steps: Sequence[tuple[str, Sequence[str] | None]]) -> Needs:
    """What each step of a list waits for; names that are no step of the list are left out."""
    names = [name for name, _ in steps]
    if is_graph(steps):
        known = set(names)
        return {
            name: tuple(dict.fromkeys(one for one in said or () if one in known))
            for name, said in steps
        }
    return {name: tuple(names[max(0, at - 1) : at]) for at, name in enumerate(names)}


def is_graph(steps: Sequence[tuple[str, Sequence[str] | None]]) -> bool:
    """Whether any step says what it waits for."""
    return any(said is not None for _, said in steps)


def before(needs: Needs, name: str) -> set[str]:
    """All steps that are done when this one begins."""
    found: set[str] = set()
    left = list(needs[name])
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += needs[one]
    return found


def cycle(needs: Needs) -> tuple[str, ...]:
    """Steps that wait for each other, in a ring, the first one again at the end; or nothing."""
    done: set[str] = set()
    for start in needs:
        way: list[str] = []
        found = _ring(needs, start, way, done)
        if found:
            return found
    return ()


def _ring(needs: Needs, start: str, way: list[str], done: set[str]) -> tuple[str, ...]:
    """Depth first, without recursion: a chain may be longer than Python's stack."""
    stack = [(start, iter(needs[start]))]
    way.append(start)
    while stack:
        name, rest = stack[-1]
        following = next(rest, None)
        if following is None:
            stack.pop()
            way.pop()
            done.add(name)
        elif following in way:
            return (*way[way.index(following) :], following)
        elif following not in done:
            way.append(following)
            stack.append((following, iter(needs[following])))
    return ()


class Loop(Protocol):
    """What this module needs to know of a `foreach`."""

    @property
    def max_parallel(self) -> int:
        """How many items are worked on at the same time."""


class Listed(Protocol):
    """What this module needs to know of a step."""

    @property
    def id(self) -> str:
        """Its name."""

    @property
    def needs(self) -> Sequence[str] | None:
        """What it says that it waits for."""

    @property
    def foreach(self) -> Loop | None:
        """Its loop."""

    @property
    def steps(self) -> Sequence[Listed] | None:
        """Those of a group."""


def following(steps: Sequence[Listed], name: str) -> list[str]:
    """A step, all that come after it, and the groups that they are in; empty: there is none."""
    needs = order([(step.id, step.needs) for step in steps])
    inner = {step.id: following(step.steps or (), name) for step in steps}
    begun = next((step.id for step in steps if step.id == name or inner[step.id]), None)
    if begun is None:
        return []
    found = [begun] if begun != name else []
    found += inner[begun] if begun != name else _whole(steps, begun)
    for step in steps:
        if begun in before(needs, step.id):
            found += _whole(steps, step.id)
    return found


def _whole(steps: Sequence[Listed], name: str) -> list[str]:
    """A step of a list, and all that are in its group."""
    return _all_in(next(one for one in steps if one.id == name))


def _all_in(step: Listed) -> list[str]:
    return [step.id, *(found for one in step.steps or () for found in _all_in(one))]


def side_by_side(steps: Sequence[Listed], programs: Collection[str]) -> set[str]:
    """The programs, at any depth, that may be at work beside another one, or for several items."""
    needs = order([(step.id, step.needs) for step in steps])
    inside = {step.id: {one for one in _all_in(step) if one in programs} for step in steps}
    earlier = {name: before(needs, name) for name, inner in inside.items() if inner}
    found: set[str] = set()
    for step in steps:
        several = step.foreach is not None and step.foreach.max_parallel > 1
        found |= inside[step.id] if several else side_by_side(step.steps or (), programs)
    for one, other in combinations(earlier, 2):
        if one not in earlier[other] and other not in earlier[one]:
            found |= inside[one] | inside[other]
    return found
