"""What a step may reach while it works, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import field
from typing import TYPE_CHECKING, Any, Protocol

from agentkit.cancel import CancelToken
from agentkit.jobs import Apart
from agentkit.letters import Letter
from agentkit.messages import Usage
from agentkit.ports import ChatModel, Embedder
from agentkit.records import AgentRecord, Cached
from agentkit.toolbox.caller import Caller
from agentkit.toolbox.context import CallContext
from agentkit.toolbox.grants import Grants
from agentkit.toolbox.tool import Tool
from agentkit.values import dataclass
from agentkit.workflow.expressions import Beginning
from agentkit.workflow.report import StepReport

if TYPE_CHECKING:
    from agentkit.agent.run import Part


AwayApart = Callable[[Apart, Tool, Mapping[str, Any], Grants, CallContext], Any]
"""`toolbox.caller.Away`, of a step that works beside others."""


class Place(Protocol):
    """Where a step is done: in this process, or on another machine."""

    def chat(self, name: str | None = None) -> ChatModel:
        """A chat model of that machine, by name; None: the one of the role there."""

    @property
    def away(self) -> AwayApart | None:
        """How tools are called there; None: as always."""


class Services(Protocol):
    """What the composition root lends to a run.  Models are loaded when first asked for."""

    @property
    def elsewhere(self) -> Container[str]:
        """The queues of which other machines do the steps."""

    def embedder(self, name: str | None = None) -> Embedder:
        """An embedder by name; None: the one of the role."""

    def beginning(self, text: str, tokens: int, model: str | None = None) -> str:
        """The beginning of a text that has at most so many tokens of a chat model."""

    def past(self, run: str, step: str, key: str) -> AgentRecord:
        """What is on record of a step of a run that goes on; nothing of one that begins."""

    def cached(self, digest: str, age: float | None) -> Cached | None:
        """What another run kept under a digest, at most so many seconds ago."""

    def place(
        self, queue: str | None, report: StepReport, cancel: CancelToken, travels: bool = True
    ) -> AbstractContextManager[Place]:
        """One of the places of a queue, as soon as one is free; None: this process.

        What does not travel is done here, whatever the queue is.  Raises `Cancelled`, and what
        `ports.Workers.taken` raises.
        """

    def child(
        self, name: str, given: Mapping[str, Any], run: str, parent: str, cancel: CancelToken
    ) -> Mapping[str, Any]:
        """The outputs of another workflow, run under this id, or gone on with.

        Raises what a run raises.
        """

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
    beginning: Beginning | None = None
    """Who counts tokens for them."""
    without: frozenset[Part] = frozenset()
    """Parts of agents that are left out, for comparison."""
