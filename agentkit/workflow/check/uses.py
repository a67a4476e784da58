"""What a step uses: tools with their arguments, other workflows with their inputs, models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentkit.errors import Problem, did_you_mean
from agentkit.schema import WRITTEN_OUT
from agentkit.workflow.check.around import Surroundings
from agentkit.workflow.check.text import entries, fixed_text, has_expression
from agentkit.workflow.expressions import is_expression
from agentkit.workflow.inputs import convert
from agentkit.workflow.names import mapping
from agentkit.workflow.spec import Workflow
from agentkit.workflow.spec.steps import WORKFLOW
from agentkit.yamlfile import Document, NodePath


def used(
    document: Document, around: Surroundings, path: NodePath, step: Mapping[str, Any]
) -> Iterator[Problem]:
    """The tool or workflow of a step, and what it is given."""
    name = step.get("uses")
    if not isinstance(name, str) or is_expression(name):
        return
    if name.startswith(WORKFLOW):
        yield from _workflow(document, around, path, step, name.removeprefix(WORKFLOW))
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
        elif not has_expression(value):
            last = next(part for part in reversed(fault.path) if isinstance(part, str))
            what = f'argument "{last}"' if len(fault.path) == 1 else f'"{last}"'
            message = f"{what} {fault.message}"
            yield document.problem(where, fault.rule, message, fault.suggestion)
    if missing:
        listed = " and ".join(f'"{argument}"' for argument in missing)
        message = f'tool "{name}" needs the argument{"s"[: len(missing) - 1]} {listed}'
        yield document.problem((*path, "uses"), "missing-argument", message)


def leaks(around: Surroundings, step: Mapping[str, Any], argument: str) -> str:
    """What to do instead where an argument would put a secret in the open; empty: it may be given.

    An input of another workflow would be read by all of its expressions; a tool that writes files,
    and does nothing else, has no place for it but a file.
    """
    name = step.get("uses")
    if not isinstance(name, str):
        return ""
    if name.startswith(WORKFLOW):
        spec = around.others.get(name.removeprefix(WORKFLOW))
        if spec is None or argument not in spec.inputs or spec.inputs[argument].type == "secret":
            return ""
        return f'in "{spec.name}", give the input "{argument}" the type secret'
    if name in around.tools and set(around.tools[name].effects) == {"writes"}:
        return f'"{name}" would write it to a file; a script reads it from its "env"'
    return ""


def _workflow(
    document: Document, around: Surroundings, path: NodePath, step: Mapping[str, Any], name: str
) -> Iterator[Problem]:
    here = (*path, "uses")
    if name not in around.others:
        there = ", ".join(sorted(around.others)) or "none"
        hint = did_you_mean(name, around.others).strip() or f"there is: {there}"
        yield document.problem(here, "unknown-workflow", f'there is no workflow "{name}"', hint)
        return
    spec = around.others[name]
    if spec is None:
        message = f'the workflow "{name}" has problems of its own'
        yield document.problem(here, "broken-workflow", message, f"see: agentkit check {name}")
        return
    if "with" in step and not isinstance(step["with"], dict):
        return  # that is wrong already
    yield from _inputs(document, path, spec, mapping(step.get("with")))


def _inputs(
    document: Document, path: NodePath, spec: Workflow, given: Mapping[str, Any]
) -> Iterator[Problem]:
    for name, value in given.items():
        where = (*path, "with", name)
        if name not in spec.inputs:
            hint = did_you_mean(name, spec.inputs).strip()
            message = f'workflow "{spec.name}" has no input "{name}"'
            yield document.problem(where, "unknown-argument", message, hint, at_key=True)
        elif not has_expression(value) and spec.inputs[name].type not in ("file", "folder"):
            try:
                convert(spec.inputs[name], value)
            except ValueError as error:
                message = f'input "{name}" {error}'
                yield document.problem(where, "wrong-type", message)
    missing = [name for name, one in spec.inputs.items() if not one.optional and name not in given]
    if missing:
        listed = " and ".join(f'"{name}"' for name in missing)
        message = f'workflow "{spec.name}" needs the input{"s"[: len(missing) - 1]} {listed}'
        yield document.problem((*path, "uses"), "missing-argument", message)


def _no_tool(document: Document, around: Surroundings, path: NodePath, name: str) -> Problem:
    listed = ", ".join(sorted(around.tools))
    hint = did_you_mean(name, around.tools).strip() or f"there is: {listed}"
    return document.problem(path, "unknown-tool", f'there is no tool "{name}"', hint)


def offered(
    document: Document, around: Surroundings, path: NodePath, names: Any
) -> Iterator[Problem]:
    """The tools that a prompt offers to its model."""
    yield from fixed_text(document, path, names)
    for index, name in enumerate(entries(names)):
        if isinstance(name, str) and not is_expression(name) and name not in around.tools:
            yield _no_tool(document, around, (*path, index), name)


def model(document: Document, around: Surroundings, path: NodePath, name: Any) -> Iterator[Problem]:
    """A model that a prompt or an agent names."""
    if isinstance(name, str) and not is_expression(name) and name not in around.models:
        hint = did_you_mean(name, around.models).strip() or "see: agentkit models list"
        yield document.problem(path, "unknown-model", f'there is no model "{name}"', hint)


def pictures(
    document: Document, around: Surroundings, path: NodePath, images: Any, model: Any
) -> Iterator[Problem]:
    """Pictures for a model that reads text only."""
    if not images or is_expression(model) or not isinstance(model, str | None):
        return
    if (model is None or model in around.models) and not around.sees(model):
        named = f'the model "{model}"' if model else "the model of the role chat"
        message = f"{named} reads text only, and sees no pictures"
        hint = "name one that sees, on a server: remotes in settings"
        yield document.problem(path, "no-images", message, hint)


def _at(value: Any, path: NodePath) -> Any:
    for part in path:
        value = value[part]
    return value
