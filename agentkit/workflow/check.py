"""What can be known to be wrong before a workflow runs.

Works on the parsed file, not on the pydantic model, so that a file with a structural fault still
gets all its other problems reported.  Structure itself (unknown keys, wrong types) is `spec`'s.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agentkit.errors import Problem, did_you_mean
from agentkit.schema import WRITTEN_OUT
from agentkit.toolbox import Tool
from agentkit.validation import describe
from agentkit.workflow import expressions, output_schema
from agentkit.workflow.expressions import (
    ExpressionError,
    is_expression,
    is_whole,
)
from agentkit.workflow.inputs import A_KIND, convert
from agentkit.workflow.names import Names, StepShape, mapping
from agentkit.workflow.quality import ANSWER, FILES, OUTPUTS
from agentkit.workflow.spec import FOREIGN_KEYS, Input
from agentkit.yamlfile import Document, NodePath

FIXED = ("id", "name", "uses")
"""Keys of a step in which an expression makes no sense."""

TEXT_ONLY: Mapping[str, Any] = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
}
"""The outputs of a prompt without `output_schema`."""

AGENT: Mapping[str, Any] = {
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
"""The outputs of an agent; the answer is data where one of its checks is a schema."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What exists outside the file."""

    tools: Mapping[str, Tool]
    models: frozenset[str]


def check(document: Document, around: Surroundings) -> Iterator[Problem]:
    """Every problem that goes beyond the structure, in no particular order."""
    data = document.data
    if data is None:
        message = "the file is empty: a workflow has a name and steps"
        yield document.problem((), "not-a-workflow", message)
        return
    if not isinstance(data, dict):
        message = f"a workflow is a mapping with name and steps, not {describe(data)}"
        yield document.problem((), "not-a-workflow", message)
        return
    yield from _bare_braces(document, data, ())
    yield from _inputs(document, mapping(data.get("inputs")))
    yield from _fixed_text(document, ("name",), data.get("name"))
    for key, value in mapping(data.get("permissions")).items():
        yield from _fixed_text(document, ("permissions", key), value)
    steps = _list(data.get("steps"))
    names = Names(document, mapping(data.get("inputs")), _shapes(steps))
    yield from _duplicate_ids(document, steps)
    for position, step in enumerate(steps):
        if isinstance(step, dict):
            yield from _step(document, names, around, step, position, data)
    yield from names.check(("outputs",), data.get("outputs"), len(steps))
    default_model = mapping(mapping(data.get("defaults")).get("prompt")).get("model")
    yield from _model(document, around, ("defaults", "prompt", "model"), default_model)


# -- steps ---------------------------------------------------------------------------------------


