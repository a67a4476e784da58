"""What a tool is to everybody who calls one, and `@tool`, which makes one of a function."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, get_args, overload

from agentkit.errors import AgentkitError, InvalidInput, ToolError
from agentkit.hosts import Location
from agentkit.messages import ToolSchema
from agentkit.permissions import Access, Effect
from agentkit.ports import ModelRole, ToolContext
from agentkit.schema import Parameters
from agentkit.toolbox.paths import full_path, real_path
from agentkit.toolbox.plain import described
from agentkit.values import dataclass

F = TypeVar("F", bound=Callable[..., Any])

MARK = "__agentkit_tool__"
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
"""What models accept as the name of a function."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool: what models, workflows and people see of it, and how it is done.

    `touches` says which arguments an effect is about, `there` which of them are files that have to
    exist before they are changed, `each` which are lists that can have an entry for each file of
    the folder, and what has its name there; `call` takes checked arguments.  A tool that `lasts`
    can be called though its file has changed or gone.  `gives` is the JSON Schema of its value, as
    far as that is known.
    """

    name: str
    description: str
    parameters: Parameters
    effects: tuple[Effect, ...]
    roles: tuple[ModelRole, ...]
    source: Path
    call: Callable[[Mapping[str, Any], ToolContext], Any]
    touches: Mapping[str, Effect] = field(default_factory=dict)
    each: Mapping[str, str] = field(default_factory=dict)
    there: frozenset[str] = frozenset()
    lasts: bool = True
    gives: Mapping[str, Any] = field(default_factory=dict)

    @property
    def schema(self) -> ToolSchema:
        """As a model is told of it."""
        return ToolSchema(self.name, self.description, self.parameters.json_schema)

    def bind(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments in their types.  Raises `InvalidInput` that names the tool.

        A null where there can be none is an argument that was left out: small models write so.
        """
        given = dict(arguments)
        if any(value is None for value in given.values()):
            refused = {fault.path for fault in self.parameters.faults(given)}
            given = {n: v for n, v in given.items() if v is not None or (n,) not in refused}
        try:
            return self.parameters.bind(given)
        except InvalidInput as error:
            hint = f"agentkit tools show {self.name}"
            raise InvalidInput(f"tool {self.name!r}: {error}", hint=hint) from None

    def run(self, bound: Mapping[str, Any], context: ToolContext) -> Any:
        """Do it.  Raises the `AgentkitError` that it raises, `ToolError` for anything else."""
        try:
            value = self.call(bound, context)
            return list(value) if isinstance(value, Iterator) else value  # a generator works here
        except (AgentkitError, KeyboardInterrupt):
            raise
        except BaseException as error:  # somebody else's code: its faults are its own
            said = f"{type(error).__name__}: {described(error)}".removesuffix(": ")
            raise ToolError(f"tool {self.name!r} broke: {said}") from error

    def accesses(self, bound: Mapping[str, Any], folder: Path) -> tuple[Access, ...]:
        """What a call would touch; paths are relative to the folder of the run.

        An effect that no argument is about touches something that cannot be told.
        """
        found: list[Access] = []
        for argument, effect in self.touches.items():
            values = bound.get(argument)
            several = values if isinstance(values, list | tuple | set | frozenset) else [values]
            found += [Access(effect, _thing(effect, v, folder)) for v in several if v is not None]
        told = {access.effect for access in found} | set(self.touches.values())
        return (*found, *(Access(effect) for effect in self.effects if effect not in told))


def _thing(effect: Effect, value: Any, folder: Path) -> str:
    if effect in ("reads", "writes"):
        return str(real_path(full_path(folder, value)))
    return Location.of(str(value)).place


@overload
def tool(function: F) -> F: ...
@overload
def tool(
    *,
    name: str | None = None,
    effects: Sequence[Effect] = (),
    roles: Sequence[ModelRole] = (),
    each: Mapping[str, str] = ...,
) -> Callable[[F], F]: ...
def tool(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    effects: Sequence[Effect] = (),
    roles: Sequence[ModelRole] = (),
    each: Mapping[str, str] = MappingProxyType({}),
) -> Any:
    """Mark a function as a tool.

    `effects` declare what it does to the world beyond computing: it `reads` files, `writes` files,
    uses the `network`, `executes` code, `spends` money.  Which argument that is about is said by
    its type: `ReadPath`, `WritePath`, `ChangedPath`, `Url`.  `roles` name the models that it asks
    its context for (`transcribe`), so that a missing one is found before a run begins.  `each`
    names arguments that are lists of objects, one for each file, and the key that has the file's
    name: an agent's model goes through all files of its folder then, and forgets none.  A
    parameter called `context` receives a `ToolContext`.
    """

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        told = (name or function.__name__, tuple(effects), tuple(roles), dict(each))
        setattr(function, MARK, told)
        return function

    return mark(function) if function is not None else mark


def check_name(name: str) -> None:
    """Raise `ToolError` for a name that models do not accept."""
    if not NAME.fullmatch(name):
        raise ToolError(f"{name!r} is no name for a tool: letters, digits, _ and - are")


def check_words(kind: str, given: Sequence[str], known: Any) -> None:
    """Raise `ToolError` for a word that is none of a `Literal`."""
    unknown = [word for word in given if word not in get_args(known)]
    if unknown:
        there = ", ".join(get_args(known))
        raise ToolError(f"{unknown[0]!r} is no {kind}; there are: {there}")
