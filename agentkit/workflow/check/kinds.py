"""Values of a kind that cannot be taken where they go: an integer for a path, a text for a loop.

Only expressions that are one path and nothing else are looked at, and only what cannot be right
whatever the value is gets reported: a text may hold a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from agentkit.errors import Problem
from agentkit.schema import Parameters
from agentkit.workflow import expressions
from agentkit.workflow.check.around import Surroundings
from agentkit.workflow.inputs import A_KIND
from agentkit.workflow.names import SCHEMAS, View, mapping
from agentkit.workflow.spec import Workflow
from agentkit.workflow.spec.steps import WORKFLOW
from agentkit.yamlfile import Document, NodePath

SAMPLES: Mapping[str, Any] = {
    "string": "a", "integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {},
}  # fmt: skip
"""One value of each kind."""

NEVER: Mapping[str, tuple[str, ...]] = {
    "string": ("array", "object"),
    "integer": ("string", "array", "object"),
    "number": ("string", "array", "object"),
    "boolean": ("string", "array", "object"),
    "array": ("string", "integer", "number", "boolean", "object"),
    "object": ("string", "integer", "number", "boolean", "array"),
}
"""By kind, those that no value of it can become."""

_PATH = re.compile(r"\s*([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)\s*")


def arguments(
    document: Document, around: Surroundings, path: NodePath, step: Mapping[str, Any], view: View
) -> Iterator[Problem]:
    """What a tool or a workflow is given."""
    given = {key: _kind(value, view) for key, value in mapping(step.get("with")).items()}
    known = {key: (read, kind) for key, (read, kind) in given.items() if kind}
    name = step.get("uses")
    if not known or not isinstance(name, str):
        return
    if name.startswith(WORKFLOW):
        what, refused = "input", _by_workflow(around.others.get(name.removeprefix(WORKFLOW)), known)
    elif name in around.tools:
        what, refused = "argument", _by_tool(around.tools[name].parameters, known)
    else:
        return
    for key, wanted in refused.items():
        read, kind = known[key]
        message = f'{what} "{key}" takes {_named(wanted)}, and "{read}" is {_named(kind)}'
        hint = _hint(read, kind, wanted)
        yield document.problem((*path, "with", key), "wrong-type", message, hint)


def items(
    document: Document, path: NodePath, loop: Mapping[str, Any], view: View
) -> Iterator[Problem]:
    """What a loop goes through."""
    read, kind = _kind(loop.get("items"), view)
    if kind and kind != "array":
        message = f'"items" must be a list, and "{read}" is {_named(kind)}'
        hint = _hint(read, kind, "array")
        yield document.problem(path, "wrong-type", message, hint)


Known = Mapping[str, tuple[str, str]]
"""By argument, the path that it is, and the kind of that."""


def _by_workflow(spec: Workflow | None, known: Known) -> dict[str, str]:
    """By input, the kind that it takes, where it cannot take what it is given."""
    found = {}
    for key, (_, kind) in known.items():
        declared = spec.inputs[key].type if spec and key in spec.inputs else "enum"
        wanted = SCHEMAS.get(declared, declared)
        if wanted in NEVER[kind] and kind != "string":  # a text may be JSON
            found[key] = wanted
    return found


def _by_tool(parameters: Parameters, known: Known) -> dict[str, str]:
    """By argument, the same; a tool may be more lenient than its schema, so it is asked."""
    found, properties = {}, parameters.json_schema.get("properties", {})
    for key, (_, kind) in known.items():
        wanted = mapping(properties.get(key)).get("type")
        if wanted in NEVER[kind]:
            faults = parameters.faults({key: SAMPLES[kind]})
            if any(one.rule == "wrong-type" and one.path[:1] == (key,) for one in faults):
                found[key] = wanted
    return found


def _kind(value: Any, view: View) -> tuple[str, str]:
    """`(path, kind)` of a value that is one path; the kind is empty where it cannot be known."""
    if not isinstance(value, str) or not value.strip().startswith(expressions.OPEN):
        return "", ""
    found = _PATH.fullmatch(value.strip()[len(expressions.OPEN) : -len(expressions.CLOSE)])
    if found is None or not value.strip().endswith(expressions.CLOSE):
        return "", ""
    root, *rest = found[1].split(".")
    schema: Mapping[str, Any] = {}
    if root in (*view.variables, *view.also):
        return "", ""
    if root == "inputs" and len(rest) == 1 and rest[0] in view.inputs:
        kind = mapping(view.inputs[rest[0]]).get("type", "string")
        schema = {"type": SCHEMAS.get(kind, kind) if isinstance(kind, str) else None}
    elif root == "steps" and len(rest) > 1 and rest[1] == "outputs":
        schema = view.steps.get(rest[0], {})
        for name in rest[2:]:
            inner = mapping(schema.get("properties")) if schema.get("type") == "object" else {}
            schema = mapping(inner.get(name))
    kind = schema.get("type")
    return (found[1], kind) if isinstance(kind, str) and kind in NEVER else ("", "")


def _named(kind: str) -> str:
    return A_KIND["list" if kind == "array" else kind]


def _hint(read: str, kind: str, wanted: str) -> str:
    if wanted == "array" and kind == "string":
        return f"{read} | lines gives its lines"
    if wanted == "array" and kind == "integer":
        return f"range({read}) counts from 0"
    if wanted == "string":
        filters = {"array": "join(', ')", "object": "tojson"}
        return f"{read} | {filters.get(kind, 'string')} is text"
    return ""
