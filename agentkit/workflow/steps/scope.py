"""What a step may reach while it works, and what it leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from agentkit.cancel import CancelToken
from agentkit.messages import Usage
from agentkit.ports import ChatModel
from agentkit.toolbox.caller import Caller
from agentkit.workflow.report import StepReport


class Services(Protocol):
    """What the composition root lends to a run.  Models are loaded when first asked for."""

    def chat(self, name: str | None = None) -> ChatModel:
        """A chat model by name; None: the one of the role."""


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
