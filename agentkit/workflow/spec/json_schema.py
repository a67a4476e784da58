"""The JSON Schema of a workflow file, or of an agent's, for editors."""

from __future__ import annotations

from typing import Any

from agentkit.workflow.agents import SHARED
from agentkit.workflow.durations import DURATION
from agentkit.workflow.quality import NUMBERS
from agentkit.workflow.spec.documented import describe
from agentkit.workflow.spec.names import NAME, VARIABLE
from agentkit.workflow.spec.steps import ACTIONS, BELONGS
from agentkit.workflow.spec.triggers import BELONGS as ONLY_WITH
from agentkit.workflow.spec.triggers import STARTS
from agentkit.workflow.spec.workflow import Workflow

TEXT = {"type": "string"}

SHORT_FORMS: tuple[tuple[str, str, Any], ...] = (
    ("Step", "prompt", TEXT),
    ("Step", "agent", TEXT),
    ("Step", "run", TEXT),
    ("Step", "approve", TEXT),
    ("Step", "needs", TEXT),
    ("Step", "retry", {"type": "integer"}),
    ("Defaults", "retry", {"type": "integer"}),
    ("Trigger", "after", TEXT),
    ("Trigger", "watch", TEXT),
    ("Trigger", "webhook", TEXT),
    ("Step", "strategy", {"enum": [*NUMBERS]}),
    ("Agent", "strategy", {"enum": [*NUMBERS]}),
)
"""Keys that take a value for the mapping that it stands for."""


def json_schema() -> dict[str, Any]:
    """Draft 2020-12; a file with an objective and no steps is an agent's."""
    described = Workflow.model_json_schema(by_alias=True)
    describe(described)
    schema = _for_people(described)
    kinds, properties = schema.pop("$defs"), schema["properties"]
    for key, one in (("inputs", {"$ref": "#/$defs/Input"}), ("outputs", _OUTPUT)):
        properties[key] |= {"propertyNames": _pattern(NAME.pattern), "additionalProperties": one}
        properties[key].pop("patternProperties", None)
    for keys in (properties, kinds["Step"]["properties"]):
        keys["env"] |= {"propertyNames": _pattern(VARIABLE.pattern), "additionalProperties": TEXT}
        keys["env"].pop("patternProperties", None)
    for kind, key, short in SHORT_FORMS:
        long = dict(kinds[kind]["properties"][key])
        about = {"description": long.pop("description")} if "description" in long else {}
        kinds[kind]["properties"][key] = {**about, "anyOf": [short, long]}
    _exclude(kinds)
    kinds.pop("Output", None)
    agent, shared = kinds["Agent"], {key: properties[key] for key in SHARED}
    kinds["AgentFile"] = {
        **agent,
        "properties": {**shared, **agent["properties"]},
        "required": ["name", *agent["required"]],
    }
    kinds["Workflow"] = schema
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "agentkit workflow",
        "$defs": kinds,
        "if": {"required": ["objective"], "not": {"required": ["steps"]}},
        "then": {"$ref": "#/$defs/AgentFile"},
        "else": {"$ref": "#/$defs/Workflow"},
    }


_OUTPUT = {"description": "A value, or a mapping with `value`."}


def _pattern(pattern: str) -> dict[str, str]:
    return {"pattern": f"^{pattern}$"}


def _exclude(kinds: dict[str, Any]) -> None:
    """Which keys go together."""
    step, check = kinds["Step"], kinds["Check"]
    step["oneOf"] = [{"required": [action]} for action in ACTIONS]
    step["allOf"] = [
        {"if": {"required": [key.rstrip("_")]},
         "then": {"anyOf": [{"required": [action]} for action in actions]}}
        for key, actions, _ in BELONGS
    ]  # fmt: skip
    step["allOf"].append({"not": {"required": ["agent", "checks"]}})
    step["allOf"].append({"not": {"required": ["agent", "strategy"]}})
    trigger = kinds["Trigger"]
    trigger["oneOf"] = [{"required": [start]} for start in STARTS]
    trigger["allOf"] = [
        {"if": {"required": [key]}, "then": {"anyOf": [{"required": [one]} for one in starts]}}
        for key, starts in ONLY_WITH
    ]
    check["oneOf"] = [{"required": [kind]} for kind in check["properties"] if kind != "reason"]
    check["dependentRequired"] = {"reason": ["expression"]}
    kinds["Script"]["oneOf"] = [{"required": ["bash"]}, {"required": ["python"]}]
    kinds["Prompt"]["oneOf"] = [{"required": ["text"]}, {"required": ["file"]}]


def _for_people(schema: Any) -> Any:
    """Without what pydantic adds: a title for everything, and `null` for what may be left out."""
    if isinstance(schema, list):
        return [_for_people(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {k: _for_people(v) for k, v in schema.items() if k != "title" or not isinstance(v, str)}
    if kept.get("pattern") == DURATION["pattern"] and "default" in kept:
        kept["default"] = f"{kept['default']:g}s"
    options = kept.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        del kept["anyOf"]
        kept.pop("default", None)
        rest = [option for option in options if option != {"type": "null"}]
        kept = {**(rest[0] if len(rest) == 1 else {"anyOf": rest}), **kept}
    return kept
