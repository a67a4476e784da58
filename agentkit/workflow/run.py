"""Do the steps of a workflow, one after the other, and tell what happens as events."""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from agentkit import events as ev
from agentkit.cancel import CancelToken
from agentkit.errors import AgentkitError, Cancelled, StepFailed, ToolError
from agentkit.messages import Usage
from agentkit.workflow.expressions import ExpressionError, as_text, render
from agentkit.workflow.load import LoadedWorkflow
from agentkit.workflow.spec import Example, Prompt, PromptDefaults, Step
from agentkit.workflow.steps import prompt as prompt_step
from agentkit.workflow.steps import uses as uses_step
from agentkit.workflow.steps.scope import Result, Scope, Services
from agentkit.yamlfile import NodePath

Publish = Callable[[ev.Event], None]


@dataclass
class WorkflowRun:
    """One run.  `publish` is called for each event, in order, before the run goes on."""

    workflow: LoadedWorkflow
    inputs: Mapping[str, Any]
    id: str
    folder: Path
    services: Services
    publish: Publish
    cancel: CancelToken
    _outputs: dict[str, Any] = field(default_factory=dict)
    _usage: Usage = Usage()

    def execute(self) -> dict[str, Any]:
        """Run to the end and return the workflow's outputs.

        Raises `StepFailed` with the place in the file, or `Cancelled`; the outcome is published in
        every case, also when the run dies of a bug.
        """
        spec, began = self.workflow.spec, time.perf_counter()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.publish(
            ev.RunStarted(
                run=self.id,
                workflow=spec.name,
                source=str(self.workflow.path),
                definition=self.workflow.document.text,
                inputs=self.inputs,
            )
        )
        status: ev.RunStatus = "failed"
        outputs: dict[str, Any] = {}
        error = ""
        try:
            for position, step in enumerate(spec.steps):
                self.cancel.check()
                self._outputs[step.id] = self._step(step, position)
            for name, output in spec.outputs.items():
                outputs[name] = self._render(output.value, self._facts(), ("outputs", name), "")
            status = "succeeded"
        except (Cancelled, KeyboardInterrupt) as stop:
            status, error = "cancelled", str(stop) or "interrupted"
            raise
        except AgentkitError as fault:
            error = str(fault)
            raise
        except BaseException as bug:
            error = f"{type(bug).__name__}: {bug}"
            raise
        finally:
            self.publish(
                ev.RunFinished(
                    run=self.id,
                    status=status,
                    outputs=outputs,
                    seconds=time.perf_counter() - began,
                    usage=self._usage,
                    error=error,
                )
            )
        return outputs

    # -- one step --------------------------------------------------------------------------------

    def _step(self, step: Step, position: int) -> Any:
        path: NodePath = ("steps", position)
        if step.foreach is None:
            return self._perform(step, path, None, {})
        began = time.perf_counter()
        items = self._render(step.foreach.items, self._facts(), (*path, "foreach", "items"), step.id)
        if not isinstance(items, list):
            place = (*path, "foreach", "items")
            cause = ExpressionError(f"foreach needs a list, not {_short(items)}")
            raise StepFailed(step.id, self.workflow.document.where(place), cause)
        self.publish(ev.ForeachStarted(run=self.id, step=step.id, count=len(items)))
        results = []
        for index, item in enumerate(items):
            self.cancel.check()
            try:
                results.append(self._perform(step, path, index, {step.foreach.as_: item}))
            except Cancelled:
                raise
            except AgentkitError:
                if step.foreach.on_error == "fail_fast":
                    self._finish_foreach_failed(step, began)
                    raise
                results.append(None)
        self.publish(
            ev.StepFinished(
                run=self.id, step=step.id, outputs=results, seconds=time.perf_counter() - began
            )
        )
        return results

    def _finish_foreach_failed(self, step: Step, began: float) -> None:
        seconds = time.perf_counter() - began
        self.publish(
            ev.StepFailed(run=self.id, step=step.id, error="an item failed", seconds=seconds)
        )

    def _perform(self, step: Step, path: NodePath, item: int | None, extra: dict[str, Any]) -> Any:
        """One step, or one item of its foreach: condition, action, outcome."""
        facts = {**self._facts(), **extra}
        about = {"run": self.id, "step": step.id, "item": item}
        began = time.perf_counter()
        try:
            if not self._wanted(step, path, facts):
                self.publish(ev.StepSkipped(**about, reason="its condition is false"))
                return None
            result = self._act(step, path, facts, item)
        except (Cancelled, KeyboardInterrupt) as stop:
            self._failed(about, str(stop) or "interrupted", began, status="cancelled")
            raise
        except AgentkitError as cause:
            failure = cause
            if not isinstance(cause, StepFailed):
                failure = StepFailed(step.id, self.workflow.document.where(path), cause)
            detail = "".join(traceback.format_exception(cause)) if cause.__cause__ else ""
            self._failed(about, str(cause), began, detail=detail)
            raise failure from cause
        seconds = time.perf_counter() - began
        self.publish(
            ev.StepFinished(**about, outputs=result.outputs, seconds=seconds, usage=result.usage)
        )
        if result.usage:
            self._usage += result.usage
        return result.outputs

    def _failed(self, about: dict[str, Any], error: str, began: float, **more: Any) -> None:
        seconds = time.perf_counter() - began
        self.publish(ev.StepFailed(**about, error=error, seconds=seconds, **more))

    def _wanted(self, step: Step, path: NodePath, facts: Mapping[str, Any]) -> bool:
        if step.if_ is None:
            return True
        return bool(self._render(step.if_, facts, (*path, "if"), step.id))

    def _act(self, step: Step, path: NodePath, facts: Mapping[str, Any], item: int | None) -> Result:
        scope = self._scope(step, item)
        if step.uses is not None:
            arguments = self._render(step.with_, facts, (*path, "with"), step.id)
            self._started(step, item, f"uses {step.uses}", arguments)
            return uses_step.perform(step.uses, arguments, scope)
        assert step.prompt is not None
        prompt = self._prompt(step.prompt, path, facts, step.id)
        schema = self._render(step.output_schema, facts, (*path, "output_schema"), step.id)
        asked = {"system": prompt.system, "text": prompt.text, "model": prompt.model}
        self._started(step, item, "prompt", asked)
        return prompt_step.perform(prompt, schema, scope)

    def _prompt(
        self, prompt: Prompt, path: NodePath, facts: Mapping[str, Any], step: str
    ) -> Prompt:
        """The prompt with the file's defaults and all expressions evaluated."""
        shared = self.workflow.spec.defaults.prompt
        texts = {}
        for name in ("text", "system", "model"):
            value, place = getattr(prompt, name), (*path, "prompt", name)
            if value is None and name in PromptDefaults.model_fields:
                value, place = getattr(shared, name), ("defaults", "prompt", name)
            rendered = self._render(value, facts, place, step)
            texts[name] = rendered if rendered is None else as_text(rendered)
        examples = [
            Example(
                question=as_text(self._render(example.question, facts, path, step)),
                answer=self._render(example.answer, facts, path, step),
            )
            for example in prompt.examples
        ]
        numbers = {
            name: getattr(shared, name)
            for name in ("max_tokens", "temperature")
            if name not in prompt.model_fields_set and getattr(shared, name) is not None
        }
        return prompt.model_copy(update={**texts, **numbers, "examples": examples})

    def _started(self, step: Step, item: int | None, action: str, inputs: Mapping[str, Any]) -> None:
        started = ev.StepStarted(
            run=self.id, step=step.id, item=item, action=action, inputs=inputs
        )
        self.publish(started)

    # -- what a step sees ------------------------------------------------------------------------

    def _facts(self) -> dict[str, Any]:
        """What expressions can read."""
        return {
            "inputs": dict(self.inputs),
            "steps": {name: {"outputs": value} for name, value in self._outputs.items()},
            "run": {
                "id": self.id,
                "date": date.today().isoformat(),
                "folder": str(self.folder),
            },
        }

    def _render(self, value: Any, facts: Mapping[str, Any], path: NodePath, step: str) -> Any:
        try:
            return render(value, facts)
        except ExpressionError as error:
            raise StepFailed(step, self.workflow.document.where(path), error) from None

    def _scope(self, step: Step, item: int | None) -> Scope:
        about: dict[str, Any] = {"run": self.id, "step": step.id, "item": item}

        def progress(done: float, total: float | None, unit: str) -> None:
            self.publish(ev.StepProgress(**about, done=done, total=total, unit=unit))

        def warn(text: str) -> None:
            self.publish(ev.StepWarned(**about, text=text))

        def artifact(path: Path) -> None:
            if not path.resolve().is_relative_to(self.folder.resolve()):
                raise ToolError(f"{path} is not in the folder of the run")
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            name = str(path.resolve().relative_to(self.folder.resolve()))
            size = path.stat().st_size
            self.publish(ev.ArtifactMade(**about, path=name, size=size, sha256=digest))

        return Scope(self.services, self.folder, self.cancel, progress, warn, artifact)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
