"""What a tool may reach while it works: `ports.ToolContext`, made anew for each call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Protocol

from pydantic import ValidationError

from agentkit.cancel import CancelToken
from agentkit.errors import UserError
from agentkit.ports import (
    Condition,
    Files,
    Http,
    Memory,
    Options,
    Recollection,
    Sandbox,
    Scalar,
    Transcriber,
)
from agentkit.toolbox.approvals import Approvals
from agentkit.validation import explain
from agentkit.values import dataclass


class ToolServices(Protocol):
    """What the composition root lends to tools.  Each is made when it is first asked for."""

    @property
    def sandbox(self) -> Sandbox:
        """For programs."""

    def http(self, hosts: Sequence[str]) -> Http:
        """For the other machines that a pattern covers."""

    def memory(self) -> Memory:
        """The vector memory.  Raises `ToolError` where there is none."""

    def transcriber(self, name: str | None = None) -> Transcriber:
        """A transcriber by name; None: the one of the role."""

    def tool_options(self, tool: str) -> Mapping[str, Any]:
        """What settings say about a tool."""


class Report(Protocol):
    """Is told what happens while a tool works."""

    def called(self, call: str, tool: str, arguments: Any) -> None:
        """A call begins."""

    def returned(self, call: str, tool: str, status: str, size: int, outcome: Any) -> None:
        """It ended: `size` in bytes, `outcome` a value or a sentence."""

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """How far it is."""

    def warned(self, text: str) -> None:
        """Something that a reader of the result should know."""

    def artifact(self, path: Path, folder: Path) -> None:
        """A file in the folder of the run."""


@dataclass(frozen=True, slots=True)
class _MemoryOfRun:
    """A memory in which each entry says where it is from, if only which run has left it, and none
    has a secret of that run in it.
    """

    memory: Memory
    signature: str
    hide: Callable[[Any], Any]

    def search(
        self, query: str, *, limit: int = 5, where: Sequence[Condition] = ()
    ) -> list[Recollection]:
        """See `ports.Memory.search`."""
        return self.memory.search(query, limit=limit, where=where)

    def save(self, text: str, *, source: str, metadata: Mapping[str, Scalar] | None = None) -> str:
        """See `ports.Memory.save`."""
        signed = source.strip() or self.signature
        kept = self.hide({"text": text, "source": signed, "metadata": metadata})
        return self.memory.save(kept.pop("text"), **kept)

    def forget(self, where: Sequence[Condition]) -> int:
        """See `ports.Memory.forget`."""
        return self.memory.forget(where)


@dataclass(frozen=True, slots=True)
class CallContext:
    """The surroundings of one call."""

    tool: str
    folder: Path
    outputs: Path
    files: Files
    reachable: tuple[str, ...]
    cancel: CancelToken
    services: ToolServices
    approvals: Approvals
    report: Report
    lend: Callable[[Sandbox], Sandbox] | None = None
    made: list[Path] = field(default_factory=list)
    """The files that it has left so far."""

    @property
    def sandbox(self) -> Sandbox:
        """See `ports.ToolContext.sandbox`."""
        sandbox = self.services.sandbox
        return sandbox if self.lend is None else self.lend(sandbox)

    @property
    def http(self) -> Http:
        """See `ports.ToolContext.http`."""
        return self.services.http(self.reachable)

    @property
    def memory(self) -> Memory:
        """See `ports.ToolContext.memory`."""
        signature = f"run {self.outputs.parent.name}"
        return _MemoryOfRun(self.services.memory(), signature, self.approvals.hide)

    @property
    def transcriber(self) -> Transcriber:
        """See `ports.ToolContext.transcriber`."""
        return self.services.transcriber()

    def options(self, model: type[Options]) -> Options:
        """See `ports.ToolContext.options`."""
        try:
            return model.model_validate(self.services.tool_options(self.tool))
        except ValidationError as error:
            fault = error.errors()[0]
            key = ".".join(["tools", "options", self.tool, *map(str, fault["loc"])])
            said = "is no option" if fault["type"] == "extra_forbidden" else explain(fault)
            raise UserError(f"settings: {key} {said}") from None

    def ask(self, question: str, choices: Sequence[str] = ()) -> str:
        """See `ports.ToolContext.ask`."""
        return self.approvals.text(self.tool, question, choices, self.cancel)

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """See `ports.ToolContext.progress`."""
        self.cancel.check()
        self.report.progress(done, total, unit)

    def warn(self, text: str) -> None:
        """See `ports.ToolContext.warn`."""
        self.report.warned(text)

    def artifact(self, path: Path) -> None:
        """See `ports.ToolContext.artifact`."""
        self.made.append(path)
        self.report.artifact(path, self.folder)
