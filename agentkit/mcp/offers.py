"""What is offered: tools, and workflows as tools of the name `workflow_NAME`.

What other servers offer to us is not passed on, unless a pattern names it: a client can ask them
itself, and two programs that offer each other's tools would never be done.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

from agentkit.errors import AgentkitError, UnknownName
from agentkit.permissions import Effect
from agentkit.runtime import Runtime

WORKFLOW = "workflow_"
"""How the names of workflows begin."""

NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
"""What clients accept as a name."""

TYPES = {"string": "string", "integer": "integer", "number": "number", "boolean": "boolean",
         "file": "string", "folder": "string", "list": "array", "object": "object"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing that can be called; `effects` None: what it does is not known beforehand."""

    name: str
    description: str
    schema: Mapping[str, Any]
    effects: tuple[Effect, ...] | None = None
    workflow: str = ""
    """The name of the workflow; empty for a tool."""
    steps: int | None = None
    """Of the workflow."""


class Input(Protocol):
    """What a workflow declares of a value that its caller gives."""

    @property
    def type(self) -> str: ...  # noqa: D102
    @property
    def description(self) -> str: ...  # noqa: D102
    @property
    def default(self) -> Any: ...  # noqa: D102
    @property
    def enum(self) -> Sequence[Any] | None: ...  # noqa: D102
    @property
    def minimum(self) -> float | None: ...  # noqa: D102
    @property
    def maximum(self) -> float | None: ...  # noqa: D102
    @property
    def pattern(self) -> str | None: ...  # noqa: D102
    @property
    def optional(self) -> bool: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Offers:
    """Those whose names one of the patterns covers; no patterns: all."""

    runtime: Runtime
    patterns: Sequence[str] = ()

    def all(self) -> list[Offer]:
        """All of them, tools first.  Files are looked at again each time."""
        found = {offer.name: offer for offer in self._tools()}
        for offer in self._workflows():
            found.setdefault(offer.name, offer)
        return list(found.values())

    def find(self, name: str) -> Offer:
        """One by its name.  Raises `UnknownName`, also for what is not offered."""
        offers = {offer.name: offer for offer in self.all()}
        if name not in offers:
            raise UnknownName("tool", name, offers, hint="list the tools again")
        return offers[name]

    def _tools(self) -> Iterator[Offer]:
        self.runtime.toolbox.refresh()
        for name, tool in self.runtime.toolbox.items():
            if self._covers(name) and (not self._is_passed_on(name) or self._is_named(name)):
                yield Offer(name, tool.description, tool.parameters.json_schema, tool.effects)

    def _workflows(self) -> Iterator[Offer]:
        for workflow in self.runtime.workflow_names():
            name = WORKFLOW + workflow
            if not self._covers(name) or not NAME.fullmatch(name):
                continue
            try:
                spec = self.runtime.workflow(workflow).spec
            except AgentkitError:  # `agentkit check` says what is wrong with it
                continue
            schema = inputs_schema(spec.inputs)
            about = spec.description or f"The workflow {workflow}."
            yield Offer(name, about, schema, None, workflow, len(spec.steps))

    def _covers(self, name: str) -> bool:
        return not self.patterns or self._is_named(name)

    def _is_named(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.patterns if pattern != "*")

    def _is_passed_on(self, name: str) -> bool:
        return any(name.startswith(f"{server}__") for server in self.runtime.settings.mcp)


def inputs_schema(inputs: Mapping[str, Input]) -> dict[str, Any]:
    """The inputs of a workflow as the JSON Schema of an object."""
    return {
        "type": "object",
        "properties": {name: _property(declared) for name, declared in inputs.items()},
        "required": [name for name, declared in inputs.items() if not declared.optional],
        "additionalProperties": False,
    }


def _property(declared: Input) -> dict[str, Any]:
    about = declared.description
    if declared.type in ("file", "folder"):
        about = f"{about} (the path of a {declared.type} on this machine)".strip()
    said = {
        "type": TYPES[declared.type],
        "description": about,
        "default": declared.default,
        "enum": declared.enum,
        "minimum": declared.minimum,
        "maximum": declared.maximum,
        "pattern": declared.pattern if declared.type == "string" else None,
    }
    return {key: value for key, value in said.items() if value not in (None, "")}
