"""What starts a workflow: other workflows that it follows, folders, and what its runs are given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agentkit.errors import Problem, did_you_mean
from agentkit.workflow.check.around import Others, Surroundings
from agentkit.workflow.check.text import entries, fixed_text, has_expression
from agentkit.workflow.inputs import convert
from agentkit.workflow.names import Names, View, mapping
from agentkit.workflow.spec import Input
from agentkit.workflow.spec.triggers import FACTS, STARTS
from agentkit.yamlfile import Document, NodePath


def triggers(
    document: Document, around: Surroundings, names: Names, data: Mapping[str, Any]
) -> Iterator[Problem]:
    """Everything that can be wrong beyond single words."""
    declared = mapping(data.get("inputs"))
    before: list[Any] = []
    for index, trigger in enumerate(entries(data.get("triggers"))):
        path: NodePath = ("triggers", index)
        if not isinstance(trigger, dict):
            continue
        for key, value in trigger.items():
            if key != "with":
                yield from fixed_text(document, (*path, key), value)
        if trigger in before:
            yield document.problem(path, "duplicate-trigger", "this trigger is there already")
        before.append(trigger)
        start = next((key for key in STARTS if key in trigger), None)
        if start is None:
            continue
        if start == "after":
            yield from _after(document, around, (*path, "after"), trigger["after"], data)
        if start == "watch":
            yield from _watch(document, (*path, "watch"), trigger["watch"])
        facts = ("name", "kind", *FACTS[start])
        view = View({}, members={"trigger": facts})
        yield from names.check((*path, "with"), trigger.get("with"), view)
        yield from _given(document, path, start, mapping(trigger.get("with")), declared)


def _after(
    document: Document, around: Surroundings, path: NodePath, said: Any, data: Mapping[str, Any]
) -> Iterator[Problem]:
    if isinstance(said, dict):
        said, path = said.get("workflow"), (*path, "workflow")
    if not isinstance(said, str):
        return
    own = data.get("name")
    if said != own and said not in around.others:
        there = ", ".join(sorted(around.others)) or "none"
        hint = did_you_mean(said, around.others).strip() or f"there is: {there}"
        yield document.problem(path, "unknown-workflow", f'there is no workflow "{said}"', hint)
    elif isinstance(own, str) and (circle := _circle(said, own, around.others)):
        shown = " after ".join([own, *circle])
        message = f"it would start itself for ever: {shown}"
        yield document.problem(path, "endless-circle", message)


def _circle(first: str, own: str, others: Others) -> list[str]:
    """How following `first` leads back to `own`, if it does."""
    left, seen = [[first]], set[str]()
    while left:
        way = left.pop(0)
        if way[-1] == own:
            return way
        if way[-1] in seen:
            continue
        seen.add(way[-1])
        spec = others.get(way[-1])
        if spec is not None:
            left += [[*way, one.after.workflow] for one in spec.triggers if one.after is not None]
    return []


def _watch(document: Document, path: NodePath, said: Any) -> Iterator[Problem]:
    folder, pattern = said, "*"
    where = path
    if isinstance(said, dict):
        folder, pattern, where = said.get("folder"), said.get("pattern", "*"), (*path, "folder")
    if isinstance(folder, str) and not folder.startswith(("/", "~")):
        message = f'"{folder}" depends on where the service runs'
        yield document.problem(where, "bad-folder", message, "give the full path, or ~/...")
    if isinstance(pattern, str):
        name = pattern.removeprefix("**/")
        if not name or "/" in name or name in (".", ".."):
            message = f'"{pattern}" is no pattern for names of files'
            hint = "such as *.mp3, or **/*.mp3 for folders in the folder, too"
            yield document.problem((*path, "pattern"), "bad-pattern", message, hint)


def _given(
    document: Document,
    path: NodePath,
    start: str,
    given: Mapping[str, Any],
    declared: Mapping[str, Any],
) -> Iterator[Problem]:
    """The inputs that a trigger gives, and those that it leaves out."""
    for name, value in given.items():
        where = (*path, "with", name)
        if name not in declared:
            hint = did_you_mean(str(name), declared).strip()
            message = f'the workflow has no input "{name}"'
            yield document.problem(where, "unknown-argument", message, hint, at_key=True)
            continue
        model = _model(declared[name])
        if model is None or has_expression(value) or model.type in ("file", "folder"):
            continue
        try:
            convert(model, value)
        except ValueError as error:
            yield document.problem(where, "wrong-type", f'input "{name}" {error}')
    models = {name: _model(one) for name, one in declared.items()}
    missing = [
        name for name, one in models.items()
        if one is not None and not one.optional and name not in given
    ]  # fmt: skip
    if missing:
        listed = " and ".join(f'"{name}"' for name in missing)
        message = f"the workflow needs the input{'s'[: len(missing) - 1]} {listed}"
        hint = f"give it: with: {{{missing[0]}: ...}}"
        yield document.problem((*path, start), "missing-argument", message, hint, at_key=True)


def _model(declared: Any) -> Input | None:
    """What is declared; None where that is wrong itself, and reported elsewhere."""
    try:
        return Input.model_validate({} if declared is None else declared)
    except ValueError:
        return None
