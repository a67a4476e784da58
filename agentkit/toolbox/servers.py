"""What another program offers over the Model Context Protocol, as tools.

A server is somebody else's program: what it says about its tools is not believed.  Their effects
are those that settings name (all of them, where they name none), their arguments are checked
against the schema that it gave, and their names begin with the server's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

from jsonschema import Draft202012Validator, SchemaError
from referencing import Registry

from agentkit.errors import AgentkitError, InvalidInput, ToolError, did_you_mean
from agentkit.messages import ToolSchema
from agentkit.permissions import Effect
from agentkit.ports import ToolContext, ToolServer
from agentkit.schema import Fault
from agentkit.toolbox.sources import BadTool, Scan
from agentkit.toolbox.tool import Tool, check_name

SEPARATOR = "__"

REST = 60.0
"""Seconds for which a server that could not be reached is not asked again: each request asks for
all tools, and one that hangs would cost each of them its whole timeout."""

OPENING = {"patternProperties", "unevaluatedProperties", "propertyNames", "allOf", "anyOf", "oneOf",
           "if", "$ref", "$dynamicRef", "dependentSchemas"}  # fmt: skip
"""Keywords by which an object may have more than its `properties`."""

ALL_EFFECTS: tuple[Effect, ...] = get_args(Effect)


@dataclass(frozen=True, slots=True)
class SchemaParameters:
    """Arguments that a JSON Schema describes; values stay as they were given."""

    json_schema: dict[str, Any]

    @property
    def names(self) -> list[str]:
        """The properties of the schema."""
        return list(self.json_schema.get("properties", {}))

    def bind(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """See `schema.Parameters.bind`."""
        faults = self.faults(given)
        if faults:
            raise InvalidInput("; ".join(fault.sentence() for fault in faults))
        return dict(given)

    def faults(self, given: Mapping[str, Any]) -> list[Fault]:
        """See `schema.Parameters.faults`.

        Many servers do not say that there are no other arguments than those they list; there are
        not.
        """
        unknown = [name for name in given if self._is_closed and name not in self.names]
        faults = [_unknown(name, self.names) for name in unknown]
        # Never fetch a schema that this one refers to: the address is the server's idea.
        checked = Draft202012Validator(self.json_schema, registry=Registry())
        for error in checked.iter_errors(dict(given)):
            if error.validator == "required" and not error.path:
                missing = [name for name in error.validator_value if name not in given]
                faults += [_missing(name) for name in missing]
            elif error.validator != "additionalProperties" or error.path or not unknown:
                faults.append(Fault(tuple(error.path), "wrong-type", error.message))
        return list(dict.fromkeys(faults))

    @property
    def _is_closed(self) -> bool:
        """Whether the properties are all the arguments that there are."""
        says_more = self.json_schema.keys() & OPENING
        return not says_more and self.json_schema.get("additionalProperties", False) is False


def _unknown(name: str, known: Sequence[str]) -> Fault:
    near = did_you_mean(name, known).strip()
    listed = "it takes: " + ", ".join(known) if known else "it takes none"
    return Fault((name,), "unknown-argument", f'unknown argument "{name}"', near or listed)


def _missing(name: str) -> Fault:
    return Fault((), "missing-argument", f'the argument "{name}" is missing')


@dataclass
class ServerSource:
    """The tools of one server, asked when one of them is first wanted, and once.

    `only` names those that are offered, None: all.  Code that a server runs is in no sandbox of
    ours and can touch everything: who declares that it executes declares all effects.  A server
    that could not be reached is asked again at the first scan after `REST`.
    """

    server: ToolServer
    effects: tuple[Effect, ...] = ALL_EFFECTS
    only: tuple[str, ...] | None = None
    far: bool = True
    clock: Callable[[], float] = time.monotonic
    _found: Scan | None = None
    _failed: Scan | None = None
    _rests_until: float = 0.0

    @property
    def label(self) -> str:
        """What people call it."""
        return f"server {self.server.name}"

    @property
    def prefix(self) -> str:
        """How the names of its tools begin."""
        return self.server.name + SEPARATOR

    def scan(self) -> Scan:
        """See `Source.scan`."""
        if self._found is None:
            if self._failed is not None and self.clock() < self._rests_until:
                return self._failed
            try:
                offered = self.server.tools()
            except AgentkitError as error:
                self._failed = Scan(bad=(BadTool(Path(self.label), str(error)),))
                self._rests_until = self.clock() + REST
                return self._failed
            self._found = self._scan(offered)
        return self._found

    def _scan(self, offered: tuple[ToolSchema, ...]) -> Scan:
        tools, bad = [], []
        for schema in offered:
            if self.only is not None and schema.name not in self.only:
                continue
            try:
                tools.append(self._tool(schema))
            except ToolError as error:
                bad.append(BadTool(Path(self.label), str(error)))
            except Exception as error:  # a schema that not even its check survives
                reason = f"{schema.name!r} cannot be used: {type(error).__name__}"
                bad.append(BadTool(Path(self.label), reason))
        refused = self.server.refused.items()
        bad += [BadTool(Path(self.label), f"{name!r} {why}") for name, why in refused]
        missing = set(self.only or ()) - {schema.name for schema in offered}
        bad += [BadTool(Path(self.label), f"has no tool {name!r}") for name in sorted(missing)]
        return Scan(tuple(tools), tuple(bad))

    def _tool(self, schema: ToolSchema) -> Tool:
        name = self.prefix + schema.name
        check_name(name)
        try:
            Draft202012Validator.check_schema(schema.parameters)
        except SchemaError as error:
            raise ToolError(f"{schema.name!r} has a schema that is none: {error.message}") from None
        if schema.parameters.get("type") != "object":
            raise ToolError(f"{schema.name!r} has a schema that describes no object")
        parameters = SchemaParameters(dict(schema.parameters))
        return Tool(
            name,
            schema.description,
            parameters,
            ALL_EFFECTS if "executes" in self.effects else self.effects,
            (),
            Path(self.label),
            partial(self._call, schema.name),
        )

    def _call(self, name: str, bound: Mapping[str, Any], context: ToolContext) -> Any:
        return self.server.call(name, bound, context.cancel)
