"""What later steps may read of a step: a JSON Schema of its outputs, as far as it can be known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentkit.workflow.check.around import Surroundings
from agentkit.workflow.names import mapping
from agentkit.workflow.spec.steps import WORKFLOW

Shape = Mapping[str, Any]

TEXT_ONLY: Shape = {"type": "object", "properties": {"text": {"type": "string"}}}
"""Of a prompt or a script without `output_schema`."""

AGENT: Shape = {
    "type": "object",
    "properties": {
        "answer": {},
        "reason": {"type": "string"},
        "report": {"type": "string"},
        "tasks": {"type": "integer"},
        "steps": {"type": "integer"},
        "seconds": {"type": "number"},
    },
}
"""Of an agent; the answer is data where one of its checks is a schema."""

DECISION: Shape = {
    "type": "object",
    "properties": {"answer": {"type": "string"}, "approved": {"type": "boolean"}},
}
"""Of a question to a person."""


def shapes(steps: list[Any], around: Surroundings) -> dict[str, Shape]:
    """By step of a list; the first of two with one name counts."""
    found: dict[str, Shape] = {}
    for step in steps:
        if isinstance(step, dict) and isinstance(step.get("id"), str):
            known = _of(step, around)
            if "foreach" in step:
                known = {"type": "array", "items": known}
            found.setdefault(step["id"], known)
    return found


def _of(step: Mapping[str, Any], around: Surroundings) -> Shape:
    if isinstance(step.get("steps"), list):
        return {"type": "object", "properties": shapes(step["steps"], around)}
    if step.get("agent") is not None:
        return AGENT
    if step.get("approve") is not None:
        return DECISION
    if isinstance(step.get("output_schema"), Mapping):
        return mapping(step["output_schema"])
    if step.get("prompt") is not None or step.get("run") is not None:
        return TEXT_ONLY
    name = step.get("uses")
    if isinstance(name, str) and name in around.tools:
        return around.tools[name].gives
    if isinstance(name, str) and name.startswith(WORKFLOW):
        spec = around.others.get(name.removeprefix(WORKFLOW))
        return {"type": "object", "properties": {key: {} for key in spec.outputs}} if spec else {}
    return {}
