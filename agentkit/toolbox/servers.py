"""What another program offers over the Model Context Protocol, as tools.

A server is somebody else's program: what it says about its tools is not believed.  Their effects
are those that settings name (all of them, where they name none), their arguments are checked
against the schema that it gave, and their names begin with the server's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

from jsonschema import Draft202012Validator, SchemaError

from agentkit.errors import AgentkitError, InvalidInput, ToolError, did_you_mean
from agentkit.messages import ToolSchema
from agentkit.permissions import Effect
from agentkit.ports import ToolContext, ToolServer
from agentkit.schema import Fault
from agentkit.toolbox.sources import BadTool, Scan
from agentkit.toolbox.tool import Tool, check_name

SEPARATOR = "__"

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
        """See `schema.Parameters.faults`."""
        faults = [
            Fault((name,), "unknown-argument", f'unknown argument "{name}"',
                  did_you_mean(name, self.names).strip())
            for name in given
            if name not in self.names and self.json_schema.get("additionalProperties") is not True
        ]  # fmt: skip
        for error in Draft202012Validator(self.json_schema).iter_errors(dict(given)):
            if error.validator == "required" and not error.path:
                missing = [name for name in error.validator_value if name not in given]
                message = f'the argument "{missing[0]}" is missing'
                faults.append(Fault((), "missing-argument", message))
            elif error.validator != "additionalProperties":
                faults.append(Fault(tuple(error.path), "wrong-type", error.message))
        return list(dict.fromkeys(faults))


@dataclass
class ServerSource:
    """The tools of one server, asked when one of them is first wanted, and once.

    `only` names those that are offered, None: all.  A server that cannot be reached is asked again
    at the next scan.
    """

    server: ToolServer
    effects: tuple[Effect, ...] = ALL_EFFECTS
    only: tuple[str, ...] | None = None
    _found: Scan | None = None

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
            try:
                offered = self.server.tools()
            except AgentkitError as error:
                return Scan(bad=(BadTool(Path(self.label), str(error)),))
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
            self.effects,
            (),
            Path(self.label),
            partial(self._call, schema.name),
        )

    def _call(self, name: str, bound: Mapping[str, Any], context: ToolContext) -> Any:
        return self.server.call(name, bound, context.cancel)
