"""What is offered: tools, and workflows as tools of the name `workflow_NAME`.

What other servers offer to us is not passed on, unless a pattern such as `files__*` names it: a
client can ask them itself, and two programs that offer each other's tools would never be done.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
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


class NotOffered(UnknownName):
    """A name that was not in the list."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__("tool", name, known, hint="list the tools again")


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
        self.runtime.toolbox.refresh()
        tools = [self._tool(name) for name in self._tool_names()]
        return [*tools, *self._workflows()]

    def find(self, name: str) -> Offer:
        """One by its name, without looking at the others.  Raises `NotOffered`."""
        if name in self._tool_names():
            return self._tool(name)
        workflows = self._workflow_names()
        if name in workflows:
            return Offer(name, "", {}, workflow=workflows[name])
        raise NotOffered(name, [*self._tool_names(), *workflows])

    def _tool_names(self) -> list[str]:
        box = self.runtime.toolbox
        wanted = box if any("__" in pattern for pattern in self.patterns) else box.own()
        return [name for name in wanted if self._covers(name)]

    def _tool(self, name: str) -> Offer:
        tool = self.runtime.toolbox[name]
        return Offer(name, tool.description, tool.parameters.json_schema, tool.effects)

    def _workflow_names(self) -> dict[str, str]:
        """The names of workflows, by what they are called here."""
        names = {WORKFLOW + workflow: workflow for workflow in self.runtime.workflow_names()}
        return {
            name: workflow
            for name, workflow in names.items()
            if NAME.fullmatch(name) and self._covers(name) and name not in self.runtime.toolbox
        }

    def _workflows(self) -> Iterator[Offer]:
        for name, workflow in self._workflow_names().items():
            try:
                spec = self.runtime.workflow(workflow).spec
            except AgentkitError:  # `agentkit check` says what is wrong with it
                continue
            about = spec.description or f"The workflow {workflow}."
            yield Offer(name, about, inputs_schema(spec.inputs), workflow=workflow)

    def _covers(self, name: str) -> bool:
        patterns = self.patterns or ["*"]
        if any(name.startswith(f"{server}__") for server in self.runtime.settings.mcp):
            patterns = [pattern for pattern in patterns if "__" in pattern]
        return any(fnmatchcase(name, pattern) for pattern in patterns)


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
