"""The names that expressions read, checked against what exists at that point of the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agentkit.errors import Problem, closest, did_you_mean
from agentkit.workflow import expressions
from agentkit.workflow.environment import TEXT_METHODS
from agentkit.workflow.expressions import ExpressionError, Reference, is_expression
from agentkit.workflow.inputs import A_KIND
from agentkit.workflow.spec import RESERVED
from agentkit.yamlfile import Document, NodePath

RUN_FACTS = ("id", "date", "folder")
"""What `run.…` offers."""

INSTEAD = {
    "len": "| length",
    "str": "| string",
    "string": "| string",
    "int": "| int",
    "float": "| float",
    "list": "| list",
    "sorted": "| sort",
    "sum": "| sum",
    "min": "| min",
    "max": "| max",
    "round": "| round",
    "abs": "| abs",
    "json": "| tojson",
    "tojson": "| tojson",
    "fromjson": "| fromjson",
    "contains": "in",
    "format": "~ between texts, or | format",
    "join": "| join(', ')",
    "null": "none",
    "nil": "none",
    "undefined": "is defined",
}
"""Functions and constants of other languages, and what stands for them here."""


@dataclass(frozen=True, slots=True)
class StepShape:
    """What other steps may read of a step; an empty schema where that cannot be known."""

    position: int
    schema: Mapping[str, Any]


class Names:
    """Checks every path that an expression reads against what exists at that point."""

    def __init__(
        self, document: Document, inputs: Mapping[str, Any], steps: dict[str, StepShape]
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

    def bare(
        self,
        path: NodePath,
        expression: str,
        position: int,
        variable: str | None,
        also: Sequence[str],
    ) -> Iterator[Problem]:
        """Problems in an expression without braces, which can read some names more."""
        text = f"{expressions.OPEN} {expression} {expressions.CLOSE}"
        before = len(expressions.OPEN) + 1
        yield from self._scalar(path, text, position, variable, also, before)

    def _scalar(
        self,
        path: NodePath,
        text: str,
        position: int,
        variable: str | None,
        also: Sequence[str] = (),
        before: int = 0,
    ) -> Iterator[Problem]:
        """`before` characters of the text do not stand in the file."""
        try:
            found = expressions.references(text)
            words = expressions.unknown_words(text)
        except ExpressionError as error:
            place = self._document.inside(path, error.offset - before, error.length)
            hint = error.hint or ""
            yield self._document.problem(path, "bad-expression", str(error), hint, place=place)
            return
        for word in words:
            message = f'there is no {word.kind} "{word.name}"'
            hint = did_you_mean(word.name, word.known).strip()
            place = self._document.inside(path, word.offset - before, len(word.name))
            yield self._document.problem(path, f"unknown-{word.kind}", message, hint, place=place)
        for reference in found:
            if reference.path[0] in also:
                continue
            offsets = tuple(offset - before for offset in reference.offsets)
            here = replace(reference, offsets=offsets)
            problem = self._reference(path, here, position, variable, also)
            if problem:
                yield problem

    def _reference(
        self,
        path: NodePath,
        reference: Reference,
        position: int,
        variable: str | None,
        also: Sequence[str],
    ) -> Problem | None:
        root, *rest = reference.path
        if root == variable:
            return None
        if root == "inputs":
            return self._input(path, reference)
        if root == "run":
            return self._member(path, reference, 1, RUN_FACTS, "fact of the run", "unknown-name")
        if root == "steps":
            return self._step_output(path, reference, rest, position)
        return self._unknown_root(path, reference, variable, also)

    def _unknown_root(
        self, path: NodePath, reference: Reference, variable: str | None, also: Sequence[str]
    ) -> Problem:
        root = reference.path[0]
        roots = [*also, *RESERVED, *([variable] if variable else [])]
        near = closest(root, roots)
        if root in self._steps:
            hint = f'did you mean "steps.{root}.outputs"?'
        elif root in self._inputs:
            hint = f'did you mean "inputs.{root}"?'
        elif root.lower() in INSTEAD:
            hint = f"did you mean {INSTEAD[root.lower()]}?"
        elif root == "item" and variable:
            hint = f'it is called "{variable}" here'
        elif root == "item":
            hint = "only a step with foreach has it, and not in its items"
        else:
            hint = f'did you mean "{near}"?' if near else "there is: " + ", ".join(roots)
        return self._say(path, reference, 0, "unknown-name", f'there is no "{root}"', hint)

    def _input(self, path: NodePath, reference: Reference) -> Problem | None:
        known = tuple(self._inputs)
        problem = self._member(path, reference, 1, known, "input", "unknown-input")
        if problem or len(reference.path) < 3 or reference.path[1] == "*":
            return problem
        kind = mapping(self._inputs[reference.path[1]]).get("type", "string")
        schema = {"object": "object", "list": "array", "file": "string", "folder": "string"}
        shape = {"type": schema.get(kind, kind)} if isinstance(kind, str) else {}
        return self._within(path, reference, 2, f'input "{reference.path[1]}"', shape)

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
        if len(rest) > 1 and rest[1] not in ("outputs", "*"):
            message = f'a step has no "{rest[1]}"'
            near = closest(rest[1], ["outputs"])
            wanted = ".".join(rest[:1] + ["outputs"] + (rest[2:] if near else rest[1:]))
            hint = f'did you mean "steps.{wanted}"?'.replace(".*", "")
            return self._say(path, reference, 2, "unknown-name", message, hint)
        if "*" in rest[:2]:
            return None
        return self._within(path, reference, 3, f'"{rest[0]}"', shape.schema)

    def _within(
        self,
        path: NodePath,
        reference: Reference,
        depth: int,
        what: str,
        schema: Mapping[str, Any],
    ) -> Problem | None:
        """Follow the rest of a reference into what a JSON Schema says about the value."""
        while depth < len(reference.path):
            name, kind = reference.path[depth], schema.get("type")
            if kind == "array" and name == "*":
                schema = mapping(schema.get("items"))
            elif kind == "array":
                parts = ".".join(reference.path[:depth])
                message = f'{what} gives a list here, which has no "{name}"'
                hint = f"did you mean {parts} | map(attribute='{name}')?"
                if name in ("length", "size", "count"):
                    hint = f"did you mean {parts} | length?"
                return self._say(path, reference, depth, "is-a-list", message, hint)
            elif kind == "object" and isinstance(schema.get("properties"), Mapping):
                known = tuple(schema["properties"])
                problem = self._member(path, reference, depth, known, "output", "unknown-output")
                if problem or name == "*":
                    return problem
                schema = mapping(schema["properties"][name])
            elif kind in ("string", "integer", "number", "boolean") and name != "*":
                if kind == "string" and reference.called and name in TEXT_METHODS:
                    return None
                message = f'{what} gives {A_KIND[kind]} here, which has no "{name}"'
                return self._say(path, reference, depth, "unknown-name", message, "")
            else:
                return None
            depth += 1
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
            hint = "there is: " + ", ".join(known) if known else "the workflow declares none"
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
        place = self._document.inside(path, reference.offsets[depth], len(reference.path[depth]))
        return self._document.problem(path, rule, message, suggestion, place=place)


def mapping(value: Any) -> Mapping[str, Any]:
    """A mapping as it is, and an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}
