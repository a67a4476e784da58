"""One step, or one item of its `foreach`, telling what becomes of it as events."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from agentkit import events as ev
from agentkit.errors import ToolError
from agentkit.messages import Usage


class Publish(Protocol):
    """Tells an event; `more`: another one follows before anything is done."""

    def __call__(self, event: ev.Event, more: bool = False) -> None:
        """Returns when it is on record, or with `more` at once."""


class StepReport:
    """Knows run, step, item and the time it began, so that nobody else has to repeat them."""

    def __init__(
        self,
        publish: Publish,
        run: str,
        step: str,
        item: int | None = None,
        *,
        name: str = "",
        home: Path | None = None,
    ) -> None:
        self._publish = publish
        self._home = home
        self._run = run
        self._step = step
        self._item = item
        self._name = name
        self._began = time.perf_counter()
        self._calls: dict[str, float] = {}

    def counted(self, count: int) -> None:
        """A `foreach` knows how many items it has."""
        self._tell(ev.ForeachStarted, count=count)

    def started(self, action: str, inputs: Mapping[str, Any], *, more: bool = False) -> None:
        """The arguments are there, the work begins; `more`: with a call that is told next."""
        self._tell(ev.StepStarted, more, action=action, inputs=inputs)

    def placed(self, machine: str) -> None:
        """What begins now is done on another machine."""
        self._tell(ev.StepPlaced, machine=machine)

    def skipped(self, reason: str) -> None:
        """There was nothing to do."""
        self._tell(ev.StepSkipped, reason=reason)

    def retried(self, attempt: int, error: str, wait: float) -> None:
        """An attempt failed; another one follows after `wait` seconds."""
        self._tell(ev.StepRetried, attempt=attempt, error=error, wait=wait)

    def finished(
        self, outputs: Any, usage: Usage | None = None, *, cache: str = "", cached: str = ""
    ) -> None:
        """The work is done; see `events.StepFinished`."""
        self._tell(
            ev.StepFinished,
            outputs=outputs,
            seconds=self._seconds,
            usage=usage,
            cache=cache,
            cached=cached,
        )

    def failed(
        self,
        error: str,
        *,
        status: Literal["failed", "cancelled", "parked"] = "failed",
        detail: str = "",
    ) -> None:
        """The work ended without a result; `detail` is for a developer."""
        self._tell(ev.StepFailed, error=error, seconds=self._seconds, status=status, detail=detail)

    def called(self, call: str, tool: str, arguments: Any) -> None:
        """A tool is about to be called."""
        self._calls[call] = time.perf_counter()
        self._tell(ev.ToolCalled, call=call, tool=tool, arguments=arguments)

    def returned(
        self, call: str, tool: str, status: str, size: int, outcome: Any, *, more: bool = False
    ) -> None:
        """The call ended; `more`: and the step with it, which is told next."""
        seconds = time.perf_counter() - self._calls.pop(call)
        self._tell(
            ev.ToolReturned,
            more,
            call=call,
            tool=tool,
            status=status,
            seconds=seconds,
            size=size,
            outcome=outcome,
        )

    def progress(self, done: float, total: float | None, unit: str) -> None:
        """How far the work is."""
        self._tell(ev.StepProgress, done=done, total=total, unit=unit)

    def warned(self, text: str) -> None:
        """Something that a reader of the result should know."""
        self._tell(ev.StepWarned, text=text)

    @property
    def place(self) -> dict[str, Any]:
        """Run, step and item, for events of others."""
        return {"run": self._run, "step": self._step, "item": self._item, "name": self._name}

    @property
    def key(self) -> str:
        """Which item, as the journal knows it: see `events.StepEvent.key`."""
        return self._name or ("" if self._item is None else str(self._item))

    def tell(self, event: ev.Event) -> None:
        """Something that happened to the step."""
        self._publish(event)

    def artifact(self, path: Path, folder: Path) -> None:
        """A file in the `folder` that the run works in, named by its full path if that is not the
        run's own.  Raises `ToolError` for one that is elsewhere.
        """
        real, home = path.resolve(), folder.resolve()
        if not real.is_relative_to(home):
            raise ToolError(f"{path} is not in the folder of the run")
        with real.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        own = (self._home or folder).resolve()
        name = str(real.relative_to(own) if real.is_relative_to(own) else real)
        self._tell(ev.ArtifactMade, path=name, size=real.stat().st_size, sha256=digest)

    @property
    def _seconds(self) -> float:
        return time.perf_counter() - self._began

    def _tell(self, kind: type[ev.StepEvent], more: bool = False, **details: Any) -> None:
        self._publish(kind(**self.place, **details), more)
