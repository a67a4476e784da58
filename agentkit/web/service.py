"""What all handlers share: the one runtime of the process, and what goes on in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request

from agentkit.runtime import Background, Keeper, Runtime, Scheduling, Timetable, Tokens
from agentkit.web.gate import Caller
from agentkit.web.live import Live
from agentkit.web.metrics import Metrics


@dataclass
class Service:
    """Made once, by `serve`."""

    runtime: Runtime
    live: Live
    metrics: Metrics
    background: Background
    keeper: Keeper
    scheduling: Scheduling
    timetable: Timetable
    tokens: Tokens
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    stopping: bool = False

    @classmethod
    def of(cls, runtime: Runtime) -> Service:
        """All parts, none of them started.  Raises what `Runtime.open` raises."""
        runtime.open()
        live, metrics = Live(), Metrics()
        background = Background(runtime, runtime.settings.service.runs, (live, metrics.hear))
        metrics.watch(background, runtime)
        tokens = Tokens(runtime.settings.home / "tokens.json")
        keeper = Keeper(runtime, background)
        scheduling = Scheduling(runtime, background.begin)
        timetable = Timetable(runtime, scheduling)
        return cls(runtime, live, metrics, background, keeper, scheduling, timetable, tokens)

    def start(self) -> None:
        """Look after runs and the schedule from now on."""
        self.keeper.start()
        self.scheduling.start()

    def stop(self) -> list[str]:
        """Take nothing new, and put away what is under way; the runs that were parked."""
        self.stopping = True
        self.scheduling.stop()
        self.keeper.stop()
        return self.background.stop(self.runtime.settings.service.patience)


def _service(request: Request) -> Service:
    found: Service = request.app.state.service
    return found


def _caller(request: Request) -> Caller:
    found: Caller = request.scope["caller"]
    return found


Here = Annotated[Service, Depends(_service)]
"""The service, for a handler."""
Who = Annotated[Caller, Depends(_caller)]
"""Who asks, for a handler."""
