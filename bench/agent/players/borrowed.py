"""Our tools as tools of smolagents: the same files, grants and words, called in this process.

What a tool gives back they get as text, whole; what goes wrong is an exception with the hint, which
is how tools of smolagents say it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agentkit.cancel import CancelToken
from agentkit.messages import ToolSchema
from agentkit.outcomes import Failed, NeedsApproval, Retry, Returned
from agentkit.toolbox.caller import Caller
from agentkit.toolbox.output import as_text
from bench.agent.world import Silent

TYPES = frozenset(["string", "boolean", "integer", "number", "array", "object"])


class ToolFault(Exception):
    """What a tool says when it does not work."""


def inputs(schema: ToolSchema) -> dict[str, dict[str, Any]]:
    """The arguments as smolagents describes them."""
    required = schema.parameters.get("required", [])
    return {
        name: _input(about, optional=name not in required)
        for name, about in schema.parameters.get("properties", {}).items()
    }


def _input(about: Mapping[str, Any], *, optional: bool) -> dict[str, Any]:
    kind = about.get("type")
    words = str(about.get("description", ""))
    if not optional:
        return {"type": kind if kind in TYPES else "any", "description": words}
    default = f", {about['default']!r} if left out" if "default" in about else ""
    return {
        "type": kind if kind in TYPES else "any",
        "description": f"{words} Optional{default}.".strip(),
        "nullable": True,
    }


def borrowed(base: Any, schema: ToolSchema, caller: Caller, count: Callable[[], None]) -> Any:
    """One of our tools as an object of theirs; `base` is `smolagents.Tool`."""
    arguments = tuple(inputs(schema))

    def forward(self: Any, *given: Any, **named: Any) -> str:
        together = {**dict(zip(arguments, given, strict=False)), **named}
        count()
        return called(caller, schema.name, {k: v for k, v in together.items() if v is not None})

    members = {
        "name": schema.name,
        "description": schema.description,
        "inputs": inputs(schema),
        "output_type": "string",
        "skip_forward_signature_validation": True,
        "forward": forward,
    }
    return type(f"Borrowed_{schema.name}", (base,), members)()


def called(caller: Caller, name: str, arguments: Mapping[str, Any]) -> str:
    """The result of a call as text.  Raises `ToolFault`."""
    outcome = caller.call(name, arguments, Silent(), CancelToken())
    match outcome:
        case Returned(value):
            return as_text(value)
        case Retry(said) | Failed(said) | NeedsApproval(_, said):
            raise ToolFault(said)
