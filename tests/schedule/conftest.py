"""A home with workflows, schedulers of it with a clock that stands, and runs that do nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agentkit import events as ev
from agentkit.messages import Usage
from agentkit.records import Fire
from agentkit.runtime import Runtime, Scheduling, Timetable
from agentkit.runtime.scheduled import GONE
from agentkit.testing import FrozenClock
from agentkit.workflow.inputs import bind
from agentkit.workflow.load import LoadedWorkflow

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
"""A Saturday."""


@dataclass
class House:
    """One home; each `scheduling` is like a process of its own.

    What is started is on record as begun and ended, and listed; `busy` and `ends` change that.
    """

    home: Path
    clock: FrozenClock
    stack: ExitStack
    started: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    refuse: Callable[[], None] = field(default=lambda: None)
    ends: ev.RunStatus = "succeeded"

    def write(self, name: str, triggers: str, rest: str = "") -> Path:
        """A workflow of that name."""
        path = self.home / "workflows" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        steps = "steps: [{id: a, uses: now}]"
        path.write_text(f"name: {name}\ntriggers:\n{triggers}\n{rest}\n{steps}\n")
        return path

    def scheduling(self) -> Scheduling:
        """A scheduler of its own."""
        runtime = self.stack.enter_context(Runtime())
        return Scheduling(runtime, lambda *run, **how: self.start(runtime, *run, **how), self.clock)

    def timetable(self, scheduling: Scheduling | None = None) -> Timetable:
        """The schedule as a person sees it; without a scheduler, from another process."""
        return Timetable(self.stack.enter_context(Runtime()), scheduling, self.clock)

    def start(
        self,
        runtime: Runtime,
        workflow: LoadedWorkflow,
        given: Mapping[str, Any],
        run: str,
        **how: str,
    ) -> None:
        """Begin a run, and end it."""
        self.refuse()
        assert how == {"profile": "unattended"}
        inputs = bind(workflow.spec, given)
        self.started.append((workflow.spec.name, inputs))
        now, name = self.clock.now(), workflow.spec.name
        started = ev.RunStarted(
            run=run, time=now, workflow=name, source="", definition="", inputs=inputs
        )
        ended = ev.RunFinished(
            run=run, time=now, status=self.ends, outputs={}, seconds=0.0, usage=Usage()
        )
        runtime.journal.record_all([started, ended])

    def look(self, scheduling: Scheduling, **time: float) -> list[str]:
        """Look, after some time; the workflows that were started."""
        before = len(self.started)
        self.clock.advance(**time)
        scheduling.look()
        return [name for name, _ in self.started[before:]]

    def edited(self, scheduling: Scheduling) -> None:
        """Two looks, after which every change of a file is known."""
        scheduling.changed()
        scheduling.look()
        self.clock.advance(seconds=GONE)
        scheduling.changed()
        scheduling.look()

    def fires(self, name: str) -> list[Fire]:
        """What is on record of a workflow."""
        with Runtime() as runtime:
            return runtime.journal.fires.recent(name, 5000)


@pytest.fixture
def house(isolated_home: Path) -> Iterator[House]:
    with ExitStack() as stack:
        yield House(isolated_home, FrozenClock(NOON), stack)
