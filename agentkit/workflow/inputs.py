"""What a caller gives, checked against what a workflow declares, in the declared types."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentkit.errors import InvalidInput, did_you_mean
from agentkit.workflow.spec import Input, Workflow

TRUE, FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


def bind(workflow: Workflow, given: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a run: given values, defaults, and None for what is optional.

    Strings, as they come from a command line, are converted.  Raises `InvalidInput` with every
    fault at once.
    """
    faults = [
        f'there is no input "{name}".{did_you_mean(name, workflow.inputs)}'
        for name in given
        if name not in workflow.inputs
    ]
    bound: dict[str, Any] = {}
    for name, declared in workflow.inputs.items():
        if name not in given:
            if not declared.optional:
                about = f" ({declared.description})" if declared.description else ""
                faults.append(f'the input "{name}"{about} is missing: -i {name}=...')
            bound[name] = declared.default
            continue
        try:
            bound[name] = convert(declared, given[name])
        except ValueError as error:
            faults.append(f'input "{name}": {error}')
    if faults:
        raise InvalidInput("\n".join(faults))
    return bound


def convert(declared: Input, value: Any) -> Any:
    """One value in the declared type.  Raises `ValueError` with a sentence."""
    converted = _typed(declared.type, value)
    if declared.enum is not None and converted not in declared.enum:
        allowed = ", ".join(repr(option) for option in declared.enum)
        near = did_you_mean(str(converted), [str(option) for option in declared.enum])
        raise ValueError(f"{value!r} is not one of {allowed}.{near}")
    if declared.minimum is not None and converted < declared.minimum:
        raise ValueError(f"{value} is less than {declared.minimum:g}")
    if declared.maximum is not None and converted > declared.maximum:
        raise ValueError(f"{value} is more than {declared.maximum:g}")
    if declared.pattern is not None and not re.search(declared.pattern, str(converted)):
        raise ValueError(f"{value!r} does not match the pattern {declared.pattern}")
    return converted


def _typed(kind: str, value: Any) -> Any:
    match kind, value:
        case "string", str():
            return value
        case "integer", int() if not isinstance(value, bool):
            return value
        case "integer", str():
            return _parsed(int, value, "an integer")
        case "number", int() | float() if not isinstance(value, bool):
            return value
        case "number", str():
            return _parsed(float, value, "a number")
        case "boolean", bool():
            return value
        case "boolean", str() if value.lower() in TRUE | FALSE:
            return value.lower() in TRUE
        case "file", str():
            return _path(value, "file")
        case "folder", str():
            return _path(value, "folder")
        case "list", list():
            return value
        case "object", dict():
            return value
        case "list" | "object", str():
            parsed = _parsed(json.loads, value, f"JSON for a {kind}")
            if isinstance(parsed, list if kind == "list" else dict):
                return parsed
    article = "an" if kind[0] in "aeiou" else "a"
    raise ValueError(f"must be {article} {kind}, not {value!r}")


def _parsed(parse: Any, text: str, what: str) -> Any:
    try:
        return parse(text)
    except ValueError:
        raise ValueError(f"must be {what}, not {text!r}") from None


def _path(text: str, kind: str) -> str:
    path = Path(text).expanduser().absolute()
    if kind == "file" and path.is_dir():
        raise ValueError(f"{text} is a folder, not a file")
    if kind == "folder" and path.is_file():
        raise ValueError(f"{text} is a file, not a folder")
    if not path.exists():
        near = did_you_mean(path.name, _siblings(path))
        raise ValueError(f"there is no {kind} {text}.{near}")
    return str(path)


def _siblings(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return []
