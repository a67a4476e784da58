"""A function's signature as a JSON Schema, and arguments checked against it.

Type hints give the types, defaults make arguments optional, and the `Args:` section of a Google
style docstring describes them.  pydantic does the work, so its types, enums, `Path`, lists and
nested models are all welcome.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from agentkit.errors import InvalidInput, did_you_mean

INJECTED = "context"
"""The parameter that the runtime fills in; callers never see it."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes, without the injected parameter."""

    description: str
    arguments: type[BaseModel]
    wants_context: bool

    @property
    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments as one object."""
        schema = self.arguments.model_json_schema()
        schema.pop("title", None)
        for argument in schema.get("properties", {}).values():
            argument.pop("title", None)
        return schema

    def bind(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments in the types of the function.  Raises `InvalidInput` naming every fault."""
        try:
            bound = self.arguments.model_validate(dict(given))
        except ValidationError as error:
            faults = "; ".join(self._fault(fault) for fault in error.errors())
            raise InvalidInput(faults) from None
        return {name: getattr(bound, name) for name in self.arguments.model_fields}

    def _fault(self, fault: Any) -> str:
        name = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            return f'unknown argument "{name}".{did_you_mean(name, self.arguments.model_fields)}'
        if fault["type"] == "missing":
            return f'the argument "{name}" is missing'
        return f'argument "{name}": {fault["msg"]} (got {fault["input"]!r})'


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
        if name not in hints:
            raise TypeError(f"parameter {name!r} has no type hint")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[name] = (hints[name], Field(default, description=help_texts.get(name)))
    model = create_model(
        f"{function.__name__}_arguments",
        __config__=ConfigDict(extra="forbid", arbitrary_types_allowed=False),
        **fields,
    )
    return Signature(description, model, INJECTED in parameters)


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
