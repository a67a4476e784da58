"""Values that have to be of one kind: fixed text, a condition, a list, something a tool takes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from agentkit.errors import Problem
from agentkit.workflow import expressions
from agentkit.workflow.check.yaml11 import BOOLEANS, RULE
from agentkit.workflow.expressions import ExpressionError, is_expression, is_whole
from agentkit.yamlfile import Document, NodePath


def fixed_text(document: Document, path: NodePath, value: Any) -> Iterator[Problem]:
    """Expressions where none is evaluated, at any depth."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from fixed_text(document, (*path, index), item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from fixed_text(document, (*path, key), item)
    elif is_expression(value):
        key = next(part for part in reversed(path) if isinstance(part, str))
        message = f'"{key}" is fixed text: an expression is not evaluated here'
        yield document.problem(path, "misplaced-expression", message)


def condition(document: Document, path: NodePath, step: Mapping[str, Any]) -> Iterator[Problem]:
    """An `if` that would always be true, or never."""
    value = step.get("if")
    if value is False or (isinstance(value, str) and _never(value)):
        message = '"if" is always false: the step would never run'
        yield document.problem(path, "unreachable-step", message, "take the step out")
    if "if" in step and value is None:
        message = '"if" is empty: the step would always run'
        yield document.problem(path, "not-an-expression", message, at_key=True)
    if isinstance(value, str):
        message = f'"if" is text here, and text is always true: {json.dumps(value)}'
        boolean = BOOLEANS.get(value.lower())
        if boolean:
            yield document.problem(path, RULE, message, f"did you mean {boolean}?")
        else:
            yield from _not_whole(document, path, value, message)


def _never(text: str) -> bool:
    """Whether an expression reads nothing and is false."""
    try:
        constant = is_expression(text) and is_whole(text) and not expressions.references(text)
        return constant and not expressions.render(text, {})
    except ExpressionError:
        return False  # that is reported elsewhere


def items(document: Document, path: NodePath, loop: Mapping[str, Any]) -> Iterator[Problem]:
    """The items of a loop, where they can be no list."""
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


def bare_braces(document: Document, value: Any, path: NodePath) -> Iterator[Problem]:
    """`key: {{ x }}` is a mapping in YAML; whoever writes it means an expression."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from bare_braces(document, item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from bare_braces(document, item, (*path, index))
    elif document.source(path).startswith("{{"):
        message = "YAML takes {{ for a mapping"
        yield document.problem(path, "bare-braces", message, f"did you mean ${value}?")


def entries(value: Any) -> list[Any]:
    """A list as it is, and an empty one for anything else."""
    return value if isinstance(value, list) else []


def has_expression(value: Any) -> bool:
    """Whether an expression stands in a value at any depth."""
    if isinstance(value, Mapping):
        return any(has_expression(item) for item in value.values())
    if isinstance(value, list):
        return any(has_expression(item) for item in value)
    return is_expression(value)
