"""Do the steps of a workflow, one after the other, and tell what happens as events."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from agentkit import events as ev
from agentkit.agent.run import Part
from agentkit.cancel import CancelToken
from agentkit.errors import (
    AgentkitError,
    Cancelled,
    MachineError,
    Parked,
    StepFailed,
    UserError,
)
from agentkit.messages import Usage
from agentkit.ports import ChatModel
from agentkit.toolbox.caller import Caller
from agentkit.workflow.agents import Agent
from agentkit.workflow.expressions import ExpressionError, as_text, render
from agentkit.workflow.load import LoadedWorkflow
from agentkit.workflow.report import Publish, StepReport
from agentkit.workflow.spec import Example, Foreach, Prompt, PromptDefaults, Step
from agentkit.workflow.steps import agent as agent_step
from agentkit.workflow.steps import prompt as prompt_step
from agentkit.workflow.steps import uses as uses_step
from agentkit.workflow.steps.scope import Result, Scope, Services
from agentkit.yamlfile import NodePath

Facts = Mapping[str, Any]
"""What expressions can read."""


@dataclass
class WorkflowRun:
    """One run.  `publish` is called for each event, in order, before the run goes on.

    `done` has the outputs of what an earlier part of the same run has finished, by step and key of
    the item (empty for a whole step); None: the run begins.
    """

    workflow: LoadedWorkflow
    inputs: Mapping[str, Any]
    id: str
    folder: Path
    services: Services
    caller: Caller
    publish: Publish
    cancel: CancelToken
    done: Mapping[tuple[str, str], Any] | None = None
    without: frozenset[Part] = frozenset()
    _outputs: dict[str, Any] = field(default_factory=dict)
    _usage: Usage = field(default_factory=Usage)

    def execute(self) -> dict[str, Any]:
        """Run to the end and return the workflow's outputs.

        Raises `StepFailed` with the place in the file, `Parked` when the run waits for a person, or
        `Cancelled`; the outcome is published in every case, also when the run dies of a bug.
        """
        spec, began = self.workflow.spec, time.perf_counter()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise MachineError(f"{self.folder} cannot be made: {fault.strerror}") from None
        self.publish(self._beginning())
        status: ev.RunStatus = "failed"
        outputs: dict[str, Any] = {}
        error = ""
        try:
            for position, step in enumerate(spec.steps):
                self.cancel.check()
                self._outputs[step.id] = self._step(step, ("steps", position))
            outputs = self._final_outputs()
            status = "succeeded"
        except (Cancelled, KeyboardInterrupt) as stop:
            status, error = "cancelled", str(stop) or "interrupted"
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

    def _beginning(self) -> ev.Event:
        if self.done is not None:
            return ev.RunResumed(run=self.id)
        return ev.RunStarted(
            run=self.id,
            workflow=self.workflow.spec.name,
            source=str(self.workflow.path),
            definition=self.workflow.document.text,
            inputs=self.inputs,
        )

    def _report(self, step: Step, item: int | None = None) -> StepReport:
        return StepReport(self.publish, self.id, step.id, item, home=self.folder)

    # -- one step --------------------------------------------------------------------------------

    def _step(self, step: Step, path: NodePath) -> Any:
        finished = self.done or {}
        if (step.id, "") in finished:
            return finished[step.id, ""]
        if step.foreach is not None:
            return self._each(step, step.foreach, path)
        return self._perform(step, path, self._report(step), self._facts())

    def _each(self, step: Step, loop: Foreach, path: NodePath) -> list[Any]:
        """A step once for each item; what failed or was skipped leaves None in its place."""
        whole = self._report(step)
        facts, where = self._facts(), (*path, "foreach", "items")
        try:
            items = self._render(loop.items, facts, where)
            if not isinstance(items, list):
                raise _BadExpression(f"foreach needs a list, not {_short(items)}", where)
            whole.counted(len(items))
            results: list[Any] = []
            for index, item in enumerate(items):
                self.cancel.check()
                if (step.id, str(index)) in (self.done or {}):
                    results.append((self.done or {})[step.id, str(index)])
                    continue
                report = self._report(step, index)
                try:
                    results.append(self._perform(step, path, report, {**facts, loop.as_: item}))
                except (Cancelled, Parked):
                    raise
                except AgentkitError:
                    if loop.on_error == "fail_fast":
                        raise
                    results.append(None)
        except (Cancelled, KeyboardInterrupt) as stop:
            whole.failed(str(stop) or "interrupted", status="cancelled")
            raise
        except Parked as need:
            whole.failed(str(need), status="parked")
            raise
        except _BadExpression as fault:
            whole.failed(str(fault))
            raise self._located(step, path, fault) from None
        except StepFailed as fault:
            whole.failed(str(fault))
            raise
        whole.finished(results)
        return results

    def _perform(self, step: Step, path: NodePath, report: StepReport, facts: Facts) -> Any:
        """Condition, action, outcome."""
        try:
            if step.if_ is not None and not self._render(step.if_, facts, (*path, "if")):
                report.skipped("its condition is false")
                return None
            result = self._act(step, path, report, facts)
        except (Cancelled, KeyboardInterrupt) as stop:
            report.failed(str(stop) or "interrupted", status="cancelled")
            raise
        except Parked as need:
            report.failed(str(need), status="parked")
            raise
        except AgentkitError as fault:
            detail = "".join(traceback.format_exception(fault)) if fault.__cause__ else ""
            report.failed(str(fault), detail=detail)
            raise self._located(step, path, fault) from fault
        except Exception as bug:
            report.failed(f"{type(bug).__name__}: {bug}", detail=traceback.format_exc())
            raise
        report.finished(result.outputs, result.usage)
        self._usage += result.usage or Usage()
        return result.outputs

    def _act(self, step: Step, path: NodePath, report: StepReport, facts: Facts) -> Result:
        scope = Scope(self.caller, self.cancel, report, facts, self.without)
        if step.uses is not None:
            arguments = self._render(step.with_, facts, (*path, "with"))
            report.started(f"uses {step.uses}", arguments)
            chat = partial(self._shared_chat, facts)
            return uses_step.perform(step.uses, arguments, step.checks, chat, scope)
        if step.agent is not None:
            agent = self._agent(step.agent, path, facts)
            model = self.services.chat(agent.model)
            report.started("agent", agent_step.record(agent, model))
            return agent_step.perform(agent, model, self.services, scope)
        assert step.prompt is not None, "spec: exactly one action"
        prompt = self._prompt(step.prompt, path, facts)
        schema = self._render(step.output_schema, facts, (*path, "output_schema"))
        model = self.services.chat(prompt.model)
        report.started("prompt", prompt_step.record(step, prompt, schema, model))
        return prompt_step.perform(step, prompt, schema, model, scope)

    def _agent(self, agent: Agent, path: NodePath, facts: Facts) -> Agent:
        """The agent with the file's default model and all expressions evaluated."""
        shared, place = self.workflow.spec.defaults.prompt.model, (*path, "agent")
        objective = as_text(self._render(agent.objective, facts, (*place, "objective")))
        model = agent.model or shared
        named = None if model is None else as_text(self._render(model, facts, (*place, "model")))
        return agent.model_copy(update={"objective": objective, "model": named})

    def _shared_chat(self, facts: Facts) -> ChatModel:
        """The model that the file names for all, or the one of the role."""
        name = self.workflow.spec.defaults.prompt.model
        where = ("defaults", "prompt", "model")
        return self.services.chat(name and as_text(self._render(name, facts, where)))

    def _prompt(self, prompt: Prompt, path: NodePath, facts: Facts) -> Prompt:
        """The prompt with the file's defaults and all expressions evaluated."""
        shared = self.workflow.spec.defaults.prompt
        texts = {}
        for name in ("text", "system", "model"):
            value: Any = getattr(prompt, name)
            place: NodePath = (*path, "prompt", name)
            if value is None and name in PromptDefaults.model_fields:
                value, place = getattr(shared, name), ("defaults", "prompt", name)
            texts[name] = None if value is None else as_text(self._render(value, facts, place))
        fill = partial(self._render, facts=facts, path=(*path, "prompt", "examples"))
        examples = [
            Example(question=as_text(fill(example.question)), answer=fill(example.answer))
            for example in prompt.examples
        ]
        numbers = {
            name: getattr(shared, name)
            for name in ("max_tokens", "temperature")
            if name not in prompt.model_fields_set and getattr(shared, name) is not None
        }
        return prompt.model_copy(update={**texts, **numbers, "examples": examples})

    # -- what a step sees ------------------------------------------------------------------------

    def _facts(self) -> Facts:
        return {
            "inputs": dict(self.inputs),
            "steps": {name: {"outputs": value} for name, value in self._outputs.items()},
            "run": {
                "id": self.id,
                "date": date.today().isoformat(),
                "folder": str(self.folder),
            },
        }

    def _render(self, value: Any, facts: Facts, path: NodePath) -> Any:
        """Raises `_BadExpression`, which knows where in the file the expression stands."""
        try:
            return render(value, facts)
        except ExpressionError as error:
            raise _BadExpression(str(error), (*path, *error.path), error.hint) from None

    def _final_outputs(self) -> dict[str, Any]:
        facts = self._facts()
        outputs = {}
        for name, output in self.workflow.spec.outputs.items():
            try:
                outputs[name] = self._render(output.value, facts, ("outputs", name))
            except _BadExpression as error:
                where = self.workflow.document.where(error.path)
                raise UserError(f"{where}: output {name!r}: {error}") from None
        return outputs

    def _located(self, step: Step, path: NodePath, fault: AgentkitError) -> StepFailed:
        place = fault.path if isinstance(fault, _BadExpression) else path
        return StepFailed(step.id, self.workflow.document.where(place), fault)


class _BadExpression(ExpressionError):
    """An expression that failed, and the path of its value in the file."""

    def __init__(self, message: str, path: NodePath, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.path = path


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
