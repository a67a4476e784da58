"""What a step may reach while it works, and what it leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from agentkit.cancel import CancelToken
from agentkit.messages import Usage
from agentkit.ports import ChatModel, Transcriber
from agentkit.toolbox import Toolbox
from agentkit.workflow.report import StepReport


class Services(Protocol):
    """What the composition root lends to a run.  Models are loaded when first asked for."""

    @property
    def toolbox(self) -> Toolbox:
        """The tools that exist."""

    def chat(self, name: str | None = None) -> ChatModel:
        """A chat model by name; None: the one of the role."""

    def transcriber(self, name: str | None = None) -> Transcriber:
        """A transcriber by name; None: the one of the role."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a step left: plain data, and what a model charged for it."""

    outputs: Any
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """The surroundings of one step.  It is also the `ToolContext` that tools get."""

    services: Services
    folder: Path
    cancel: CancelToken
    report: StepReport

    @property
    def transcriber(self) -> Transcriber:
        """The model of the role `transcribe`."""
        return self.services.transcriber()

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """See `ports.ToolContext.progress`."""
        self.cancel.check()
        self.report.progress(done, total, unit)

    def warn(self, text: str) -> None:
        """See `ports.ToolContext.warn`."""
        self.report.warned(text)

    def artifact(self, path: Path) -> None:
        """See `ports.ToolContext.artifact`."""
        self.report.artifact(path, self.folder)
