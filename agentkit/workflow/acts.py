"""From a step to what it does: its expressions evaluated, the defaults of the file filled in, and
handed to the module for its kind of work, which wakes with the first step of that kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from agentkit.cancel import CancelToken
from agentkit.ports import ChatModel
from agentkit.toolbox.caller import Caller
from agentkit.workflow.agents import Agent
from agentkit.workflow.beside import Beside
from agentkit.workflow.expressions import as_text
from agentkit.workflow.frame import Frame
from agentkit.workflow.load import LoadedWorkflow
from agentkit.workflow.report import StepReport
from agentkit.workflow.spec import (
    SAMPLING,
    Approve,
    Example,
    Prompt,
    PromptDefaults,
    Script,
    Step,
)
from agentkit.workflow.steps.scope import Place, Result, Scope, Services
from agentkit.yamlfile import NodePath

if TYPE_CHECKING:
    from agentkit.agent.run import Part


@dataclass(frozen=True)
class Acts:
    """What the steps of one run can do."""

    workflow: LoadedWorkflow
    services: Services
    caller: Caller
    beside: Beside
    without: frozenset[Part] = frozenset()

    def perform(
        self,
        step: Step,
        path: NodePath,
        frame: Frame,
        report: StepReport,
        cancel: CancelToken,
        place: Place,
    ) -> Result:
        """Do it once, at a place: the call of a tool or script, or the model that is asked.

        The tools of a model are called here in any case, where files, memory and people are.
        Raises what the work raises.
        """
        facts = frame.readable()
        scope = Scope(self.caller, cancel, report, facts, frame.beginning, self.without)
        lend = self.beside.lend(step, report)
        away = place.away and partial(place.away, self.beside.apart(step, report))
        there = replace(scope, caller=replace(self.caller, away=away, lend=lend))
        match step.action:
            case "uses":
                return self._uses(step, path, frame, there, place)
            case "run":
                return self._run(step, path, frame, there, place)
            case "agent":
                from agentkit.workflow.steps import agent as agent_step

                assert step.agent is not None
                agent = self._agent(step.agent, path, frame)
                model = place.chat(agent.model)
                report.started("agent", agent_step.record(agent, model))
                return agent_step.perform(agent, model, self.services, scope)
            case "approve":
                from agentkit.workflow.steps import approve as approve_step

                assert step.approve is not None
                return approve_step.perform(self._approve(step.approve, path, frame), scope)
            case "prompt":
                from agentkit.workflow.steps import prompt as prompt_step

                assert step.prompt is not None
                prompt = self._prompt(step.prompt, path, frame)
                schema = frame.render(step.output_schema, (*path, "output_schema"))
                model = place.chat(prompt.model)
                report.started("prompt", prompt_step.record(step, prompt, schema, model))
                return prompt_step.perform(step, prompt, schema, model, scope)
        raise AssertionError(f"spec: {step.action} is no action")

    def _uses(self, step: Step, path: NodePath, frame: Frame, scope: Scope, place: Place) -> Result:
        from agentkit.workflow.steps import uses as uses_step

        assert step.uses is not None
        arguments = frame.render(step.with_, (*path, "with"), secrets=True)
        scope.report.started(f"uses {step.uses}", arguments, more=step.workflow is None)
        if step.workflow is not None:
            from agentkit.workflow.steps import workflow as workflow_step

            return workflow_step.perform(step.workflow, arguments, self.services, scope)
        schema = frame.render(step.output_schema, (*path, "output_schema"))
        chat = self._asker(frame, place)
        return uses_step.perform(step.uses, arguments, step.checks, schema, chat, scope)

    def _run(self, step: Step, path: NodePath, frame: Frame, scope: Scope, place: Place) -> Result:
        from agentkit.workflow.steps import script as script_step

        assert step.run is not None
        shared = frame.render(self.workflow.spec.env, ("env",), secrets=True)
        own = frame.render(step.env, (*path, "env"), secrets=True)
        variables = {name: as_text(value) for name, value in {**shared, **own}.items()}
        script = self._script(step.run, path, frame)
        scope.report.started("run", script_step.record(script, own), more=True)
        schema = frame.render(step.output_schema, (*path, "output_schema"))
        chat = self._asker(frame, place)
        return script_step.perform(
            script, variables, step.checks, schema, chat, self._timeout(step), scope
        )

    def _script(self, script: Script, path: NodePath, frame: Frame) -> Script:
        language = "python" if script.bash is None else "bash"
        text = as_text(frame.render(getattr(script, language), (*path, "run", language)))
        files = [as_text(one) for one in frame.render(script.files, (*path, "run", "files"))]
        return script.model_copy(update={language: text, "files": files})

    def _timeout(self, step: Step) -> float | None:
        return step.timeout or self.workflow.spec.defaults.timeout

    def _approve(self, approve: Approve, path: NodePath, frame: Frame) -> Approve:
        text = as_text(frame.render(approve.text, (*path, "approve", "text")))
        return approve.model_copy(update={"text": text})

    def _agent(self, agent: Agent, path: NodePath, frame: Frame) -> Agent:
        """The agent with the file's default model and all expressions evaluated."""
        shared, place = self.workflow.spec.defaults.prompt.model, (*path, "agent")
        objective = as_text(frame.render(agent.objective, (*place, "objective")))
        model = agent.model or shared
        named = None if model is None else as_text(frame.render(model, (*place, "model")))
        return agent.model_copy(update={"objective": objective, "model": named})

    def _asker(self, frame: Frame, place: Place) -> Any:
        """Gives the model that the file names for all, or the one of the role."""
        name, where = self.workflow.spec.defaults.prompt.model, ("defaults", "prompt", "model")

        def chat() -> ChatModel:
            return place.chat(name and as_text(frame.render(name, where)))

        return chat

    def _prompt(self, prompt: Prompt, path: NodePath, frame: Frame) -> Prompt:
        """The prompt with the file's defaults and all expressions evaluated."""
        shared = self.workflow.spec.defaults.prompt
        texts: dict[str, Any] = {}
        for name in ("text", "system", "model"):
            value: Any = getattr(prompt, name)
            place: NodePath = (*path, "prompt", name)
            if name == "text" and prompt.file is not None:
                value, place = self.workflow.files[prompt.file], (*path, "prompt", "file")
            if value is None and name in PromptDefaults.model_fields:
                value, place = getattr(shared, name), ("defaults", "prompt", name)
            texts[name] = None if value is None else as_text(frame.render(value, place))
        where = (*path, "prompt", "examples")
        examples = [
            Example(
                question=as_text(frame.render(example.question, (*where, index, "question"))),
                answer=frame.render(example.answer, (*where, index, "answer")),
            )
            for index, example in enumerate(prompt.examples)
        ]
        numbers: Mapping[str, Any] = {
            name: getattr(shared, name)
            for name in ("max_tokens", *SAMPLING)
            if name not in prompt.model_fields_set and getattr(shared, name) is not None
        }
        given = frame.render(prompt.images, (*path, "prompt", "images"))
        images = [as_text(image) for image in given]
        changed = {**texts, **numbers, "examples": examples, "images": images}
        return prompt.model_copy(update=changed)
