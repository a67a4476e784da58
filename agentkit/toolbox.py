"""Find tools, describe them, check their arguments and call them.

A tool is a Python function with `@tool`, in a file of its own.  The tools that ship with agentkit
and those of a user come in through the same door.  A file that cannot be loaded is reported by name
and stops nothing else.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, overload

from agentkit.errors import AgentkitError, InvalidInput, ToolError, UnknownName
from agentkit.ports import ModelRole, ToolContext
from agentkit.schema import Signature, signature_of

Effect = Literal["reads", "writes", "network", "executes"]
F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__agentkit_tool__"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
"""What models accept as the name of a function."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool: what models, workflows and people see of it, and the function behind it."""

    name: str
    signature: Signature
    effects: tuple[Effect, ...]
    roles: tuple[ModelRole, ...]
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
    *, name: str | None = None, effects: Sequence[Effect] = (), roles: Sequence[ModelRole] = ()
) -> Callable[[F], F]: ...
def tool(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    effects: Sequence[Effect] = (),
    roles: Sequence[ModelRole] = (),
) -> Any:
    """Mark a function as a tool.

    `effects` declare what it does to the world beyond computing: `reads` files, `writes` files,
    uses the `network`, `executes` code.  `roles` name the models that it asks its context for
    (`transcribe`), so that a missing one is found before a run begins.  A parameter called
    `context` receives a `ToolContext`.
    """

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        setattr(function, _MARK, (name or function.__name__, tuple(effects), tuple(roles)))
        return function

    return mark(function) if function is not None else mark


class Toolbox:
    """The tools of some folders; where two have one name, the later folder wins.

    Two of one name in one folder are a mistake: the second is reported.  Files that begin with an
    underscore are no tools.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._tools: dict[str, Tool] = {}
        self.bad: list[BadTool] = []
        for folder in folders:
            for path in sorted(folder.glob("*.py")):
                if not path.name.startswith("_"):
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
        except (Exception, SystemExit) as error:  # somebody else's code: its faults are its own
            raise ToolError(f"tool {name!r} broke: {type(error).__name__}: {error}") from error

    def _load(self, path: Path) -> None:
        unique = hashlib.sha256(str(path).encode()).hexdigest()[:8]
        name = f"agentkit_tool_{unique}_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None, path
        assert spec.loader is not None, path
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # where pydantic looks up the names in type hints
        try:
            with redirect_stdout(sys.stderr):  # what it prints must not mix with our results
                spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:  # a broken file must not take the others with it
            del sys.modules[name]
            self._report(path, error)
            return
        marked = {id(f): f for f in vars(module).values() if _is_marked(f, name)}
        if not marked:
            self.bad.append(BadTool(path, "has no function marked with @tool"))
        for function in marked.values():
            try:
                self._add(function, path)
            except Exception as error:  # nor one function the others of its file
                self._report(path, error)

    def _add(self, function: Callable[..., Any], path: Path) -> None:
        name, effects, roles = getattr(function, _MARK)
        if not _NAME.fullmatch(name):
            raise ToolError(f"{name!r} is no name for a tool: letters, digits, _ and - are")
        for kind, given, known in (("effect", effects, Effect), ("role", roles, ModelRole)):
            unknown = [word for word in given if word not in get_args(known)]
            if unknown:
                there = ", ".join(get_args(known))
                raise ToolError(f"{unknown[0]!r} is no {kind}; there are: {there}")
        if inspect.iscoroutinefunction(function):
            raise ToolError(f"{name!r} is async; a tool is a plain function")
        made = Tool(name, signature_of(function), effects, roles, function, path)
        made.json_schema  # noqa: B018  # a type without a schema is found here, not in a run
        other = self._tools.get(name)
        if other and other.source.parent == path.parent:
            raise ToolError(f"there is a tool {name!r} already, in {other.source.name}")
        self._tools[name] = made

    def _report(self, path: Path, error: BaseException) -> None:
        kind = "" if isinstance(error, ToolError) else f"{type(error).__name__}: "
        self.bad.append(BadTool(path, f"{kind}{error}".rstrip(": "), traceback.format_exc()))


def _is_marked(value: Any, module: str) -> bool:
    """Whether a function of this module is a tool; those it imported are some other file's."""
    return inspect.isfunction(value) and hasattr(value, _MARK) and value.__module__ == module
