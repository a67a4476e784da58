"""What happens in a run, as it happens: server-sent events, each with its number in the journal.

A client that lost the connection asks again with `Last-Event-ID`, and misses nothing.  Progress has
no number and is not repeated.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, ServerSentEvent

from agentkit.records import EventRecord, RunRecord
from agentkit.web.service import Here, Service

router = APIRouter(prefix="/api", tags=["runs"])

MOST = 10**18
"""Beyond any number of an event."""
LOOK = 1.0
"""Seconds between two looks at a run that another process works on."""
PATIENCE = 10.0
"""Seconds between two looks at one of this process, which says when something happens."""


def _known(run: str, here: Here) -> str:
    """The id of a run: one that is unknown is an answer of its own, and no stream."""
    return here.runtime.journal.run(run).id


@router.get("/runs/{run}/events", response_class=EventSourceResponse)
async def events(
    found: Annotated[str, Depends(_known)],
    here: Here,
    after: Annotated[int, Query(ge=0, le=MOST)] = 0,
    last_event_id: Annotated[str | None, Header(max_length=18)] = None,
) -> AsyncIterable[ServerSentEvent]:
    """All events of a run, and of those that belong to it, until it ends."""
    last = int(last_event_id) if last_event_id and last_event_id.isdecimal() else after
    with here.live.listening(found) as ear:
        while True:
            record, told = await run_in_threadpool(_told, here, found, last)
            for event in told:
                last = event.number
                yield ServerSentEvent(id=str(last), event=event.kind, data=_data(event))
            if record.status != "running":
                return
            for step in ear.progress():
                data = {"run": step.run, "time": step.time, **step.details()}
                yield ServerSentEvent(event=step.kind, data=data)
            here_at_work = found in here.background.at_work()
            await ear.wait(PATIENCE if here_at_work else LOOK)


def _told(here: Service, run: str, after: int) -> tuple[RunRecord, list[EventRecord]]:
    """The state first: what follows it is complete once it says that the run is over."""
    record = here.runtime.journal.run(run)
    return record, here.runtime.journal.events(run, after, within=True)


def _data(event: EventRecord) -> dict[str, Any]:
    return {"run": event.run, "time": event.time, **event.details}
