"""What a run does again when a person retries it, and why; everything else stays as it is.

A pure function of two texts of a workflow (the one that the run has, and the one that it goes on
with) and of what is finished.  A step is done again if it failed, if what it says changed, or if it
depends on one that is done again: it reads its outputs, names it in `needs`, or may read files that
it makes.  Of a loop whose list changed, items with a `key` stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentkit.records import Settled
from agentkit.toolbox import Tool
from agentkit.workflow.expressions import CLOSE, OPEN, is_expression, references
from agentkit.workflow.plan import before, following, order
from agentkit.workflow.spec import Step, Workflow
from agentkit.workflow.spec.steps import WORKFLOW
from agentkit.workflow.spec.workflow import with_inner

UNSAID = {"id", "name", "needs", "retry", "timeout", "queue", "cache", "on_error", "steps",
          "foreach"}  # fmt: skip
"""Keys of a step that do not change what it gives, and those that are looked at apart."""

CHANGES = {"writes", "executes"}
"""Effects of tools that leave files."""

Rows = Mapping[tuple[str, str], Settled]
"""What is finished, by step and key."""


@dataclass(frozen=True, slots=True)
class Again:
    """Why a step is done again, as a sentence without its name.

    `keys` are the items, None for all of them.  `anew`: a run that belongs to it begins anew, too;
    else it goes on.
    """

    why: str
    keys: frozenset[str] | None = None
    anew: bool = True
    shifts: bool = False
    """The items of a loop may be others than they were."""


@dataclass(frozen=True)
class Told:
    """A workflow with the files that its run keeps."""

    spec: Workflow
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Placed:
    """A step, the groups around it from the outermost, and what is done when it begins."""

    step: Step
    around: tuple[Step, ...]
    earlier: frozenset[str]

    @property
    def tolerated(self) -> bool:
        """Whether the run goes on when it fails."""
        return any(
            one.on_error == "continue" or (one.foreach and one.foreach.on_error == "continue")
            for one in (self.step, *self.around)
        )

    def whole(self, rows: Rows) -> frozenset[str]:
        """The keys of a loop itself, without those of its items."""
        depth = sum(one.foreach is not None for one in self.around)
        names = (key for step, key in rows if step == self.step.id)
        return frozenset(key for key in names if (key.count("/") + 1 if key else 0) == depth)


def again(
    old: Told,
    new: Told,
    tools: Mapping[str, Tool],
    rows: Rows,
    *,
    start: str | None = None,
    failed: bool = False,
) -> dict[str, Again]:
    """The steps that are done again or for the first time, in the order of the file.

    `start`: that step and all that follow it; else what failed.  With `failed`, failures count that
    `on_error: continue` let pass.
    """
    steps = list(_placed(new.spec.steps))
    found: dict[str, Again] = {}
    chosen = following(new.spec.steps, start) if start else []
    for one in steps:
        reason = _chosen(one.step.id, start, chosen) or _changed(one, old, new, rows)
        reason = reason or (_failed(one, rows, failed) if start is None else None)
        if reason:
            found[one.step.id] = reason
    spread = _Spread(steps, found, rows, new, tools)
    while spread.round():
        pass
    for step in new.spec.finally_:
        found |= {inner.id: Again("it ends every run") for inner in with_inner(step)}
    ordered = [one.id for one in new.spec.every_step()]
    return {name: found[name] for name in ordered if name in found}


def _placed(
    steps: Sequence[Step], around: tuple[Step, ...] = (), earlier: frozenset[str] = frozenset()
) -> Iterator[_Placed]:
    needs = order([(step.id, step.needs) for step in steps])
    inside = {step.id: {one.id for one in with_inner(step)} for step in steps}
    for step in steps:
        here = earlier.union(*(inside[name] for name in before(needs, step.id)))
        yield _Placed(step, around, here)
        yield from _placed(step.steps or (), (*around, step), here)


# -- by itself -------------------------------------------------------------------------------------


def _chosen(name: str, start: str | None, chosen: Sequence[str]) -> Again | None:
    if name not in chosen:
        return None
    return Again("you asked for it" if name == start else f"it follows {start}")


def _failed(one: _Placed, rows: Rows, all_of_them: bool) -> Again | None:
    name = one.step.id
    keys = frozenset(key for (step, key), row in rows.items()
                     if step == name and row.status == "failed")  # fmt: skip
    if not keys or (one.tolerated and not all_of_them):
        return None
    items = len(keys - one.whole(rows))
    return Again(f"it failed for {items} items" if items > 1 else "it failed", keys, anew=False)


def _changed(one: _Placed, old: Told, new: Told, rows: Rows) -> Again | None:
    step = one.step
    was = next((other for other in old.spec.every_step() if other.id == step.id), None)
    if was is None:
        return Again("it is new")
    known = {name for name, _ in rows}
    if step.id not in known:
        reached = any(outer.id in known for outer in one.around)  # and had nothing to do with it
        return None if reached else Again("it was not finished", anew=False)
    if _said(was) != _said(step):
        return Again("its text changed")
    for what, said in (
        ("the file of its prompt", lambda told: told.files.get(step.prompt and step.prompt.file)),
        ("env of the file", lambda told: step.run and told.spec.env),
        ("defaults of the file", lambda told: _asks(step) and told.spec.defaults.prompt),
    ):
        if said(old) != said(new):
            return Again(f"{what} changed")
    used = WORKFLOW + (step.workflow or "")
    if step.workflow and old.files.get(used) != new.files.get(used):
        return Again(f"the workflow {step.workflow} changed", anew=False)
    if _loop(was) != _loop(step):
        stays = was.foreach and step.foreach and step.foreach.key == was.foreach.key is not None
        return Again(
            "its list of items changed", one.whole(rows) if stays else None, shifts=not stays
        )
    return None


def _said(step: Step) -> Mapping[str, Any]:
    """What counts of a step, but for its loop."""
    return step.model_dump(mode="json", by_alias=True, exclude=UNSAID)


def _loop(step: Step) -> Mapping[str, Any] | None:
    loop = step.foreach
    return None if loop is None else loop.model_dump(exclude={"max_parallel", "on_error"})


def _asks(step: Step) -> bool:
    """Whether it may ask a model."""
    return bool(step.prompt or step.agent or any(check.question for check in step.checks))


# -- because of another ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Spread:
    """Goes through the file until nothing more is found."""

    steps: Sequence[_Placed]
    found: dict[str, Again]
    rows: Rows
    new: Told
    tools: Mapping[str, Tool]

    def round(self) -> bool:
        """Whether anything was added, or has to go further back than it had."""
        before_it = dict(self.found)
        for one in self.steps:
            name, reason = one.step.id, self._because(one)
            if reason and _further(one.step, reason, self.found.get(name)):
                self.found[name] = reason
        return self.found != before_it

    def _because(self, one: _Placed) -> Again | None:
        step, found = one.step, self.found
        read = self._first(one, _reads(_said(step), self.new.files.get(_file(step)), _bare(step)))
        if read:
            return Again(f"it reads {read}, which is done again")
        needed = next((name for name in step.needs or () if name in found), None)
        if needed:
            return Again(f"it needs {needed}, which is done again")
        maker = next((other.step.id for other in self.steps
                      if other.step.id in one.earlier & found.keys() and self._makes(other.step)),
                     None)  # fmt: skip
        if maker and self._takes(step):
            return Again(f"it may read files of {maker}, which is done again")
        for outer in one.around:
            if outer.id in found and found[outer.id].shifts:
                return Again(f"the items of {outer.id} may be others")
        items = self._first(one, _reads(_loop(step))) if step.foreach else None
        if items:
            keyed = step.foreach is not None and step.foreach.key is not None
            keys = one.whole(self.rows) if keyed else None
            return Again(
                f"its items come from {items}, which is done again", keys, shifts=not keyed
            )
        inner = next((inner.id for inner in with_inner(step)[1:] if inner.id in found), None)
        return Again(f"{inner} in it is done again", anew=False) if inner else None

    def _first(self, one: _Placed, names: set[str]) -> str | None:
        """The first step that is done again of those that are read; `*` is any."""
        read = one.earlier if "*" in names else names
        return next((name for name in self.found if name in read and name != one.step.id), None)

    def _makes(self, step: Step) -> bool:
        """Whether it may leave files in the folder of the run."""
        return bool(step.run or step.agent or CHANGES & self._effects(step))

    def _takes(self, step: Step) -> bool:
        """Whether it may read files that no expression names."""
        fixed = any(isinstance(one, str) and not is_expression(one) for one in step.with_.values())
        return bool(step.run or step.agent or (fixed and "reads" in self._effects(step)))

    def _effects(self, step: Step) -> set[str]:
        tool = self.tools.get(step.uses or "")
        return set(tool.effects) if tool else set()


def _further(step: Step, reason: Again, known: Again | None) -> bool:
    """Whether more is done again for a reason than for the one that is known."""
    if known is None:
        return True
    if step.workflow and reason.anew and not known.anew:
        return True  # what the run within has finished, it was given other inputs for
    return known.keys is not None and reason.keys is None


def _file(step: Step) -> str:
    return (step.prompt and step.prompt.file) or ""


def _bare(step: Step) -> list[str]:
    """The expressions of its checks, which are written without braces."""
    said = (*step.checks, *(step.agent.checks if step.agent else ()))
    return [f"{OPEN} {one.expression} {CLOSE}" for one in said if one.expression]


def _reads(*values: Any) -> set[str]:
    """The steps that expressions at any depth read; `*` where that is computed."""
    found: set[str] = set()
    for value in values:
        if isinstance(value, Mapping):
            found |= _reads(*value.values())
        elif isinstance(value, list):
            found |= _reads(*value)
        elif is_expression(value):
            paths = [reference.path for reference in references(value)]
            found |= {path[1] if len(path) > 1 else "*" for path in paths if path[0] == "steps"}
    return found
