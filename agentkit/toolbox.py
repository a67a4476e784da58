"""Find tools, describe them, check their arguments and call them.

A tool is a Python function with `@tool`, in a file of its own.  The tools that ship with agentkit
and those of a user come in through the same door.  A file that cannot be loaded is reported by name
and stops nothing else.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

from agentkit.errors import AgentkitError, InvalidInput, ToolError, UnknownName
from agentkit.ports import ToolContext
from agentkit.schema import Signature, signature_of

Effect = Literal["reads", "writes", "network", "executes"]
F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__agentkit_tool__"


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool: what models, workflows and people see of it, and the function behind it."""

    name: str
    signature: Signature
    effects: tuple[Effect, ...]
    function: Callable[..., Any]
    source: Path

    @property
    def description(self) -> str:
        """The docstring up to its `Args:`."""
        return self.signature.description

    @property
    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments."""
        return self.signature.json_schema


@dataclass(frozen=True, slots=True)
class BadTool:
    """A file that should hold a tool and does not."""

    source: Path
    reason: str
    detail: str = ""


@overload
def tool(function: F) -> F: ...
@overload
def tool(
    *, name: str | None = None, effects: Sequence[Effect] = ()
) -> Callable[[F], F]: ...
def tool(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    effects: Sequence[Effect] = (),
) -> Any:
    """Mark a function as a tool.

    `effects` declare what it does to the world beyond computing: `reads` files, `writes` files,
    uses the `network`, `executes` code.  A parameter called `context` receives a `ToolContext`.
    """

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        setattr(function, _MARK, (name or function.__name__, tuple(effects)))
        return function

    return mark(function) if function is not None else mark


class Toolbox:
    """The tools of some folders; where two have one name, the later folder wins."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._tools: dict[str, Tool] = {}
        self.bad: list[BadTool] = []
        for folder in folders:
            for path in sorted(folder.glob("*.py")):
                self._load(path)

    def __iter__(self) -> Iterator[Tool]:
        return iter(sorted(self._tools.values(), key=lambda tool: tool.name))

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._tools)

    def get(self, name: str) -> Tool:
        """A tool by name.  Raises `UnknownName`."""
        if name not in self._tools:
            raise UnknownName("tool", name, self._tools, hint="agentkit tools list")
        return self._tools[name]

    def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> Any:
        """Check the arguments and call a tool.

        Raises `UnknownName`, `InvalidInput` for arguments that do not fit, whatever `AgentkitError`
        the tool raises, and `ToolError` for any other exception of it.
        """
        found = self.get(name)
        try:
            bound = found.signature.bind(arguments)
        except InvalidInput as error:
            raise InvalidInput(
                f"tool {name!r}: {error}", hint=f"agentkit tools show {name}"
            ) from None
        if found.signature.wants_context:
            bound["context"] = context
        try:
            return found.function(**bound)
        except AgentkitError:
            raise
        except Exception as error:  # somebody else's code: any of its faults is its own
            raise ToolError(f"tool {name!r} broke: {type(error).__name__}: {error}") from error

    def _load(self, path: Path) -> None:
        unique = hashlib.sha256(str(path).encode()).hexdigest()[:8]
        spec = importlib.util.spec_from_file_location(f"agentkit_tool_{unique}_{path.stem}", path)
        assert spec is not None and spec.loader is not None, path
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # where pydantic looks up the names in type hints
        try:
            spec.loader.exec_module(module)
            marked = [f for f in vars(module).values() if hasattr(f, _MARK)]
            if not marked:
                self.bad.append(BadTool(path, "has no function marked with @tool"))
            for function in marked:
                name, effects = getattr(function, _MARK)
                made = Tool(name, signature_of(function), effects, function, path)
                self._tools[name] = made
        except Exception as error:  # a broken file must not take the others with it
            reason = f"{type(error).__name__}: {error}"
            self.bad.append(BadTool(path, reason, traceback.format_exc()))
