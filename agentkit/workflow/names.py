"""The names that expressions read, checked against what exists at that point of the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from typing import Any

from agentkit.errors import Problem, closest, did_you_mean
from agentkit.values import dataclass
from agentkit.workflow import expressions
from agentkit.workflow.environment import TEXT_METHODS
from agentkit.workflow.expressions import ExpressionError, Reference, is_expression
from agentkit.workflow.inputs import A_KIND
from agentkit.yamlfile import Document, NodePath

RUN_FACTS = ("id", "date", "folder")
"""What `run.…` offers."""

SCHEMAS = {
    "object": "object", "list": "array", "file": "string", "folder": "string", "secret": "string",
}  # fmt: skip
"""Types of inputs in the words of JSON Schema, where those are others."""

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


STEP_FACTS = ("outputs", "status", "error")
"""What `steps.ID.…` offers."""


@dataclass(frozen=True, slots=True)
class Unready:
    """Why a step that is there cannot be read here, and what to do about it."""

    why: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """What the expressions of one place can read.

    `steps` have the JSON Schema of their outputs, an empty one where that cannot be known; `also`
    are names that only this place has, `secrets` those that may be read here, if any may.
    """

    inputs: Mapping[str, Any]
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unready: Mapping[str, Unready] = field(default_factory=dict)
    variables: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    secrets: tuple[str, ...] | None = None
    instead: str = 'only "with" and "env" of a step read secrets'
    """What to do where none may be read."""
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """More names that only this place has, and what each offers."""

    @property
    def roots(self) -> tuple[str, ...]:
        """What an expression can begin with."""
        held = () if self.secrets is None else ("secrets",)
        return (*self.also, *self.members, "inputs", "steps", "run", *held, *self.variables)


class Names:
    """Checks every path that an expression reads against what exists at that point."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def check(self, path: NodePath, value: Any, view: View) -> Iterator[Problem]:
        """Problems in a value at any depth."""
        if isinstance(value, Mapping):
            for key, item in value.items():
                yield from self.check((*path, key), item, view)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                yield from self.check((*path, index), item, view)
        elif is_expression(value):
            yield from self._scalar(path, value, view)

    def bare(self, path: NodePath, expression: str, view: View) -> Iterator[Problem]:
        """Problems in an expression without braces."""
        text = f"{expressions.OPEN} {expression} {expressions.CLOSE}"
        yield from self._scalar(path, text, view, before=len(expressions.OPEN) + 1)

    def _scalar(self, path: NodePath, text: str, view: View, before: int = 0) -> Iterator[Problem]:
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
            offsets = tuple(offset - before for offset in reference.offsets)
            problem = self._reference(path, replace(reference, offsets=offsets), view)
            if problem:
                yield problem

    def _reference(self, path: NodePath, reference: Reference, view: View) -> Problem | None:
        root, *rest = reference.path
        if root in view.variables or root in view.also:
            return None
        if root in view.members:
            known = view.members[root]
            return self._member(path, reference, 1, known, f"fact of the {root}", "unknown-name")
        if root == "inputs":
            return self._input(path, reference, view)
        if root == "run":
            return self._member(path, reference, 1, RUN_FACTS, "fact of the run", "unknown-name")
        if root == "steps":
            return self._step_output(path, reference, rest, view)
        if root == "secrets":
            return self._secret(path, reference, view)
        return self._unknown_root(path, reference, view)

    def _secret(self, path: NodePath, reference: Reference, view: View) -> Problem | None:
        if view.secrets is None:
            return self._leak(path, reference, 0, view)
        return self._member(path, reference, 1, view.secrets, "secret", "unknown-secret")

    def _leak(self, path: NodePath, reference: Reference, depth: int, view: View) -> Problem:
        message = "a secret would get out here: it would be on record, or told to a model"
        return self._say(path, reference, depth, "secret-leak", message, view.instead)

    def _unknown_root(self, path: NodePath, reference: Reference, view: View) -> Problem:
        root, roots = reference.path[0], view.roots
        near = closest(root, roots)
        if root in view.steps:
            hint = f'did you mean "steps.{root}.outputs"?'
        elif root in view.inputs:
            hint = f'did you mean "inputs.{root}"?'
        elif root.lower() in INSTEAD:
            hint = f"did you mean {INSTEAD[root.lower()]}?"
        elif root == "item" and view.variables:
            hint = f'it is called "{view.variables[-1]}" here'
        elif root == "item":
            hint = "only a step with foreach has it, and not in its items"
        elif root == "error":
            hint = "only on_failure and finally have it"
        elif root == "env":
            hint = "a script reads its environment itself: $NAME"
        else:
            hint = f'did you mean "{near}"?' if near else "there is: " + ", ".join(roots)
        return self._say(path, reference, 0, "unknown-name", f'there is no "{root}"', hint)

    def _input(self, path: NodePath, reference: Reference, view: View) -> Problem | None:
        known = tuple(view.inputs)
        problem = self._member(path, reference, 1, known, "input", "unknown-input")
        if problem or len(reference.path) < 2 or reference.path[1] == "*":
            return problem
        kind = mapping(view.inputs[reference.path[1]]).get("type", "string")
        if kind == "secret" and view.secrets is None:
            return self._leak(path, reference, 1, view)
        if len(reference.path) < 3:
            return None
        shape = {"type": SCHEMAS.get(kind, kind)} if isinstance(kind, str) else {}
        if kind == "enum":
            shape = {}
        return self._within(path, reference, 2, f'input "{reference.path[1]}"', shape)

    def _step_output(
        self, path: NodePath, reference: Reference, rest: list[str], view: View
    ) -> Problem | None:
        name = rest[0] if rest else "*"
        if name in view.unready and name not in view.steps:
            about = view.unready[name]
            message = f'step "{name}" {about.why}'
            return self._say(path, reference, 1, "not-yet-run", message, about.hint)
        problem = self._member(path, reference, 1, _ids(view), "step", "unknown-step")
        if problem or name == "*":
            return problem
        if len(rest) > 1 and rest[1] not in (*STEP_FACTS, "*"):
            message = f'a step has no "{rest[1]}"'
            near = closest(rest[1], STEP_FACTS)
            wanted = ".".join(rest[:1] + [near or "outputs"] + (rest[2:] if near else rest[1:]))
            hint = f'did you mean "steps.{wanted}"?'.replace(".*", "")
            return self._say(path, reference, 2, "unknown-name", message, hint)
        if "*" in rest[:2]:
            return None
        if len(rest) > 1 and rest[1] != "outputs":
            return self._within(path, reference, 3, f"the {rest[1]}", {"type": "string"})
        return self._within(path, reference, 3, f'"{name}"', view.steps[name])

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
                whole = ".".join(reference.path[:depth])
                hint = f'did you mean "{whole}"?' if name == "text" and "*" not in whole else ""
                return self._say(path, reference, depth, "unknown-name", message, hint)
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


def _ids(view: View) -> tuple[str, ...]:
    """All steps that there are, in the order of the file as far as that is known."""
    return tuple(dict.fromkeys((*view.steps, *view.unready)))
