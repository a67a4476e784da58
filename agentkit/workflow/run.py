"""One run of a workflow, from its beginning to its one recorded outcome.

steps        until the first failure; then on_failure
finally      whatever came of it
outputs      of a run that succeeded
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentkit import events as ev
from agentkit.cancel import CancelToken, Deadline
from agentkit.durations import shown
from agentkit.errors import (
    AgentkitError,
    Cancelled,
    Interrupted,
    MachineError,
    Parked,
    Skipped,
    StepFailed,
    TimedOut,
    UserError,
)
from agentkit.records import Past, Settled
from agentkit.toolbox.caller import Caller
from agentkit.workflow.acts import Acts
from agentkit.workflow.beside import Beside
from agentkit.workflow.expressions import is_expression
from agentkit.workflow.frame import BadExpression, Frame
from agentkit.workflow.load import LoadedWorkflow
from agentkit.workflow.report import Publish
from agentkit.workflow.steps.scope import Services
from agentkit.workflow.walk import Walk

if TYPE_CHECKING:
    from agentkit.agent.run import Part

NOT_REACHED = Settled("skipped", None, "it was not reached")


@dataclass
class WorkflowRun:
    """One run.  `publish` is called for each event, one at a time, before the run goes on.

    `past` is what an earlier part of the same run left; None: the run begins.
    """

    workflow: LoadedWorkflow
    inputs: Mapping[str, Any]
    id: str
    folder: Path
    services: Services
    caller: Caller
    publish: Publish
    cancel: CancelToken
    past: Past | None = None
    without: frozenset[Part] = frozenset()
    parent: str = ""
    secrets: Mapping[str, str] | None = None
    admission: AbstractContextManager[None] = field(default_factory=nullcontext)
    """Entered when the run is on record: it may wait there for others, or not happen."""
    edited: bool = False
    """It goes on with another definition than the one that it began with."""
    terms: Mapping[str, Any] | None = None
    """On whose behalf it is done: see `events.RunStarted`."""
    again: Mapping[str, str] | None = None
    """Why a person who retries it has steps done again."""

    def execute(self) -> dict[str, Any]:
        """Run to the end and return the workflow's outputs.

        Raises `StepFailed` with the place in the file, `TimedOut`, `Parked` when the run waits for
        a person or the service, `Skipped` or `Cancelled`; the outcome is published in every case,
        also when the run dies of a bug.
        """
        began, one_at_a_time = time.perf_counter(), threading.Lock()

        def publish(event: ev.Event, more: bool = False) -> None:
            with one_at_a_time:
                self.publish(event, more)

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise MachineError(f"{self.folder} cannot be made: {fault.strerror}") from None
        publish(self._beginning())
        beside = Beside.of(self.workflow, self.folder, self.services.elsewhere)
        acts = Acts(self.workflow, self.services, self.caller, beside, self.without)
        walk = Walk(acts, self.id, self.folder, publish, self.past or Past())
        status: ev.RunStatus = "failed"
        outputs: dict[str, Any] = {}
        error = ""
        try:
            with self.admission:
                outputs = self._all(walk, publish)
            status = "succeeded"
        except (Cancelled, KeyboardInterrupt) as stop:
            status, error = "cancelled", str(stop) or "interrupted"
            if self.cancel.parks:
                status = "parked"
                raise Interrupted(self.id, error) from None
            raise
        except Skipped as why:
            status, error = "skipped", str(why)
            raise
        except Parked as need:
            status, error = "parked", str(need)
            raise
        except AgentkitError as fault:
            error = str(fault)
            raise
        except BaseException as bug:
            error = f"{type(bug).__name__}: {bug}"
            raise
        finally:
            publish(
                ev.RunFinished(
                    run=self.id,
                    status=status,
                    outputs=outputs,
                    seconds=time.perf_counter() - began,
                    usage=walk.usage,
                    error=error,
                )
            )
        return outputs

    def _beginning(self) -> ev.Event:
        if self.past is not None:
            again, kept = self.again or {}, tuple[str, ...]()
            if self.again is not None:
                ids = [step.id for step in self.workflow.spec.every_step()]
                done = {step for step, _ in self.past.settled}
                kept = tuple(one for one in ids if one in done and one not in again)
            text, files = (
                (self.workflow.document.text, self.workflow.files) if self.edited else ("", {})
            )
            return ev.RunResumed(run=self.id, definition=text, files=files, again=again, kept=kept)
        spec = self.workflow.spec
        return ev.RunStarted(
            run=self.id,
            parent=self.parent,
            workflow=spec.name,
            source=str(self.workflow.path),
            definition=self.workflow.document.text,
            files=self.workflow.files,
            terms=self.terms or {},
            inputs=self.inputs,
        )

    def _all(self, walk: Walk, publish: Publish) -> dict[str, Any]:
        """Steps, what follows a failure, what always follows, outputs."""
        spec = self.workflow.spec
        frame = Frame(
            self.cancel, self._facts(), secrets=self.secrets or {}, beginning=self._beginning_of
        )
        reached: dict[str, Settled] = {}
        try:
            self._check_not_ending(reached)
            self._main(walk, frame, reached)
        except Parked:
            raise
        except BaseException as fault:
            if self.cancel.parks:
                raise
            if isinstance(fault, Cancelled | KeyboardInterrupt) and spec.finally_:
                publish(ev.RunEnding(run=self.id, reason=str(fault) or "interrupted"))
            about = _about(fault)
            after = self._after(frame, reached, about)
            try:
                if isinstance(fault, AgentkitError) and not isinstance(fault, Cancelled):
                    walk.block(spec.on_failure, ("on_failure",), after)
            finally:
                self._finally(walk, after)
            raise
        self._finally(walk, self._after(frame, reached, None))
        return self._outputs(replace(frame, steps=reached))

    def _check_not_ending(self, reached: dict[str, Settled]) -> None:
        """A run that was cancelled before its process died goes on with its end."""
        if self.past is not None and self.past.ending is not None:
            reached |= {step: done for (step, key), done in self.past.settled.items() if not key}
            raise Cancelled(self.past.ending)

    def _main(self, walk: Walk, frame: Frame, reached: dict[str, Settled]) -> None:
        spec = self.workflow.spec
        if spec.timeout is None:
            walk.block(spec.steps, ("steps",), frame, reached)
            return
        said = f"the run took longer than {shown(spec.timeout)}"
        deadline = Deadline(self.cancel, spec.timeout, said)
        try:
            walk.block(spec.steps, ("steps",), replace(frame, cancel=deadline), reached)
        except Cancelled:
            if deadline.over:
                where = self.workflow.document.where(("timeout",))
                raise TimedOut(f"{where}: {said}", hint="raise its timeout") from None
            raise

    def _after(
        self, frame: Frame, reached: Mapping[str, Settled], about: Mapping[str, str] | None
    ) -> Frame:
        """What the steps after the end can read: also of steps that were not reached."""
        steps = {step.id: reached.get(step.id, NOT_REACHED) for step in self.workflow.spec.steps}
        return replace(frame, facts={**frame.facts, "error": about}, steps=steps)

    def _finally(self, walk: Walk, frame: Frame) -> None:
        """Also after a cancel, which it does not hear."""
        if self.workflow.spec.finally_:
            unheard = replace(frame, cancel=CancelToken())
            walk.block(self.workflow.spec.finally_, ("finally",), unheard)

    def _facts(self) -> Mapping[str, Any]:
        return {
            "inputs": dict(self.inputs),
            "run": {
                "id": self.id,
                "date": self._date().isoformat(),
                "folder": str(self.folder),
            },
        }

    def _beginning_of(self, text: str, tokens: int, model: str | None) -> str:
        shared = self.workflow.spec.defaults.prompt.model
        named = model or (None if is_expression(shared) else shared)
        return self.services.beginning(text, tokens, named)

    def _date(self) -> date:
        """The day on which it began: what it asks and calls stays the same when it goes on."""
        began = None if self.past is None else self.past.began
        return date.today() if began is None else began.astimezone().date()

    def _outputs(self, frame: Frame) -> dict[str, Any]:
        outputs = {}
        for name, output in self.workflow.spec.outputs.items():
            try:
                outputs[name] = frame.render(output.value, ("outputs", name))
            except BadExpression as error:
                where = self.workflow.document.where(error.path)
                raise UserError(f"{where}: output {name!r}: {error}") from None
        return outputs


def _about(fault: BaseException) -> Mapping[str, str]:
    """What the steps after a failure can read of it."""
    if isinstance(fault, StepFailed):
        return {"step": fault.step, "message": str(fault.cause)}
    return {"step": "", "message": str(fault) or type(fault).__name__}
