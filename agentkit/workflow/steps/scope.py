"""What a step may reach while it works, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentkit.agent.run import Part
from agentkit.cancel import CancelToken
from agentkit.letters import Letter
from agentkit.messages import Usage
from agentkit.ports import ChatModel, Embedder
from agentkit.records import AgentRecord
from agentkit.toolbox.caller import Caller
from agentkit.workflow.report import StepReport


class Services(Protocol):
    """What the composition root lends to a run.  Models are loaded when first asked for."""

    def chat(self, name: str | None = None) -> ChatModel:
        """A chat model by name; None: the one of the role."""

    def embedder(self, name: str | None = None) -> Embedder:
        """An embedder by name; None: the one of the role."""

    def past(self, run: str, step: str, item: int | None) -> AgentRecord:
        """What is on record of a step of a run that goes on; nothing of one that begins."""

    def letters(self, run: str) -> Iterable[Letter]:
        """What a person said to the run since it was asked last."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a step left: plain data, and what a model charged for it."""

    outputs: Any
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """The surroundings of one step."""

    caller: Caller
    cancel: CancelToken
    report: StepReport
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What expressions can read."""
    without: frozenset[Part] = frozenset()
    """Parts of agents that are left out, for comparison."""
