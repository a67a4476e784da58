"""What a server says of its tools: as much of it as can be used, and why the rest cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator, SchemaError
from referencing import Registry

from agentkit.messages import ToolSchema
from agentkit.toolservers.plain import line, plain
from agentkit.toolservers.schemas import Unfit, harmless

if TYPE_CHECKING:
    from mcp.types import Tool

MAX_TOOLS = 1000
MAX_NAME = 200
"""Characters; no name that is used has more than 64, so that none is used that was cut."""
MAX_DESCRIPTION = 2000
"""Characters: about 500 tokens of English."""


@dataclass(frozen=True, slots=True)
class Offered:
    """`outputs` check the results of tools that declared them; `refused` maps names to reasons."""

    tools: tuple[ToolSchema, ...] = ()
    outputs: Mapping[str, Draft202012Validator] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listed:
    """What the SDK read; `more` says that the list went on and on."""

    tools: Sequence[Tool]
    refused: Mapping[str, str]
    more: bool


def mended(tools: Sequence[Any]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Tools as they were sent, without what is of no use here, and without those that are none."""
    kept, refused = [], {}
    for tool in tools:
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
            refused["?"] = "is a tool without a name"
            continue
        schema = tool.get("inputSchema")
        if not isinstance(schema, dict) or schema.get("type") != "object":
            refused[line(tool["name"], MAX_NAME)] = "has a schema that describes no object"
            continue
        made = {"name": tool["name"], "inputSchema": schema}
        if isinstance(tool.get("description"), str):
            made["description"] = tool["description"]
        given = tool.get("outputSchema")
        if isinstance(given, dict) and given.get("type") == "object":
            made["outputSchema"] = given
        kept.append(made)
    return kept, refused


def read(listed: Listed) -> Offered:
    """Listed tools as they can be used."""
    tools: list[ToolSchema] = []
    outputs: dict[str, Draft202012Validator] = {}
    refused, more = dict(listed.refused), listed.more
    for number, tool in enumerate(listed.tools):
        name = tool.name[:MAX_NAME]
        if number == MAX_TOOLS:
            more = True
            break
        try:
            schema = harmless(tool.input_schema)
        except Unfit as fault:
            refused[line(name, MAX_NAME)] = f"has a schema that {fault}"
            continue
        tools.append(ToolSchema(name, plain(tool.description or "", MAX_DESCRIPTION), schema))
        if tool.output_schema is not None and (check := _checker(tool.output_schema)):
            outputs[name] = check
    if more:
        refused["…"] = f"and all after it were left out: {MAX_TOOLS} tools are enough"
    return Offered(tuple(tools), outputs, refused)


def _checker(schema: Mapping[str, Any]) -> Draft202012Validator | None:
    """Checks results; None for a schema that cannot be used, so that nothing is checked."""
    try:
        clean = harmless(schema)
        Draft202012Validator.check_schema(clean)
    except (Unfit, SchemaError):
        return None
    return Draft202012Validator(clean, registry=Registry())
