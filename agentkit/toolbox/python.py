"""A Python file, or a module of an installed package, as tools: its functions with `@tool`.

A file is compiled from its text each time.  A cache of bytecode tells an edit by size and whole
seconds, and in a folder from elsewhere it may hold other code than the file that somebody read.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, get_args, get_type_hints

from agentkit.errors import ToolError, human_bytes
from agentkit.permissions import Effect, Touches
from agentkit.ports import ModelRole, ToolContext
from agentkit.schema import INJECTED, result_of, signature_of
from agentkit.toolbox.tool import MARK, Tool, check_name, check_words

MAX_BYTES = 5_000_000


class _FromText(SourceFileLoader):
    """Without a cache."""

    def get_code(self, fullname: str) -> CodeType:
        """Compiled from the text of now."""
        return self.source_to_code(self.get_data(self.path), self.path)


def load_module(path: Path) -> ModuleType:
    """Run a file as a module of its own.  Raises whatever the file raises."""
    unique = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    name = f"agentkit_tool_{unique}_{path.stem}"
    if path.stat().st_size > MAX_BYTES:
        raise ToolError(
            f"is larger than {human_bytes(MAX_BYTES)}: no program that somebody wrote is"
        )
    loader = _FromText(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None, path
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module  # where pydantic looks up the names in type hints
    try:
        with redirect_stdout(sys.stderr):  # what it prints must not mix with our results
            loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        if before is not None:  # its tools go on
            sys.modules[name] = before
        raise
    return module


def marked(module: ModuleType) -> Iterator[Callable[..., Any]]:
    """The functions of a module that are tools; those of other modules are some other file's.

    What a package gathers from its own modules is its own.
    """
    seen: set[int] = set()
    for value in list(vars(module).values()):
        if not inspect.isfunction(value) or not hasattr(value, MARK) or id(value) in seen:
            continue
        if f"{value.__module__}.".startswith(f"{module.__name__}."):
            seen.add(id(value))
            yield value


def tool_of(function: Callable[..., Any], source: Path) -> Tool:
    """A marked function as a tool.

    Raises `ToolError` for marks that make no sense, `TypeError` or what pydantic raises for a
    signature that has no schema.
    """
    name, effects, roles, each = getattr(function, MARK)
    check_name(name)
    check_words("effect", effects, Effect)
    check_words("role", roles, ModelRole)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ToolError(f"{name!r} is async; a tool is a plain function")
    signature = signature_of(function)
    signature.json_schema  # noqa: B018  # a type without a schema is found here, not in a run
    marks = _marked_arguments(function)
    touches = {argument: mark.effect for argument, mark in marks.items()}
    there = frozenset(argument for argument, mark in marks.items() if mark.there)
    undeclared = sorted(set(touches.values()) - set(effects))
    if undeclared:
        raise ToolError(f"{name!r} has an argument about {undeclared[0]!r}: declare that effect")

    def call(bound: Mapping[str, Any], context: ToolContext) -> Any:
        given = {**bound, INJECTED: context} if signature.wants_context else dict(bound)
        return function(**given)

    about = signature.description
    gives = result_of(function)
    return Tool(
        name, about, signature, effects, roles, source, call, touches, each, there, gives=gives
    )


def tool_name(function: Callable[..., Any]) -> str:
    """What a function is called as a tool, marked or not."""
    name: str = getattr(function, MARK, (function.__name__,))[0]
    return name


def _marked_arguments(function: Callable[..., Any]) -> dict[str, Touches]:
    """The arguments that an effect is about."""
    touched: dict[str, Touches] = {}
    hints = get_type_hints(function, include_extras=True)
    hints.pop("return", None)
    for argument, hint in hints.items():
        for mark in _marks(hint):
            if touched.setdefault(argument, mark) != mark:
                raise ToolError(f"the argument {argument!r} is about two effects: one is enough")
    return touched


def _marks(hint: Any) -> Iterator[Touches]:
    """The marks of a type, also those inside `list[ReadPath]` or `ReadPath | None`."""
    yield from (mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Touches))
    for inner in get_args(hint):
        if not isinstance(inner, Touches):
            yield from _marks(inner)
