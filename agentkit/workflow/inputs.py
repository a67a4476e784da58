"""What a caller gives, checked against what a workflow declares, in the declared types."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agentkit.errors import InvalidInput, did_you_mean
from agentkit.workflow.spec import Input, Workflow

A_KIND: Mapping[str, str] = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "enum": "one of its values",
    "secret": "text",
    "file": "the path of a file",
    "folder": "the path of a folder",
    "list": "a list",
    "object": "an object",
}

TRUE, FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


def bind(workflow: Workflow, given: Mapping[str, Any], here: Path | None = None) -> dict[str, Any]:
    """The inputs of a run: given values, defaults, and None for what is optional.

    Strings, as they come from a command line, are converted; paths are in the folder where the
    caller is, None: where this process is.  Raises `InvalidInput` with every
    fault at once.
    """
    faults = [
        f'there is no input "{name}"{_instead(name, workflow)}'
        for name in given
        if name not in workflow.inputs
    ]
    bound: dict[str, Any] = {}
    for name, declared in workflow.inputs.items():
        value = given.get(name, declared.default)
        if value is None and (declared.optional or name in given):
            if not declared.optional:
                faults.append(f'the input "{name}" must not be null')
            bound[name] = None
        elif name not in given and not declared.optional:
            about = f" ({declared.description})" if declared.description else ""
            faults.append(f'the input "{name}"{about} is missing: -i {name}=...')
        else:
            try:
                bound[name] = convert(declared, _from(here, declared, value))
            except ValueError as error:
                faults.append(f'input "{name}": {error}')
    if faults:
        raise InvalidInput("\n".join(faults))
    return bound


def _from(here: Path | None, declared: Input, value: Any) -> Any:
    if here is None or declared.type not in ("file", "folder"):
        return value
    if not isinstance(value, str | os.PathLike) or not os.fspath(value).strip():
        return value
    path = os.fspath(value)
    return path if path.startswith("~") else str(here / path)


def secret_again(
    workflow: Workflow, before: Mapping[str, Any], given: Mapping[str, str]
) -> dict[str, str]:
    """The secret inputs of a run that goes on: no record has them, so they are given again.

    Raises `InvalidInput` for one that is missing, and for anything else that is given.
    """
    wanted = [name for name, one in workflow.inputs.items() if one.type == "secret"]
    for name in given:
        if name not in wanted:
            raise InvalidInput(f'the input "{name}" is the one that the run began with')
    for name in wanted:
        if before.get(name) is not None and name not in given:
            raise InvalidInput(f'the input "{name}" is secret and on no record: -i {name}=...')
    return dict(given)


def added(workflow: Workflow, before: Mapping[str, Any]) -> dict[str, Any]:
    """What an edited workflow declares and the run was not given: defaults.

    Raises `InvalidInput` for what has none.
    """
    found = {}
    for name, declared in workflow.inputs.items():
        if name not in before:
            if not declared.optional:
                hint = "give it a default in the file, or begin a new run"
                raise InvalidInput(f'the run has no input "{name}", which is new', hint=hint)
            found[name] = declared.default
    return found


def _instead(name: str, workflow: Workflow) -> str:
    near = did_you_mean(name, workflow.inputs)
    if near:
        return "." + near
    listed = ", ".join(f'"{known}"' for known in workflow.inputs)
    return f", only {listed}" if listed else ": the workflow takes none"


def convert(declared: Input, value: Any) -> Any:
    """One value in the declared type.  Raises `ValueError` with a sentence."""
    converted = _typed(declared.type, _listed(declared, value))
    if declared.enum is not None and converted not in declared.enum:
        allowed = ", ".join(_shown(option) for option in declared.enum)
        near = did_you_mean(str(value), [str(option) for option in declared.enum])
        raise ValueError(f"{_shown(value)} is not one of {allowed}.{near}".rstrip("."))
    if isinstance(converted, int | float) and not isinstance(converted, bool):
        if declared.minimum is not None and converted < declared.minimum:
            raise ValueError(f"must be {declared.minimum:g} or greater, not {converted}")
        if declared.maximum is not None and converted > declared.maximum:
            raise ValueError(f"must be {declared.maximum:g} or less, not {converted}")
    if declared.pattern is not None and isinstance(converted, str):
        written = converted if declared.type == "string" else str(value)
        if not re.search(declared.pattern, written):
            raise ValueError(f"{_shown(written)} does not match the pattern {declared.pattern}")
    return converted


def _listed(declared: Input, value: Any) -> Any:
    """The value of an enum that text from a command line means."""
    if declared.type == "enum" and isinstance(value, str):
        written = {str(one): one for one in declared.enum or ()}
        return written.get(value, value)
    return value


def _typed(kind: str, value: Any) -> Any:
    match kind, value:
        case "string" | "secret", str():
            return value
        case "enum", _:
            return value
        case "integer", int() if not isinstance(value, bool):
            return value
        case "integer", str():
            return _parsed(int, value, "an integer")
        case "integer", float() if value.is_integer():
            return int(value)
        case "number", int() | float() if not isinstance(value, bool):
            return value
        case "number", str():
            return _parsed(_finite, value, "a number")
        case "boolean", bool():
            return value
        case "boolean", str() if value.lower() in TRUE | FALSE:
            return value.lower() in TRUE
        case "file" | "folder", str() | os.PathLike():
            return _path(os.fspath(value), kind)
        case "list", list() | tuple():
            return list(value)
        case "object", dict():
            return value
        case "list" | "object", str():
            parsed = _parsed(_json, value, f"JSON for {A_KIND[kind]}")
            if isinstance(parsed, list if kind == "list" else dict):
                return parsed
    if kind == "secret":
        raise ValueError("must be text")
    raise ValueError(f"must be {A_KIND[kind]}, not {_shown(value)}")


def _parsed(parse: Callable[[str], Any], text: str, what: str) -> Any:
    try:
        return parse(text)
    except (ValueError, RecursionError):
        raise ValueError(f"must be {what}, not {_shown(text)}") from None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _json(text: str) -> Any:
    """JSON proper: Python would also take NaN and Infinity."""
    return json.loads(text, parse_constant=_finite)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _path(text: str, kind: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError(f"must be {A_KIND[kind]}, not {_shown(text)}")
    try:
        path = Path(text).expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"{text}: there is no such user") from None
    if kind == "file" and path.is_dir():
        raise ValueError(f"{text} is a folder, not a file")
    if kind == "folder" and path.is_file():
        raise ValueError(f"{text} is a file, not a folder")
    if not path.exists():
        near = did_you_mean(path.name, _siblings(path))
        raise ValueError(f"there is no {kind} {text}{'.' + near if near else ''}")
    return str(path)


def _siblings(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return []
