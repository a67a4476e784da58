"""Events in: each becomes a row of its own, and what it changes in the other tables."""

from __future__ import annotations

import time

from agentkit import events as ev
from agentkit.journal import rows
from agentkit.journal import statements as say
from agentkit.journal.database import Connection
from agentkit.journal.texts import dump, plain

BEGINNINGS = (ev.StepStarted, ev.ForeachStarted, ev.ToolCalled)
"""What need not survive a power cut: without them a step in flight has not begun, and begins."""


def lasting(happened: ev.Event) -> bool:
    """Whether something was finished, decided or learned, and must not be forgotten."""
    return not isinstance(happened, BEGINNINGS)


def write(connection: Connection, happened: ev.Event) -> None:
    """Write an event and what it changes."""
    if isinstance(happened, ev.RunStarted):
        _begin_run(connection, happened)
    data = dump(connection, rows.summary(happened))
    connection.execute(say.EVENT, rows.event(happened, data))
    match happened:
        case ev.RunResumed():
            _resume_run(connection, happened)
        case ev.RunFinished():
            _finish_run(connection, happened)
        case ev.ArtifactMade():
            connection.execute(say.ARTIFACT, rows.artifact(happened))
        case ev.ForeachStarted():
            connection.execute(say.BEGIN_STEP, rows.began(happened, action="foreach"))
        case ev.StepStarted():
            inputs = dump(connection, happened.inputs)
            began = rows.began(happened, action=happened.action, inputs=inputs)
            connection.execute(say.BEGIN_STEP, began)
            connection.execute(say.BEGIN_ATTEMPT, began)
        case ev.StepSkipped():
            ended = happened.time.isoformat()
            skipped = rows.began(happened, status="skipped", finished=ended)
            connection.execute(say.BEGIN_STEP, skipped)
        case ev.StepRetried():
            connection.execute(say.END_ATTEMPT, rows.attempt_ended(happened, "failed"))
        case ev.StepFinished():
            _keep_result(connection, happened)
            outputs, usage = dump(connection, happened.outputs), rows.usage_text(happened.usage)
            done = rows.ended(happened, "succeeded", outputs=outputs, usage=usage)
            connection.execute(say.END_ATTEMPT, rows.attempt_ended(happened, "succeeded"))
            connection.execute(say.END_STEP, done)
        case ev.StepFailed():
            error, detail = plain(happened.error), plain(happened.detail)
            failed = rows.ended(happened, happened.status, error=error, detail=detail)
            connection.execute(say.END_ATTEMPT, rows.attempt_ended(happened, happened.status))
            connection.execute(say.END_STEP, failed)
        case ev.ToolCalled():
            arguments = dump(connection, happened.arguments)
            connection.execute(say.BEGIN_CALL, rows.called(happened, arguments))
        case ev.ToolReturned():
            outcome = dump(connection, happened.outcome)
            connection.execute(say.END_CALL, rows.returned(happened, outcome))


def _begin_run(connection: Connection, started: ev.RunStarted) -> None:
    begun = {
        "id": started.run,
        "workflow": started.workflow,
        "source": plain(started.source),
        "parent": started.parent,
        "files": dump(connection, started.files) if started.files else None,
        "definition": plain(started.definition),
        "status": "running",
        "started": started.time.isoformat(),
        "inputs": dump(connection, started.inputs),
        "error": "",
    }
    connection.execute(say.BEGIN_RUN, begun)  # there, if the answer was lost on its way


def _resume_run(connection: Connection, resumed: ev.RunResumed) -> None:
    about = {"run": resumed.run}
    connection.execute(say.RESUME_RUN, about)
    if resumed.definition:
        files = dump(connection, resumed.files) if resumed.files else None
        changed = {**about, "definition": plain(resumed.definition), "files": files}
        connection.execute(say.REDEFINE_RUN, changed)
    connection.execute(say.BURY_ATTEMPTS, about)


def _finish_run(connection: Connection, finished: ev.RunFinished) -> None:
    about = {"run": finished.run, "finished": finished.time.isoformat()}
    ended = {
        **about,
        "status": finished.status,
        "outputs": dump(connection, finished.outputs),
        "error": plain(finished.error),
        "usage": rows.usage_text(finished.usage),
    }
    connection.execute(say.END_RUN, ended)
    # A foreach that was cancelled has no end of its own.
    status = finished.status if finished.status in ("cancelled", "parked") else "failed"
    connection.execute(say.END_OPEN_STEPS, {**about, "status": status})


def _keep_result(connection: Connection, finished: ev.StepFinished) -> None:
    if not finished.cache or finished.cached:
        return
    kept = {
        "digest": finished.cache,
        "run": finished.run,
        "outputs": dump(connection, finished.outputs),
        "stored": time.time(),
    }
    connection.execute(say.RESULT, kept)
