"""Where in a run something happens: what can be read there, which item it is, who may stop it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agentkit.cancel import CancelToken
from agentkit.errors import UserError
from agentkit.records import Settled
from agentkit.workflow.expressions import Beginning, ExpressionError, render
from agentkit.yamlfile import NodePath

LONGEST_KEY = 200
"""Characters of what an item is called."""


class BadExpression(ExpressionError):
    """An expression that failed, and the path of its value in the file."""

    def __init__(self, message: str, path: NodePath, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.path = path


class _Facts(Mapping[str, Any]):
    """What can be read of a step; its outputs are fetched when an expression names them."""

    def __init__(self, settled: Settled) -> None:
        self._settled = settled

    def __getitem__(self, name: str) -> Any:
        return getattr(self._settled, _READ[name])

    def __iter__(self) -> Iterator[str]:
        return iter(_READ)

    def __len__(self) -> int:
        return len(_READ)


_READ = {"outputs": "given", "status": "status", "error": "error"}
"""What `steps.ID.…` offers, and what it is of `Settled`."""


class _Steps(Mapping[str, _Facts]):
    """What can be read of steps; made for those that an expression names, of hundreds perhaps."""

    def __init__(self, settled: Mapping[str, Settled]) -> None:
        self._settled = settled

    def __getitem__(self, name: str) -> _Facts:
        return _Facts(self._settled[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._settled)

    def __len__(self) -> int:
        return len(self._settled)


@dataclass(frozen=True)
class Frame:
    """The surroundings of a step; each group and each item of a loop has one of its own."""

    cancel: CancelToken
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What expressions can read besides steps."""
    steps: Mapping[str, Settled] = field(default_factory=dict)
    """The steps that they can read."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """For `with` and `env` alone."""
    beginning: Beginning | None = None
    """Who counts tokens."""
    item: int | None = None
    name: str = ""

    @property
    def key(self) -> str:
        """Which item, as the journal knows it: see `events.StepEvent.key`."""
        return self.name or ("" if self.item is None else str(self.item))

    def readable(self) -> dict[str, Any]:
        """What an expression can read here."""
        return {**self.facts, "steps": _Steps(self.steps)}

    def render(self, value: Any, path: NodePath, *, secrets: bool = False) -> Any:
        """Raises `BadExpression`, which knows where in the file the expression stands."""
        facts = self.readable()
        if secrets:
            facts["secrets"] = self.secrets
        try:
            return render(value, facts, self.beginning)
        except ExpressionError as error:
            raise BadExpression(str(error), (*path, *error.path), error.hint) from None

    def for_item(self, variable: str, item: Any, position: int, named: str | None) -> Frame:
        """That of one item of a loop; `named` is its key, if the file gives it one."""
        own = str(position) if named is None else _escaped(named)
        nested = bool(self.key)
        name = f"{self.key}/{own}" if nested else ("" if named is None else own)
        return replace(self, facts={**self.facts, variable: item}, item=position, name=name)


def _escaped(name: str) -> str:
    if not name or len(name) > LONGEST_KEY:
        raise UserError(
            f"the key of an item has 1 to {LONGEST_KEY} characters, not {len(name)}",
            hint="`${{ item | hash }}` is short for anything",
        )
    return name.replace("%", "%25").replace("/", "%2F")