def _shapes(steps: list[Any]) -> dict[str, StepShape]:
    shapes: dict[str, StepShape] = {}
    for position, step in enumerate(steps):
        if not isinstance(step, dict) or not isinstance(step.get("id"), str):
            continue
        schema = step.get("output_schema")
        known: Mapping[str, Any] = mapping(schema)
        if step.get("prompt") is not None and schema is None:
            known = TEXT_ONLY
        if step.get("agent") is not None:
            known = AGENT
        if "foreach" in step:
            known = {"type": "array", "items": known}
        shapes.setdefault(step["id"], StepShape(position, known))
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
    names: Names,
    around: Surroundings,
    step: dict[str, Any],
    position: int,
    data: dict[str, Any],
) -> Iterator[Problem]:
    path: NodePath = ("steps", position)
    where: NodePath
    loop = mapping(step.get("foreach"))
    variable = loop.get("as", "item") if loop else None
    if not isinstance(variable, str):
        variable = "item" if loop else None
    if "foreach" not in step and any(
        FOREIGN_KEYS.get(k) == "foreach" or k == "items" for k in step
    ):
        variable = "item"  # what is wrong is the key
    for key, value in step.items():
        here = (*path, key)
        if key in FIXED:
            yield from _fixed_text(document, here, value)
        elif key == "foreach":
            yield from _fixed_text(document, (*here, "as"), loop.get("as"))
            yield from names.check((*here, "items"), loop.get("items"), position)
        elif key == "checks":
            pass  # fixed text, and expressions that read other names
        elif key == "agent" and isinstance(value, dict):
            for computed in ("objective", "model"):
                where = (*here, computed)
                yield from names.check(where, value.get(computed), position, variable)
        else:
            yield from names.check(here, value, position, variable)
    if step.get("prompt") is not None:
        prompt = mapping(step["prompt"])
        yield from _fixed_text(document, (*path, "prompt", "stop"), prompt.get("stop"))
        shared = mapping(mapping(data.get("defaults")).get("prompt"))
        for key in ("system", "model"):
            if prompt.get(key) is None:
                where = ("defaults", "prompt", key)
                yield from names.check(where, shared.get(key), position, variable)
        yield from _model(document, around, (*path, "prompt", "model"), prompt.get("model"))
        yield from _offered(document, around, (*path, "prompt", "tools"), prompt.get("tools"))
        yield from _examples(document, (*path, "prompt", "examples"), step)
    if step.get("agent") is not None:
        agent = mapping(step["agent"])
        yield from _agent(document, around, (*path, "agent"), agent)
        yield from _checks(document, names, (*path, "agent"), agent, position, variable, ANSWER)
    else:
        word = OUTPUTS if "uses" in step else ANSWER
        yield from _checks(document, names, path, step, position, variable, word)
    yield from _condition(document, (*path, "if"), step)
    yield from _items(document, (*path, "foreach", "items"), loop)
    yield from _tool(document, around, path, step)
    for fault in output_schema.faults(step.get("output_schema")):
        yield document.problem(
            (*path, "output_schema", *fault.path),
            fault.rule,
            fault.message,
            fault.suggestion,
            at_key=fault.at_key,
        )


def _agent(
    document: Document, around: Surroundings, path: NodePath, agent: Mapping[str, Any]
) -> Iterator[Problem]:
    yield from _model(document, around, (*path, "model"), agent.get("model"))
    yield from _offered(document, around, (*path, "tools"), agent.get("tools"))


def _checks(
    document: Document,
    names: Names,
    path: NodePath,
    data: Mapping[str, Any],
    position: int,
    variable: str | None,
    word: str,
) -> Iterator[Problem]:
    """What has to hold of a result, which expressions call by a `word`."""
    yield from _fixed_text(document, (*path, "checks"), data.get("checks"))
    for index, check in enumerate(_list(data.get("checks"))):
        here = (*path, "checks", index)
        expression = mapping(check).get("expression")
        if isinstance(expression, str) and not is_expression(expression):
            place = (*here, "expression")
            yield from names.bare(place, expression, position, variable, (word, FILES))
        for fault in output_schema.faults(mapping(check).get("schema")):
            yield document.problem(
                (*here, "schema", *fault.path), fault.rule, fault.message, fault.suggestion,
                at_key=fault.at_key,
            )  # fmt: skip


