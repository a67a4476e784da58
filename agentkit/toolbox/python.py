"""A Python file, or a module of an installed package, as tools: its functions with `@tool`."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

from agentkit.errors import ToolError
from agentkit.permissions import Effect, Touches
from agentkit.ports import ModelRole, ToolContext
from agentkit.schema import INJECTED, signature_of
from agentkit.toolbox.tool import MARK, Tool, check_name, check_words


def load_module(path: Path) -> ModuleType:
    """Run a file as a module of its own.  Raises whatever the file raises."""
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
    except BaseException:
        del sys.modules[name]
        raise
    return module


def marked(module: ModuleType) -> Iterator[Callable[..., Any]]:
    """The functions of a module that are tools; those it imported are some other file's."""
    seen: set[int] = set()
    for value in vars(module).values():
        own = inspect.isfunction(value) and value.__module__ == module.__name__
        if own and hasattr(value, MARK) and id(value) not in seen:
            seen.add(id(value))
            yield value


def tool_of(function: Callable[..., Any], source: Path) -> Tool:
    """A marked function as a tool.

    Raises `ToolError` for marks that make no sense, `TypeError` or what pydantic raises for a
    signature that has no schema.
    """
    name, effects, roles = getattr(function, MARK)
    check_name(name)
    check_words("effect", effects, Effect)
    check_words("role", roles, ModelRole)
    if inspect.iscoroutinefunction(function):
        raise ToolError(f"{name!r} is async; a tool is a plain function")
    signature = signature_of(function)
    signature.json_schema  # noqa: B018  # a type without a schema is found here, not in a run
    touches = _touched(function)
    undeclared = sorted(set(touches.values()) - set(effects))
    if undeclared:
        raise ToolError(f"{name!r} has an argument about {undeclared[0]!r}: declare that effect")

    def call(bound: Mapping[str, Any], context: ToolContext) -> Any:
        given = {**bound, INJECTED: context} if signature.wants_context else dict(bound)
        return function(**given)

    return Tool(name, signature.description, signature, effects, roles, source, call, touches)


def _touched(function: Callable[..., Any]) -> dict[str, Effect]:
    """The arguments that an effect is about."""
    hints = get_type_hints(function, include_extras=True)
    return {argument: mark.effect for argument, hint in hints.items() for mark in _marks(hint)}


def _marks(hint: Any) -> Iterator[Touches]:
    """The marks of a type, also those inside `list[ReadPath]` or `ReadPath | None`."""
    yield from (mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Touches))
    for inner in get_args(hint):
        if not isinstance(inner, Touches):
            yield from _marks(inner)
