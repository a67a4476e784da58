"""What can be known to be wrong before a workflow runs.

Works on the parsed file, not on the pydantic model, so that a file with a structural fault still
gets all its other problems reported.  Structure itself (unknown keys, wrong types) is `spec`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from agentkit.errors import Problem, closest, did_you_mean
from agentkit.toolbox import Tool
from agentkit.workflow.expressions import (
    OPEN,
    ExpressionError,
    Reference,
    is_expression,
    references,
    unknown_filters,
)
from agentkit.workflow.inputs import convert
from agentkit.workflow.spec import Input
from agentkit.yamlfile import Document, NodePath

RUN_FACTS = ("id", "date", "folder")
"""What `run.…` offers."""

LITERAL_KEYS = ("id", "name")
"""Keys of a step in which an expression makes no sense."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What exists outside the file."""

    tools: Mapping[str, Tool]
    models: frozenset[str]


@dataclass(frozen=True, slots=True)
class _StepShape:
    """What other steps may read of a step; `keys` None when that cannot be known."""

    position: int
    is_list: bool
    keys: tuple[str, ...] | None


def check(document: Document, around: Surroundings) -> Iterator[Problem]:
    """Every problem that goes beyond the structure, in no particular order."""
    data = document.data
    if not isinstance(data, dict):
        yield document.problem((), "not-a-workflow", "a workflow is a mapping with name and steps")
        return
    yield from _bare_braces(document, data, ())
    yield from _inputs(document, _mapping(data.get("inputs")))
    steps = data.get("steps") if isinstance(data.get("steps"), list) else []
    shapes = _shapes(steps)
    names = _Names(document, tuple(_mapping(data.get("inputs"))), shapes)
    yield from _duplicate_ids(document, steps)
    for position, step in enumerate(steps):
        if isinstance(step, dict):
            yield from _step(document, names, around, step, position, data)
    yield from names.check(("outputs",), data.get("outputs"), len(steps))
    default_model = _mapping(_mapping(data.get("defaults")).get("prompt")).get("model")
    yield from _model(document, around, ("defaults", "prompt", "model"), default_model)


# -- steps ---------------------------------------------------------------------------------------


def _shapes(steps: list[Any]) -> dict[str, _StepShape]:
    shapes: dict[str, _StepShape] = {}
    for position, step in enumerate(steps):
        if not isinstance(step, dict) or not isinstance(step.get("id"), str):
            continue
        keys: tuple[str, ...] | None = None
        schema = step.get("output_schema")
        if step.get("prompt") is not None and schema is None:
            keys = ("text",)
        elif isinstance(schema, dict) and isinstance(schema.get("properties"), dict):
            keys = tuple(schema["properties"])
        shapes.setdefault(step["id"], _StepShape(position, "foreach" in step, keys))
    return shapes


