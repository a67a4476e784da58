"""A function's signature as a JSON Schema, and arguments checked against it.

Type hints give the types, defaults make arguments optional, and the `Args:` section of a Google
style docstring describes them.  pydantic does the work, so its types, enums, `Path`, lists and
nested models are all welcome.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import lru_cache
from typing import Any, Protocol, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from agentkit.errors import InvalidInput, did_you_mean
from agentkit.validation import explain, located, near_option
from agentkit.values import dataclass

WRITTEN_OUT = "x-agentkit-written-out"
"""Key in the schema of an argument that must be written out: no expression may compute it, because
what a model or a tool said must never be taken for a template."""

INJECTED = "context"
"""The parameter that the runtime fills in; callers never see it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with some arguments: where, and what to do about it."""

    path: tuple[str | int, ...]
    rule: str
    message: str
    suggestion: str = ""

    def sentence(self) -> str:
        """With the place in front, for those who do not see a file."""
        place = ".".join(str(part) for part in self.path)
        inside = place and not self.message.startswith("unknown argument")
        about = f'argument "{place}": ' if inside else ""
        return about + self.message + (f". {self.suggestion}" if self.suggestion else "")


class Parameters(Protocol):
    """What a tool takes, from wherever that is known: a signature, a header, a server's schema."""

    @property
    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments as one object."""

    @property
    def names(self) -> list[str]:
        """The arguments, in the order in which they were declared."""

    def bind(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments in the types of the tool.  Raises `InvalidInput` naming every fault."""

    def faults(self, given: Mapping[str, Any]) -> list[Fault]:
        """Everything that is wrong with some arguments, by the same code that binds them."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes, without the injected parameter."""

    description: str
    arguments: type[BaseModel]
    wants_context: bool

    @property
    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments as one object."""
        return deepcopy(_schema(self.arguments))

    @property
    def names(self) -> list[str]:
        """The arguments, in the order of the function."""
        return [str(field.alias) for field in self.arguments.model_fields.values()]

    def bind(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments in the types of the function.  Raises `InvalidInput` naming every fault."""
        faults = self.faults(given)
        if faults:
            raise InvalidInput("; ".join(fault.sentence() for fault in faults))
        bound = self.arguments.model_validate(dict(given))
        return {
            str(field.alias): getattr(bound, name)
            for name, field in self.arguments.model_fields.items()
        }

    def faults(self, given: Mapping[str, Any]) -> list[Fault]:
        """Everything that is wrong with some arguments, by the same code that binds them."""
        try:
            self.arguments.model_validate(dict(given))
        except ValidationError as error:
            by_place: dict[tuple[Any, ...], list[Any]] = {}
            for fault in error.errors():
                path = located(fault, given)
                missing = fault["loc"][-1] if fault["type"] == "missing" else None
                by_place.setdefault((path, missing), []).append(fault)
            return [self._fault(path, same) for (path, _), same in by_place.items()]
        return []

    def _fault(self, path: tuple[str | int, ...], same: Sequence[Any]) -> Fault:
        fault = same[0]
        if fault["type"] == "extra_forbidden":
            name = str(path[-1])
            if len(path) > 1:
                return Fault(path, "unknown-argument", f'unknown key "{name}"')
            near = did_you_mean(name, self.names).strip()
            listed = "it takes: " + ", ".join(self.names) if self.names else "it takes none"
            return Fault(path, "unknown-argument", f'unknown argument "{name}"', near or listed)
        if fault["type"] == "missing":
            name = str(fault["loc"][-1])
            what = "key" if path else "argument"
            return Fault(path, "missing-argument", f'the {what} "{name}" is missing')
        return Fault(path, "wrong-type", explain(*same), near_option(fault))


@lru_cache(256)
def _schema(arguments: type[BaseModel]) -> dict[str, Any]:
    """Made once: two hundred steps with one tool are checked against it two hundred times."""
    schema = arguments.model_json_schema()
    for nested in (schema, *schema.get("$defs", {}).values()):  # a model pays for each word
        nested.pop("title", None)
        for argument in nested.get("properties", {}).values():
            argument.pop("title", None)
    return schema


def signature_of(function: Callable[..., Any]) -> Signature:
    """Read a function.  Raises `TypeError` for a parameter without a type or a catch-all one."""
    hints = get_type_hints(function, include_extras=True)
    description, help_texts = _read_docstring(inspect.getdoc(function) or "")
    parameters = inspect.signature(function).parameters
    fields: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if name == INJECTED:
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"parameter {name!r} is a catch-all; a schema needs names")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise TypeError(f"parameter {name!r} cannot be given by name; remove the /")
        if name not in hints:
            raise TypeError(f"parameter {name!r} has no type hint")
        default = ... if parameter.default is parameter.empty else parameter.default
        about = Field(default, alias=name, description=help_texts.get(name))
        fields[f"argument_{name}"] = (hints[name], about)  # `json` or `copy` would hide a method
    model = create_model(
        f"{function.__name__}_arguments",
        __config__=ConfigDict(extra="forbid"),
        **fields,
    )
    return Signature(description, model, INJECTED in parameters)


def result_of(function: Callable[..., Any]) -> dict[str, Any]:
    """JSON Schema of what a function returns, as far as its hint leaves no doubt."""
    return _result(get_type_hints(function).get("return"))


def _result(hint: Any) -> dict[str, Any]:
    kind = get_origin(hint) or hint
    if kind in _SCALARS:
        return {"type": _SCALARS[kind]}
    if kind in (dict, Mapping):
        return {"type": "object"}
    if kind in (list, Sequence, Iterator, Iterable):
        return {"type": "array", "items": _result(next(iter(get_args(hint)), None))}
    return {}


_SCALARS: Mapping[Any, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}


def _read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """`(everything before Args:, {argument: help})`."""
    head, _, rest = text.partition("\nArgs:\n")
    section = re.split(r"\n(?=\S)", rest, maxsplit=1)[0]
    helps: dict[str, str] = {}
    current = ""
    for line in inspect.cleandoc(section).splitlines():
        entry = re.match(r"(\w+)(?: \([^)]*\))?:\s*(.*)", line)
        if entry:
            current = entry[1]
            helps[current] = entry[2]
        elif current and line.strip():
            helps[current] += " " + line.strip()
    return head.split("\n\nReturns:")[0].strip(), helps
