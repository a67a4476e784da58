"""A pydantic ValidationError, told as problems with places.

Used for every YAML file that a person writes: settings, the model catalog, workflows.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from agentkit.errors import Problem, did_you_mean
from agentkit.yamlfile import Document, NodePath

TYPE_NAMES = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def problems_from(
    error: ValidationError,
    document: Document,
    model: type[BaseModel],
    *,
    hints: dict[str, str] | None = None,
    at: NodePath = (),
) -> list[Problem]:
    """Every fault that pydantic found, at its place in the file.

    `hints` maps words that other tools use to ours (`depends` -> `needs`).  `at` is where in the
    document the validated value stands.
    """
    found = []
    for fault in error.errors(include_url=False):
        path = (*at, *fault["loc"])
        found.append(_problem(fault, path, document, model, hints or {}, at))
    return found


def _problem(
    fault: Any,
    path: NodePath,
    document: Document,
    model: type[BaseModel],
    hints: dict[str, str],
    at: NodePath,
) -> Problem:
    kind, value = fault["type"], fault["input"]
    if kind == "extra_forbidden":
        key = str(path[-1])
        known = _known_keys(model, path[len(at) : -1])
        meant = hints.get(key)
        suggestion = f'did you mean "{meant}"?' if meant in known else did_you_mean(key, known)
        if known and not suggestion:
            suggestion = "expected one of " + ", ".join(f'"{name}"' for name in known)
        return document.problem(
            path, "unknown-key", f'unknown key "{key}"', suggestion.strip(), at_key=True
        )
    if kind == "missing":
        return document.problem(path[:-1], "missing-key", f'the key "{path[-1]}" is missing here')
    if kind in TYPE_NAMES:
        return document.problem(
            path, "wrong-type", f"must be {TYPE_NAMES[kind]}, not {_describe(value)}"
        )
    if kind in ("literal_error", "enum"):
        expected = str(fault["ctx"]["expected"]).replace("'", '"')
        options = [part.strip('" ') for part in expected.replace(" or ", ", ").split(", ")]
        return document.problem(
            path,
            "unknown-value",
            f"{value!r} is not one of {expected}",
            did_you_mean(str(value), options).strip(),
        )
    rule = kind if kind.islower() and "-" in kind else "invalid-value"
    context = fault.get("ctx") or {}
    return document.problem(
        path,
        rule,
        str(fault["msg"]).removeprefix("Value error, "),
        str(context.get("suggestion", "")),
        at_key=bool(context.get("at_key")),
    )


def _describe(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return f"the string {value!r}" if len(value) < 40 else "a string"
    return f"the number {value}"


def _known_keys(model: type[BaseModel], path: Iterable[str | int]) -> list[str]:
    """The keys that are allowed at a path, found by walking the annotations."""
    here: Any = model
    for part in path:
        if isinstance(here, type) and issubclass(here, BaseModel):
            by_key = {(f.alias or name): f for name, f in here.model_fields.items()}
            if part not in by_key:
                return []
            here = by_key[str(part)].annotation
        else:
            here = _inner(here)
        here = _unwrap(here)
    if isinstance(here, type) and issubclass(here, BaseModel):
        return [f.alias or name for name, f in here.model_fields.items()]
    return []


def _inner(annotation: Any) -> Any:
    """What a list or a mapping holds."""
    arguments = [a for a in get_args(annotation) if a is not Ellipsis]
    return arguments[-1] if arguments else annotation


def _unwrap(annotation: Any) -> Any:
    """The model among the members of a union, if there is one."""
    for option in get_args(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel):
            container = getattr(annotation, "__origin__", None)
            return annotation if container in (list, tuple, dict) else option
    return annotation
