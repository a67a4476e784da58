"""What a run would do, as far as that is known before it: every step with its expressions evaluated
where they read nothing but inputs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentkit.cancel import CancelToken
from agentkit.workflow.expressions import Beginning, is_expression, references
from agentkit.workflow.frame import BadExpression, Frame
from agentkit.workflow.load import LoadedWorkflow
from agentkit.workflow.picture import does
from agentkit.workflow.spec import Step

SHOWN = 300
"""Characters of a value."""


def rehearsal(
    workflow: LoadedWorkflow, inputs: Mapping[str, Any], beginning: Beginning
) -> Iterator[str]:
    """The plan, line by line.  Nothing is done, and no secret is looked up."""
    spec = workflow.spec
    shown = {
        name: "***" if spec.inputs[name].type == "secret" else value
        for name, value in inputs.items()
    }
    frame = Frame(CancelToken(), {"inputs": shown}, beginning=beginning)
    for name, value in shown.items():
        yield f"input {name} = {_short(value)}"
    for title, steps in (
        ("steps", spec.steps), ("on_failure", spec.on_failure), ("finally", spec.finally_)
    ):  # fmt: skip
        if steps:
            yield f"{title}:"
            yield from _steps(steps, frame, "  ")


def _steps(steps: Sequence[Step], frame: Frame, indent: str) -> Iterator[str]:
    for step in steps:
        waits = f"  needs {', '.join(step.needs)}" if step.needs else ""
        yield f"{indent}{step.id}: {does(step)}{waits}"
        for name, value in _said(step):
            yield f"{indent}    {name}: {_short(_known(value, frame))}"
        if step.steps:
            yield from _steps(step.steps, frame, indent + "    ")


def _said(step: Step) -> Iterator[tuple[str, Any]]:
    """What is worth seeing of a step."""
    if step.if_ is not None:
        yield "if", step.if_
    if step.foreach is not None:
        yield "items", step.foreach.items
    yield from step.with_.items()
    if step.run is not None:
        yield "run", step.run.bash or step.run.python
    yield from step.env.items()
    if step.prompt is not None:
        yield "prompt", step.prompt.text or step.prompt.file
    if step.agent is not None:
        yield "objective", step.agent.objective
    if step.approve is not None:
        yield "question", step.approve.text
    if step.cache is not None:
        yield "cache", step.cache.key


def _known(value: Any, frame: Frame) -> Any:
    """A value, evaluated where that needs only inputs; as it is written elsewhere."""
    if isinstance(value, Mapping):
        return {key: _known(item, frame) for key, item in value.items()}
    if isinstance(value, list):
        return [_known(item, frame) for item in value]
    if is_expression(value) and all(one.path[0] == "inputs" for one in references(value)):
        try:
            return frame.render(value, ())
        except BadExpression as error:
            return f"{value}  ← {error}"
    return value


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ⏎ ".join(text.strip().splitlines())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
