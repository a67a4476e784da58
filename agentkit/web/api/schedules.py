"""What starts by itself: looked at, paused, started by hand."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from agentkit.errors import UserError
from agentkit.inventory import Due
from agentkit.records import Fire, ScheduleView
from agentkit.web.api.bodies import Body, Data
from agentkit.web.service import Here, Who

router = APIRouter(prefix="/api/schedules", tags=["schedules"])


class Start(Body):
    """Inputs instead of what a trigger gives; for the owner alone."""

    inputs: Data = Field(default_factory=dict)


@router.get("")
def schedules(here: Here) -> list[ScheduleView]:
    """All workflows with triggers, and when each is due next."""
    return list(here.timetable.list())


@router.get("/next")
def upcoming(here: Here, count: Annotated[int, Query(ge=1, le=1000)] = 10) -> list[Due]:
    """The next due times of all."""
    return [
        Due(time=time, workflow=name, trigger=trigger)
        for time, name, trigger in here.timetable.next(count)
    ]


@router.get("/{workflow}/why")
def why(workflow: str, here: Here) -> list[str]:
    """What will start a workflow, what has, and why something did not, in sentences."""
    return list(here.timetable.why(workflow))


@router.post("/{workflow}/pause", status_code=204)
def pause(workflow: str, here: Here) -> None:
    """Let nothing start it by itself until it is resumed."""
    here.timetable.pause(workflow)


@router.post("/{workflow}/resume", status_code=204)
def resume(workflow: str, here: Here) -> None:
    """Let it be started again; what was due meanwhile stays undone."""
    here.timetable.resume(workflow)


@router.post("/{workflow}/trigger", status_code=202)
def trigger(workflow: str, start: Start, here: Here, who: Who) -> Fire:
    """Start it now, as if it were due."""
    if start.inputs and not who.owner:  # a file among them could be read by the run
        raise UserError("this token is no person's: leave `inputs` out")
    return here.timetable.trigger(workflow, start.inputs)
