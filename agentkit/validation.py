"""A pydantic ValidationError, told in plain sentences, as problems with places.

Used for every YAML file that a person writes (settings, the model catalog, workflows), and for the
arguments of tools.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from agentkit.errors import Problem, did_you_mean
from agentkit.yamlfile import Document, NodePath

TYPE_NAMES = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_parsing_size": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dataclass_type": "a mapping",
    "path_type": "a path",
    "date_type": "a date",
    "date_parsing": "a date",
    "date_from_datetime_parsing": "a date",
    "datetime_type": "a date with a time",
    "datetime_parsing": "a date with a time",
    "none_required": "null",
    "url_type": "an address",
    "url_parsing": "an address",
}

_BOUNDS = {
    "greater_than_equal": ("ge", "{:g} or greater"),
    "greater_than": ("gt", "greater than {:g}"),
    "less_than_equal": ("le", "{:g} or less"),
    "less_than": ("lt", "less than {:g}"),
}

_LENGTHS = {
    "too_short": ("min_length", "at least", "entries"),
    "too_long": ("max_length", "at most", "entries"),
    "string_too_short": ("min_length", "at least", "characters"),
    "string_too_long": ("max_length", "at most", "characters"),
}


def problems_from(
    error: ValidationError,
    document: Document,
    model: type[BaseModel],
    *,
    hints: Mapping[str, str] | None = None,
    at: NodePath = (),
) -> list[Problem]:
    """Every fault that pydantic found, at its place in the file; one problem for one fault.

    `hints` maps words that other tools use to ours (`depends` -> `needs`), or to a sentence.  `at`
    is where in the document the validated value stands.
    """
    words = hints or {}
    found: list[Problem] = []
    unknown: set[NodePath] = set()
    """What unknown keys were probably meant to be: not missing, then."""
    faults = [(fault, located(fault, document.data, at)) for fault in error.errors()]
    for fault, path in faults:
        if fault["type"] == "extra_forbidden":
            meant, suggestion = _meant(str(path[-1]), model, path[len(at) : -1], words)
            unknown.add((*path[:-1], meant))
            message = f'unknown key "{path[-1]}"'
            found.append(document.problem(path, "unknown-key", message, suggestion, at_key=True))
    kinds: dict[NodePath, list[Any]] = {}
    for fault, path in faults:
        if fault["type"] in TYPE_NAMES:  # the members of a union, each with its complaint
            kinds.setdefault(path, []).append(fault)
    for path, same in kinds.items():
        message = explain(*same)
        suggestion = _other_form(same[0]["input"], message, model, path[len(at) :])
        found.append(document.problem(path, "wrong-type", message, suggestion))
    for fault, path in faults:
        kind = fault["type"]
        if kind == "missing":
            key = str(fault["loc"][-1])
            if (*path, key) not in unknown:
                found.append(document.problem(path, "missing-key", _missing(key, path)))
        elif kind not in TYPE_NAMES and kind != "extra_forbidden":
            found.append(_other(fault, path, document, words))
    return found


def explain(*faults: Any) -> str:
    """What is wrong with a value, as `must be …`; several faults are the members of one union."""
    fault = faults[0]
    kind, value, context = fault["type"], fault["input"], fault.get("ctx") or {}
    if kind in TYPE_NAMES:
        names = dict.fromkeys(TYPE_NAMES.get(one["type"], "") for one in faults)
        return f"must be {' or '.join(names)}, not {describe(value)}"
    if kind in ("literal_error", "enum"):
        options = _options(fault)
        if len(options) == 1:
            return f"must be {options[0]}, not {describe(value)}"
        return f"{_shown(value)} is not one of " + ", ".join(options)
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"must be {words.format(context[key])}, not {_shown(value)}"
    if kind in _LENGTHS:
        key, words, unit = _LENGTHS[kind]
        if context[key] == 1:
            unit = {"entries": "entry", "characters": "character"}[unit]
        return f"must have {words} {context[key]} {unit}"
    if kind == "string_pattern_mismatch":
        return f"{_shown(value)} does not match the pattern {context['pattern']}"
    return (
        str(fault["msg"])
        .removeprefix("Value error, ")
        .removeprefix("Assertion failed, ")
        .replace("Input should", "must")
        .replace("must be a valid", "must be a")
    )


def near_option(fault: Any, hints: Mapping[str, str] | None = None) -> str:
    """`did you mean …?` for a value that is not among those allowed."""
    value = fault["input"]
    if fault["type"] not in ("literal_error", "enum"):
        return ""
    options = [option.strip('"') for option in _options(fault)]
    if str(value) in options:
        return "leave out the quotes" if isinstance(value, str) else "put it in quotes"
    hint = (hints or {}).get(str(value).lower())
    return (
        f'did you mean "{hint}"?' if hint in options else did_you_mean(str(value), options).strip()
    )


def located(fault: Any, data: Any, at: NodePath = ()) -> NodePath:
    """Where the faulty value stands in the data; for a missing key: where it should stand.

    pydantic's location also names the members of unions, which are nowhere in the data.
    """
    path = at
    for part in at:
        data = data[part]
    last = len(fault["loc"]) - 1
    for index, part in enumerate(fault["loc"]):
        inside = (isinstance(data, Mapping) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        )
        if inside and not (fault["type"] == "missing" and index == last):
            data, path = data[part], (*path, part)
    return path


def describe(value: Any) -> str:
    """A value as the end of `must be …, not`."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the boolean {str(value).lower()}"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str):
        return f"the string {_shown(value)}" if len(value) < 40 else "a string"
    if isinstance(value, int | float):
        return f"the number {_shown(value)}"
    return f"a {type(value).__name__}"