def _duplicate_ids(document: Document, steps: list[Any]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for position, step in enumerate(steps):
        name = step.get("id") if isinstance(step, dict) else None
        if isinstance(name, str) and name in seen:
            path = ("steps", position, "id")
            line = document.place(("steps", seen[name], "id")).line + 1
            yield document.problem(
                path, "duplicate-id", f'there is a step "{name}" already, in line {line}'
            )
        elif isinstance(name, str):
            seen[name] = position


def _step(
    document: Document,
    names: _Names,
    around: Surroundings,
    step: dict[str, Any],
    position: int,
    data: dict[str, Any],
) -> Iterator[Problem]:
    path: NodePath = ("steps", position)
    loop = _mapping(step.get("foreach"))
    variable = loop.get("as", "item") if loop else None
    for key, value in step.items():
        here = (*path, key)
        if key in LITERAL_KEYS:
            if is_expression(value):
                yield document.problem(here, "misplaced-expression", f'"{key}" is fixed text')
        elif key == "foreach":
            yield from names.check((*here, "items"), loop.get("items"), position)
        else:
            yield from names.check(here, value, position, variable)
    if step.get("prompt") is not None:
        shared = _mapping(_mapping(data.get("defaults")).get("prompt")).get("system")
        if _mapping(step["prompt"]).get("system") is None:
            where: NodePath = ("defaults", "prompt", "system")
            yield from names.check(where, shared, position, variable)
        model_path = (*path, "prompt", "model")
        yield from _model(document, around, model_path, _mapping(step["prompt"]).get("model"))
    yield from _condition(document, (*path, "if"), step)
    yield from _items(document, (*path, "foreach", "items"), loop)
    yield from _tool(document, around, path, step)
    yield from _output_schema(document, (*path, "output_schema"), step.get("output_schema"))


def _condition(document: Document, path: NodePath, step: dict[str, Any]) -> Iterator[Problem]:
    value = step.get("if")
    if isinstance(value, str) and not is_expression(value):
        yield document.problem(
            path,
            "not-an-expression",
            f'"if" is text here, and text is always true: {value!r}',
            f"did you mean ${{{{ {value} }}}}?",
        )


def _items(document: Document, path: NodePath, loop: Mapping[str, Any]) -> Iterator[Problem]:
    value = loop.get("items")
    if isinstance(value, str) and not is_expression(value):
        yield document.problem(
            path,
            "not-an-expression",
            f'"items" must be a list, and {value!r} is text',
            f"did you mean ${{{{ {value} }}}}?",
        )


def _tool(
    document: Document, around: Surroundings, path: NodePath, step: dict[str, Any]
) -> Iterator[Problem]:
    name = step.get("uses")
    if not isinstance(name, str):
        return
    if name not in around.tools:
        near = did_you_mean(name, around.tools) or " known: " + ", ".join(sorted(around.tools))
        yield document.problem(
            (*path, "uses"), "unknown-tool", f'there is no tool "{name}"', near.strip()
        )
        return
    schema = around.tools[name].json_schema
    known, given = schema.get("properties", {}), _mapping(step.get("with"))
    for argument in given:
        if argument not in known:
            near = did_you_mean(argument, known) or " it takes: " + ", ".join(known)
            yield document.problem(
                (*path, "with", argument),
                "unknown-argument",
                f'tool "{name}" has no argument "{argument}"',
                near.strip(),
                at_key=True,
            )
    for argument in schema.get("required", []):
        if argument not in given:
            at = (*path, "with") if "with" in step else (*path, "uses")
            yield document.problem(
                at, "missing-argument", f'tool "{name}" needs the argument "{argument}"'
            )
    yield from _argument_types(document, (*path, "with"), name, schema, given)


def _argument_types(
    document: Document,
    path: NodePath,
    tool: str,
    schema: dict[str, Any],
    given: Mapping[str, Any],
) -> Iterator[Problem]:
    for argument, value in given.items():
        declared = schema.get("properties", {}).get(argument)
        if declared is None or _has_expression(value):
            continue
        whole = {**declared, "$defs": schema.get("$defs", {})}
        for error in Draft202012Validator(whole).iter_errors(value):
            yield document.problem(
                (*path, argument, *error.absolute_path),
                "wrong-type",
                f'argument "{argument}" of tool "{tool}": {error.message}',
            )


def _output_schema(document: Document, path: NodePath, schema: Any) -> Iterator[Problem]:
    if not isinstance(schema, dict):
        return
    try:
        Draft202012Validator.check_schema(_without_expressions(schema))
    except SchemaError as error:
        yield document.problem(
            (*path, *error.absolute_path), "bad-schema", f"not a JSON Schema: {error.message}"
        )


def _without_expressions(schema: Any) -> Any:
    """The schema with everything that is computed later left out."""
    if isinstance(schema, dict):
        return {k: _without_expressions(v) for k, v in schema.items() if not is_expression(v)}
    if isinstance(schema, list):
        return [_without_expressions(item) for item in schema if not is_expression(item)]
    return schema


# -- names in expressions ------------------------------------------------------------------------


class _Names:
    """Checks every path that an expression reads against what exists at that point."""

    def __init__(
        self, document: Document, inputs: tuple[str, ...], steps: dict[str, _StepShape]
    ) -> None:
        self._document = document
        self._inputs = inputs
        self._steps = steps

    def check(
        self, path: NodePath, value: Any, position: int, variable: str | None = None
    ) -> Iterator[Problem]:
        """Problems in a value at any depth; `position` is the step it belongs to."""
        if isinstance(value, Mapping):
            for key, item in value.items():
                yield from self.check((*path, key), item, position, variable)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from self.check((*path, index), item, position, variable)
        elif is_expression(value):
            yield from self._scalar(path, value, position, variable)

    def _scalar(
        self, path: NodePath, text: str, position: int, variable: str | None
    ) -> Iterator[Problem]:
        try:
            found = references(text)
            bad_filters = unknown_filters(text)
        except ExpressionError as error:
            place = self._document.find(path, OPEN)
            yield self._document.problem(path, "bad-expression", str(error), place=place)
            return
        for name, known in bad_filters:
            yield self._document.problem(
                path,
                "unknown-filter",
                f'there is no filter "{name}"',
                did_you_mean(name, known).strip(),
                place=self._document.find(path, name),
            )
        for reference in found:
            problem = self._reference(path, reference, position, variable)
            if problem:
                yield problem

    def _reference(
        self, path: NodePath, reference: Reference, position: int, variable: str | None
    ) -> Problem | None:
        root, *rest = reference.path
        if root == variable:
            return None
        if root == "inputs":
            return self._member(path, reference, 1, self._inputs, "input", "unknown-input")
        if root == "run":
            return self._member(path, reference, 1, RUN_FACTS, "fact of the run", "unknown-name")
        if root == "steps":
            return self._step_output(path, reference, rest, position)
        roots = ["inputs", "steps", "run", *([variable] if variable else [])]
        meant = closest(root, roots)
        hint = f'did you mean "{meant}"?' if meant else "there is: " + ", ".join(roots)
        if root in self._steps:
            hint = f'did you mean "steps.{root}.outputs"?'
        elif root in self._inputs:
            hint = f'did you mean "inputs.{root}"?'
        return self._say(path, reference, 0, "unknown-name", f'there is no "{root}"', hint)

    def _step_output(
        self, path: NodePath, reference: Reference, rest: list[str], position: int
    ) -> Problem | None:
        problem = self._member(path, reference, 1, tuple(self._steps), "step", "unknown-step")
        if problem or not rest or rest[0] == "*":
            return problem
        shape = self._steps[rest[0]]
        if shape.position >= position:
            when = "is this one" if shape.position == position else "comes later"
            message = f'step "{rest[0]}" {when}: it has no outputs yet'
            return self._say(path, reference, 1, "not-yet-run", message, "")
        problem = self._member(path, reference, 2, ("outputs",), "part of a step", "unknown-name")
        if problem or len(rest) < 3 or rest[2] == "*":
            return problem
        if shape.is_list:
            message = f'the outputs of "{rest[0]}" are a list, one entry for each item of foreach'
            hint = f"did you mean steps.{rest[0]}.outputs | map(attribute='{rest[2]}')?"
            return self._say(path, reference, 3, "is-a-list", message, hint)
        if shape.keys is not None:
            return self._member(path, reference, 3, shape.keys, "output", "unknown-output")
        return None

    def _member(
        self,
        path: NodePath,
        reference: Reference,
        depth: int,
        known: tuple[str, ...],
        kind: str,
        rule: str,
    ) -> Problem | None:
        """A problem if the part of a reference at `depth` is not one of `known`."""
        if len(reference.path) <= depth or reference.path[depth] in (*known, "*"):
            return None
        name = reference.path[depth]
        hint = did_you_mean(name, known).strip()
        if not hint:
            hint = "there is: " + ", ".join(known) if known else f"there is no {kind} at all"
        return self._say(path, reference, depth, rule, f'there is no {kind} "{name}"', hint)

    def _say(
        self,
        path: NodePath,
        reference: Reference,
        depth: int,
        rule: str,
        message: str,
        suggestion: str,
    ) -> Problem:
        """A problem at one name within an expression."""
        start = self._document.find(path, OPEN, reference.expression)
        inside = self._document.after(start, ".".join(reference.path[: depth + 1]))
        name = reference.path[depth]
        place = inside.tail(len(name)) if inside else start
        return self._document.problem(path, rule, message, suggestion, place=place)


# -- the rest ------------------------------------------------------------------------------------


def _inputs(document: Document, inputs: Mapping[str, Any]) -> Iterator[Problem]:
    for name, declared in inputs.items():
        if not isinstance(declared, dict) or declared.get("default") is None:
            continue
        try:
            model = Input.model_validate({**declared, "default": None})
        except ValueError:
            continue  # the structure is wrong: reported elsewhere
        if model.type in ("file", "folder"):
            continue  # whether a path exists is a matter of the run
        try:
            if convert(model, declared["default"]) != declared["default"]:
                raise ValueError(f"must be {model.type}, not {declared['default']!r}")
        except ValueError as error:
            path = ("inputs", name, "default")
            yield document.problem(path, "bad-default", f"the default does not fit: {error}")


def _model(
    document: Document, around: Surroundings, path: NodePath, name: Any
) -> Iterator[Problem]:
    if isinstance(name, str) and not is_expression(name) and name not in around.models:
        hint = did_you_mean(name, around.models).strip() or "see: agentkit models list"
        yield document.problem(path, "unknown-model", f'there is no model "{name}"', hint)


def _bare_braces(document: Document, value: Any, path: NodePath) -> Iterator[Problem]:
    """`key: {{ x }}` is a mapping in YAML; whoever writes it means an expression."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _bare_braces(document, item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _bare_braces(document, item, (*path, index))
    elif document.starts_with(path, "{{"):
        yield document.problem(
            path, "bare-braces", "YAML takes this for a mapping", f"did you mean ${value}?"
        )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _has_expression(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_expression(item) for item in value.values())
    if isinstance(value, list):
        return any(_has_expression(item) for item in value)
    return is_expression(value)
