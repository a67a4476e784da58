"""The steps of a run, done: lists in their order, loops item by item, groups within groups.

What an earlier part of the same run has finished is found by step and key, and not done again.
"""

from __future__ import annotations

import hashlib
import json
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agentkit.cancel import CancelToken
from agentkit.errors import (
    AgentkitError,
    Cancelled,
    Parked,
    StepFailed,
    UserError,
)
from agentkit.messages import Usage
from agentkit.records import Past, Settled
from agentkit.workflow.acts import Acts
from agentkit.workflow.attempts import attempted, within
from agentkit.workflow.branches import carry_out
from agentkit.workflow.deaths import survived
from agentkit.workflow.expressions import as_text
from agentkit.workflow.frame import BadExpression, Frame
from agentkit.workflow.plan import before, order
from agentkit.workflow.report import Publish, StepReport
from agentkit.workflow.spec import Foreach, Step
from agentkit.workflow.steps.scope import Result
from agentkit.yamlfile import NodePath


@dataclass
class Walk:
    """One run's way through its steps.  `usage` is what models charged on it so far."""

    acts: Acts
    run: str
    folder: Path
    publish: Publish
    past: Past
    usage: Usage = field(default_factory=Usage)
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def block(
        self,
        steps: Sequence[Step],
        path: NodePath,
        frame: Frame,
        settled: dict[str, Settled] | None = None,
    ) -> dict[str, Settled]:
        """A list of steps; `settled` is filled with what has come of each.

        Raises the first failure when all that could be done is done.
        """
        needs = order([(step.id, step.needs) for step in steps])
        places = {step.id: (step, (*path, at)) for at, step in enumerate(steps)}
        settled = {} if settled is None else settled

        def do(name: str) -> None:
            step, where = places[name]
            seen = {one: settled[one] for one in before(needs, name)}
            here = replace(frame, steps={**frame.steps, **seen})
            try:
                settled[name] = self._step(step, where, here)
            except StepFailed as fault:
                settled[name] = Settled("failed", None, str(fault.cause))
                raise

        carry_out(needs, do, frame.cancel)
        return {name: settled[name] for name in needs}

    def _step(self, step: Step, path: NodePath, frame: Frame) -> Settled:
        finished = self._finished(step, frame, step.on_error)
        if finished is not None:
            return finished
        try:
            if step.foreach is not None:
                return self._each(step, step.foreach, path, frame)
            return self._perform(step, path, frame)
        except (Cancelled, Parked):
            raise
        except AgentkitError as fault:
            if step.on_error == "fail":
                raise
            cause = fault.cause if isinstance(fault, StepFailed) else fault
            return Settled("failed", None, str(cause))

    def _finished(self, step: Step, frame: Frame, on_error: str) -> Settled | None:
        """What came of it earlier in this run; a failure counts where the run went on after it."""
        found = self.past.settled.get((step.id, frame.key))
        if found is None or (found.status == "failed" and on_error != "continue"):
            return None
        return found

    # -- loops -----------------------------------------------------------------------------------

    def _each(self, step: Step, loop: Foreach, path: NodePath, frame: Frame) -> Settled:
        """A step once for each item; what failed or was skipped leaves None in its place."""
        whole = self._report(step, frame)
        results: list[Any] = []
        try:
            frames = self._items(loop, (*path, "foreach"), frame)
            whole.counted(len(frames))
            results += [None] * len(frames)
            names = {one.key: at for at, one in enumerate(frames)}

            def do(name: str) -> None:
                results[names[name]] = self._item(step, loop, path, frames[names[name]])

            carry_out(
                dict.fromkeys(names, ()),
                do,
                frame.cancel,
                limit=loop.max_parallel,
                fail_fast=loop.on_error == "fail_fast",
            )
        except BadExpression as fault:
            whole.failed(str(fault))
            raise self._located(step, path, fault) from None
        except BaseException as fault:
            self._tell_end(whole, fault)
            raise
        whole.finished(results)
        return Settled("succeeded", results)

    def _items(self, loop: Foreach, path: NodePath, frame: Frame) -> list[Frame]:
        items = frame.render(loop.items, (*path, "items"))
        if not isinstance(items, list):
            message = f"foreach needs a list, not {_short(items)}"
            raise BadExpression(message, (*path, "items"))
        frames: list[Frame] = []
        seen: dict[str, int] = {}
        for position, item in enumerate(items):
            inner, named = frame.for_item(loop.as_, item, position, None), None
            if loop.key is not None:
                named = as_text(inner.render(loop.key, (*path, "key")))
                if named in seen:
                    both = f"items {seen[named]} and {position} (counted from 0)"
                    message = f"{both} have the same key {_short(named)}"
                    raise BadExpression(message, (*path, "key"))
                seen[named] = position
            try:
                frames.append(frame.for_item(loop.as_, item, position, named))
            except UserError as fault:
                raise BadExpression(str(fault), (*path, "key"), fault.hint) from None
        return frames

    def _item(self, step: Step, loop: Foreach, path: NodePath, frame: Frame) -> Any:
        frame.cancel.check()
        finished = self._finished(step, frame, loop.on_error)
        if finished is not None:
            return finished.given
        try:
            return self._perform(step, path, frame).outputs
        except (Cancelled, Parked):
            raise
        except AgentkitError:
            if loop.on_error == "fail_fast":
                raise
            return None

    # -- one step --------------------------------------------------------------------------------

    def _perform(self, step: Step, path: NodePath, frame: Frame) -> Settled:
        """Condition, action, outcome, in which no secret is left: the journal has none, and what is
        read of it must be the same when the run goes on.
        """
        report, cache, cached = self._report(step, frame), "", ""
        try:
            if step.if_ is not None and not frame.render(step.if_, (*path, "if")):
                report.skipped("its condition is false")
                return Settled("skipped", None)
            found = None
            if step.cache is not None:
                cache = self._cache_key(step, path, frame)
                found = self.acts.services.cached(cache, step.cache.ttl)
            if found is not None:
                result, cached = Result(found.outputs), found.run
            elif step.steps is not None:
                result = self._group(step, step.steps, path, frame, report)
            else:
                deaths = self.past.deaths.get((step.id, frame.key), 0)
                counted = 0 if step.workflow is not None else deaths
                with survived(counted, self.run, step.id, frame.cancel):
                    result = self._attempts(step, path, frame, report)
        except AgentkitError as fault:
            self.acts.caller.hide(fault)
            self._tell_end(report, fault)
            if isinstance(fault, Cancelled | Parked | StepFailed):
                raise
            raise self._located(step, path, fault) from fault
        except BaseException as fault:
            self._tell_end(report, fault)
            raise
        outputs = self.acts.caller.hide(result.outputs)
        report.finished(outputs, result.usage, cache=cache, cached=cached)
        with self._counting:
            self.usage += result.usage or Usage()
        return Settled("succeeded", outputs)

    def _attempts(self, step: Step, path: NodePath, frame: Frame, report: StepReport) -> Result:
        defaults, services = self.acts.workflow.spec.defaults, self.acts.services

        def act(cancel: CancelToken) -> Result:
            travels = step.workflow is None  # the steps of that one have queues of their own
            with services.place(step.queue, report, cancel, travels) as place:
                return self.acts.perform(step, path, frame, report, cancel, place)

        if step.approve is not None:
            return act(frame.cancel)
        retry, timeout = step.retry or defaults.retry, step.timeout or defaults.timeout
        return attempted(act, retry, timeout, report, frame.cancel)

    def _group(
        self,
        step: Step,
        inner: Sequence[Step],
        path: NodePath,
        frame: Frame,
        report: StepReport,
    ) -> Result:
        report.started("steps", {})

        def act(cancel: CancelToken) -> Result:
            done = self.block(inner, (*path, "steps"), replace(frame, cancel=cancel))
            return Result({name: one.given for name, one in done.items()})

        return within(step.timeout, frame.cancel, act)

    def _cache_key(self, step: Step, path: NodePath, frame: Frame) -> str:
        """Digest of what the result depends on: the key, and the step as it is written."""
        assert step.cache is not None
        key = frame.render(step.cache.key, (*path, "cache", "key"))
        written = step.model_dump(mode="json", by_alias=True, exclude={"cache", "name", "needs"})
        about = [self.acts.workflow.spec.name, written, key]
        return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()

    # -- what is told ----------------------------------------------------------------------------

    def _report(self, step: Step, frame: Frame) -> StepReport:
        return StepReport(
            self.publish, self.run, step.id, frame.item, name=frame.name, home=self.folder
        )

    def _tell_end(self, report: StepReport, fault: BaseException) -> None:
        match fault:
            case Cancelled() | KeyboardInterrupt():
                report.failed(str(fault) or "interrupted", status="cancelled")
            case Parked():
                report.failed(str(fault), status="parked")
            case StepFailed():
                report.failed(str(fault.cause))
            case AgentkitError():
                detail = "".join(traceback.format_exception(fault)) if fault.__cause__ else ""
                report.failed(str(fault), detail=detail)
            case _:
                detail = "".join(traceback.format_exception(fault))
                report.failed(f"{type(fault).__name__}: {fault}", detail=detail)

    def _located(self, step: Step, path: NodePath, fault: AgentkitError) -> StepFailed:
        place = fault.path if isinstance(fault, BadExpression) else path
        return StepFailed(step.id, self.acts.workflow.document.where(place), fault)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