def _shown(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _options(fault: Any) -> list[str]:
    """The values that are allowed, as they are written in YAML or JSON."""
    expected = str(fault["ctx"]["expected"]).replace(" or ", ", ").split(", ")
    return [option.replace("'", '"') for option in expected]


def _other(fault: Any, path: NodePath, document: Document, hints: Mapping[str, str]) -> Problem:
    kind, context = fault["type"], fault.get("ctx") or {}
    if kind in ("literal_error", "enum"):
        return document.problem(path, "unknown-value", explain(fault), near_option(fault, hints))
    at_key = fault["loc"][-1:] == ("[key]",) or bool(context.get("at_key"))
    rule = kind if kind.islower() and "-" in kind else "invalid-value"
    suggestion = str(context.get("suggestion", ""))
    return document.problem(path, rule, explain(fault), suggestion, at_key=at_key)


def _missing(key: str, path: NodePath) -> str:
    if path and isinstance(path[-1], str):
        return f'"{path[-1]}" needs the key "{key}"'
    if path:
        return f'this entry of "{path[-2]}" needs the key "{key}"'
    return f'the file needs the key "{key}"'


# -- what was probably meant ---------------------------------------------------------------------


def _meant(
    key: str, model: type[BaseModel], path: NodePath, hints: Mapping[str, str]
) -> tuple[str, str]:
    """`(our key, suggestion)` for an unknown key."""
    chain = list(_models_along(model, path))
    here = chain[-1]
    known = _keys(here)
    hint = hints.get(key, hints.get(key.lower(), ""))
    if hint in known:
        return hint, f'did you mean "{hint}"?'
    for name in (f"{key}s", key.removesuffix("s")):
        if name in known:
            return name, f'did you mean "{name}"?'
    for name in (key, hint):
        other = _elsewhere(name, chain, path)
        if other:
            return "", other if name == key else f'did you mean "{hint}"? {other}'
    if " " in hint:
        return "", hint
    near = did_you_mean(key, known).strip()
    if near:
        return near.removeprefix('did you mean "').removesuffix('"?'), near
    listed = ", ".join(f'"{name}"' for name in known)
    return "", f"expected one of {listed}" if listed else ""


def _elsewhere(key: str, chain: list[Any], path: NodePath) -> str:
    """Where a key belongs that is known one level further in, or further out."""
    here = chain[-1]
    if not key or not _is_model(here):
        return ""
    inner = sorted(_fields(here), key=lambda one: _is_model(_unwrap(one[1].annotation)))
    for name, info in inner:  # entries of a list first: those of "steps" before "defaults"
        if key in _keys(_item_model(info.annotation)):
            many = not _is_model(_unwrap(info.annotation))
            return f'it belongs into an entry of "{name}"' if many else f'it belongs into "{name}"'
    outer = next((one for one in reversed(chain[:-1]) if _is_model(one)), None)
    within = next((part for part in reversed(path) if isinstance(part, str)), None)
    if outer is not None and within in _keys(outer) and key in _keys(outer):
        return f'it belongs beside "{within}", not into it'
    return ""


def _other_form(value: Any, message: str, model: type[BaseModel], path: NodePath) -> str:
    """How the value that stands there is written in the type that is wanted."""
    wanted = message.removeprefix("must be ").split(",")[0]
    if isinstance(value, bool | int | float) and wanted == "a string":
        return "put it in quotes"
    if isinstance(value, str) and wanted in ("an integer", "a number"):
        try:
            float(value)
        except ValueError:
            return ""
        return "leave out the quotes"
    if isinstance(value, str | int | float) and wanted == "a list" and len(str(value)) < 40:
        return f"did you mean [{_shown(value)}]?"
    if isinstance(value, Mapping) and wanted == "a list":
        return 'begin each entry with "- "'
    if wanted == "a mapping":
        target = _item_model(list(_models_along(model, path))[-1])
        for name, info in _fields(target) if _is_model(target) else ():
            if isinstance(value, str) and value in get_args(info.annotation):
                return f"did you mean {{{name}: {value}}}?"
        if _is_model(target):
            return "its keys are " + ", ".join(f'"{name}"' for name in _keys(target))
    return ""


# -- walking the annotations -----------------------------------------------------------------------


def _models_along(model: type[BaseModel], path: Iterable[str | int]) -> Iterator[Any]:
    """What is expected at each level of a path: models, and the lists and mappings of them."""
    here: Any = model
    yield here
    for part in path:
        if _is_model(here):
            fields = dict(_fields(here))
            here = _unwrap(fields[str(part)].annotation) if part in fields else None
        else:
            here = _unwrap(_inner(here))
        yield here


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _fields(model: Any) -> Iterator[tuple[str, FieldInfo]]:
    for name, info in model.model_fields.items():
        yield info.alias or name, info


def _keys(model: Any) -> list[str]:
    return [name for name, _ in _fields(model)] if _is_model(model) else []


def _item_model(annotation: Any) -> Any:
    """The model that an annotation is, or holds: `Step` for `list[Step]`."""
    here = _unwrap(annotation)
    return here if _is_model(here) else _unwrap(_inner(here))


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
