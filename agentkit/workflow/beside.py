"""What of one run may be at work at the same time: each in a copy of the run's folder.

That is scripts, tools that run programs, and what another machine does, which has a copy in any
case (docs/decisions/0016-scripts-side-by-side.md).  Programs that none of these can be beside work
in the folder itself.
"""

from __future__ import annotations

import threading
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from agentkit.cancel import CancelToken
from agentkit.errors import ToolError
from agentkit.jobs import Apart, Job, JobResult
from agentkit.ports import Sandbox
from agentkit.toolbox import programs
from agentkit.toolbox.caller import Lend
from agentkit.workflow.load import LoadedWorkflow
from agentkit.workflow.plan import side_by_side
from agentkit.workflow.report import StepReport
from agentkit.workflow.spec import Step

SHOWN = 5
"""Paths of a conflict that are named."""

NOT_KEPT = "what it made was not kept: {}"
"""Said of what failed anyway."""


def place(folder: Path) -> Path:
    """Where the copies of a run's folder lie: beside it, under a name that no run can have."""
    return folder.with_name(f"{folder.name}.~copies")


@dataclass
class Beside:
    """Those of one run: `steps` that may be beside others, and who changed what so far."""

    steps: frozenset[str]
    place: Path
    _changed: dict[str, str] = field(default_factory=dict)
    _told: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def of(cls, workflow: LoadedWorkflow, folder: Path, elsewhere: Container[str] = ()) -> Beside:
        """Those of a workflow whose run has a folder; queues `elsewhere` are of other machines."""
        spec, tools = workflow.spec, workflow.tools
        found = {
            step.id
            for step in spec.every_step()
            if step.run
            or ((tool := tools.get(step.uses or "")) and "executes" in tool.effects)
            or (tool and step.queue is not None and step.queue in elsewhere)
        }
        lists = (spec.steps, spec.on_failure, spec.finally_)
        several = set[str]().union(*(side_by_side(steps, found) for steps in lists))
        return cls(frozenset(several), place(folder))

    def lend(self, step: Step, report: StepReport) -> Lend | None:
        """How the sandbox is lent to a step; None: as always."""
        if step.id not in self.steps:
            return None
        apart = self.apart(step, report)
        return lambda sandbox: _Lent(sandbox, apart, report, self._told)

    def apart(self, step: Step, report: StepReport) -> Apart:
        """How a step works beside others."""
        name = f"{step.id}[{report.key}]" if report.key else step.id
        return Apart(self.place, name, self._changed)


@dataclass(frozen=True)
class _Lent:
    """`ports.Sandbox` for one step.  `told`: it is said already that there are no copies."""

    sandbox: Sandbox
    apart: Apart
    report: StepReport
    told: threading.Event

    def run(self, job: Job, cancel: CancelToken | None = None) -> JobResult:
        """See `Sandbox.run`.  Raises `ToolError` where two changed the same."""
        result = self.sandbox.run(replace(job, apart=self.apart), cancel)
        if result.alone and not self.told.is_set():
            self.told.set()
            self.report.warned(
                "scripts of this run work one after the other in its folder, not each in a copy: "
                f"{result.alone}"
            )
        if result.conflicts:
            clash = conflict(self.apart.name, result.conflicts)
            if not programs.failed(result):
                raise clash
            self.report.warned(NOT_KEPT.format(clash))
        return result


def conflict(own: str, conflicts: Mapping[str, str]) -> ToolError:
    """What a step, or an item of one, changed and something else did, too."""
    step, other = _step(own), next((name for name in conflicts.values() if name), "")
    paths = ", ".join([*conflicts][:SHOWN]) + (", ..." if len(conflicts) > SHOWN else "")
    if _step(other) == step:
        way = "give each item a file of its own, named by the item, or set max_parallel: 1"
    elif other:
        way = f"give each a file of its own, or let {step} need {_step(other)}"
    else:
        way = f"give {step} a file of its own, or let it need what changes that one"
    by = f"steps {other} and {own} both" if other else f"{own} and something beside it in the run"
    return ToolError(f"{by} changed {paths}", hint=way)


def _step(name: str) -> str:
    return name.partition("[")[0]