def _fixed_text(document: Document, path: NodePath, value: Any) -> Iterator[Problem]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _fixed_text(document, (*path, index), item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _fixed_text(document, (*path, key), item)
    elif is_expression(value):
        key = next(part for part in reversed(path) if isinstance(part, str))
        message = f'"{key}" is fixed text: an expression is not evaluated here'
        yield document.problem(path, "misplaced-expression", message)


def _condition(document: Document, path: NodePath, step: dict[str, Any]) -> Iterator[Problem]:
    value = step.get("if")
    if "if" in step and value is None:
        message = '"if" is empty: the step would always run'
        yield document.problem(path, "not-an-expression", message, at_key=True)
    if isinstance(value, str):
        message = f'"if" is text here, and text is always true: {json.dumps(value)}'
        boolean = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(value.lower())
        if boolean:
            hint = f"did you mean {boolean}?"
            yield document.problem(path, "not-an-expression", message, hint)
        else:
            yield from _not_whole(document, path, value, message)


def _items(document: Document, path: NodePath, loop: Mapping[str, Any]) -> Iterator[Problem]:
    value = loop.get("items")
    if isinstance(value, str):
        message = f'"items" must be a list, and this is text: {json.dumps(value)}'
        yield from _not_whole(document, path, value, message)


def _not_whole(document: Document, path: NodePath, value: str, message: str) -> Iterator[Problem]:
    """A problem unless the value is one expression and nothing else."""
    if is_expression(value) and is_whole(value):
        return
    inner = " ".join(value.replace(expressions.OPEN, " ").replace(expressions.CLOSE, " ").split())
    meant = f"{expressions.OPEN} {inner} {expressions.CLOSE}"
    try:
        expressions.check(meant)
    except ExpressionError:
        meant = ""
    hint = f"did you mean {meant}?" if meant and len(inner) < 80 else ""
    yield document.problem(path, "not-an-expression", message, hint)


def _tool(
    document: Document, around: Surroundings, path: NodePath, step: dict[str, Any]
) -> Iterator[Problem]:
    name = step.get("uses")
    if not isinstance(name, str) or is_expression(name):
        return
    if name not in around.tools:
        yield _no_tool(document, around, (*path, "uses"), name)
        return
    given = mapping(step.get("with"))
    if "with" in step and not isinstance(step["with"], dict):
        return  # that is wrong already
    parameters = around.tools[name].parameters
    properties = parameters.json_schema.get("properties", {})
    for argument, value in given.items():
        if is_expression(value) and properties.get(argument, {}).get(WRITTEN_OUT):
            message = f'"{argument}" of "{name}" is written out, never computed'
            hint = "hand values in beside it; text from a model must not become a template"
            yield document.problem((*path, "with", argument), "fixed-text", message, hint)
    missing = []
    for fault in parameters.faults(given):
        where = (*path, "with", *fault.path)
        value = _at(given, fault.path)
        if fault.rule == "missing-argument" and not fault.path:
            missing.append(fault.message.split('"')[1])
        elif fault.rule == "unknown-argument" and len(fault.path) == 1:
            message = f'tool "{name}" has no argument "{fault.path[0]}"'
            yield document.problem(where, fault.rule, message, fault.suggestion, at_key=True)
        elif fault.rule != "wrong-type":
            at_key = fault.rule == "unknown-argument"
            yield document.problem(where, fault.rule, fault.message, at_key=at_key)
        elif not _has_expression(value):
            name = next(part for part in reversed(fault.path) if isinstance(part, str))
            what = f'argument "{name}"' if len(fault.path) == 1 else f'"{name}"'
            message = f"{what} {fault.message}"
            yield document.problem(where, fault.rule, message, fault.suggestion)
    if missing:
        listed = " and ".join(f'"{argument}"' for argument in missing)
        message = f'tool "{name}" needs the argument{"s"[: len(missing) - 1]} {listed}'
        yield document.problem((*path, "uses"), "missing-argument", message)


def _no_tool(document: Document, around: Surroundings, path: NodePath, name: str) -> Problem:
    listed = ", ".join(sorted(around.tools))
    hint = did_you_mean(name, around.tools).strip() or f"there is: {listed}"
    return document.problem(path, "unknown-tool", f'there is no tool "{name}"', hint)


def _offered(
    document: Document, around: Surroundings, path: NodePath, names: Any
) -> Iterator[Problem]:
    """The tools that a prompt offers to its model."""
    yield from _fixed_text(document, path, names)
    for index, name in enumerate(_list(names)):
        if isinstance(name, str) and not is_expression(name) and name not in around.tools:
            yield _no_tool(document, around, (*path, index), name)


def _at(value: Any, path: NodePath) -> Any:
    for part in path:
        value = value[part]
    return value


def _examples(document: Document, path: NodePath, step: dict[str, Any]) -> Iterator[Problem]:
    """An example that its own `output_schema` forbids teaches the model what it cannot say."""
    schema, examples = step.get("output_schema"), mapping(step.get("prompt")).get("examples")
    if not isinstance(examples, list):
        return
    for index, example in enumerate(examples):
        here, answer = (*path, index, "answer"), mapping(example).get("answer")
        if answer is None or _has_expression(answer):
            continue
        if schema is None and not isinstance(answer, str):
            message = "the answer of an example is text where the step has no output_schema"
            yield document.problem(here, "bad-example", message)
        if not isinstance(schema, dict) or _has_expression(schema):
            continue
        if isinstance(answer, str):
            try:
                answer, inside = json.loads(answer), False
            except ValueError:
                inside = True
        else:
            inside = True
        for fault in output_schema.misfits(answer, schema):
            where = (*here, *fault.path) if inside else here
            message = f"the answer does not fit output_schema: {fault.message}"
            yield document.problem(where, "bad-example", message, fault.suggestion)


# -- the rest ------------------------------------------------------------------------------------


def _inputs(document: Document, inputs: Mapping[str, Any]) -> Iterator[Problem]:
    for name, declared in inputs.items():
        path: NodePath = ("inputs", name)
        if not isinstance(declared, dict):
            continue
        for key in ("default", "enum"):
            yield from _fixed_text(document, (*path, key), declared.get(key))
        try:
            model = Input.model_validate({**declared, "default": None})
        except ValueError:
            continue  # the structure is wrong: reported elsewhere
        yield from _limits(document, path, model, declared)
        bare = model.model_copy(update={"enum": None})
        for index, option in enumerate(model.enum or ()):
            fault = list(_value(document, (*path, "enum", index), bare, option, "the option"))
            if fault:
                yield from fault
                break  # if one has the wrong type, so have the others
        default = declared.get("default")
        if not is_expression(default):
            yield from _value(document, (*path, "default"), model, default, "the default")


def _limits(
    document: Document, path: NodePath, model: Input, declared: dict[str, Any]
) -> Iterator[Problem]:
    for key, kinds in (
        ("minimum", ("integer", "number")),
        ("maximum", ("integer", "number")),
        ("pattern", ("string", "file", "folder")),
    ):
        if declared.get(key) is not None and model.type not in kinds:
            message = f'"{key}" is for {" and ".join(kinds)}, and this input is a {model.type}'
            yield document.problem((*path, key), "misplaced-key", message, at_key=True)
    if None not in (model.minimum, model.maximum) and model.minimum > model.maximum:  # type: ignore[operator]  # neither is None
        message = f"no value is at least {model.minimum:g} and at most {model.maximum:g}"
        yield document.problem((*path, "maximum"), "bad-limit", message)


def _value(
    document: Document, path: NodePath, model: Input, value: Any, what: str
) -> Iterator[Problem]:
    """A default, or an option of an enum, that the input itself would refuse."""
    if value is None or model.type in ("file", "folder"):
        return  # whether a path exists is a matter of the run
    try:
        if type(convert(model, value)) is not type(value):
            raise ValueError(f"must be {A_KIND[model.type]}, not {describe(value)}")
    except ValueError as error:
        hint = ""
        if isinstance(value, bool | int | float) and model.type == "string":
            hint = "put it in quotes"
        message = f"{what} does not fit: {error}"
        yield document.problem(path, "bad-default", message, hint)


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
    elif document.source(path).startswith("{{"):
        message = "YAML takes {{ for a mapping"
        yield document.problem(path, "bare-braces", message, f"did you mean ${value}?")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _has_expression(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_expression(item) for item in value.values())
    if isinstance(value, list):
        return any(_has_expression(item) for item in value)
    return is_expression(value)
