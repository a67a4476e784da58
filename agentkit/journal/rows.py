"""Between events, rows of tables and records: what is said of a run in each of their words."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from agentkit import events as ev
from agentkit.journal.database import Connection
from agentkit.journal.texts import parse, plain
from agentkit.messages import Usage
from agentkit.records import CallRecord, RunRecord, StepRecord


def place(about: ev.StepEvent) -> dict[str, Any]:
    """The columns that say which step, or which item of it."""
    position = -1 if about.item is None else about.item
    return {"run": about.run, "step": about.step, "key": about.key, "position": position}


def all_columns(about: ev.StepEvent, started: datetime, **values: Any) -> dict[str, Any]:
    """All columns of a step; one of a run that was resumed begins anew."""
    anew = {"action": "", "inputs": None, "finished": None, "outputs": None, "error": "",
            "detail": "", "usage": None}  # fmt: skip
    return {**place(about), **anew, "started": started.isoformat(), **values}


def began(about: ev.StepEvent, **values: Any) -> dict[str, Any]:
    """A step that begins, or one that was skipped."""
    return all_columns(about, about.time, **{"status": "running", **values})


def ended(about: ev.StepFinished | ev.StepFailed, status: str, **values: Any) -> dict[str, Any]:
    """A step can fail before it started: its arguments could not be made."""
    began = about.time - timedelta(seconds=about.seconds)
    return all_columns(about, began, status=status, finished=about.time.isoformat(), **values)


def event(happened: ev.Event, data: str) -> dict[str, Any]:
    """An event as it happened."""
    return {
        "run": happened.run,
        "time": happened.time.isoformat(),
        "kind": happened.kind,
        "data": data,
    }


def artifact(made: ev.ArtifactMade) -> dict[str, Any]:
    """A file that a run made."""
    return {
        "run": made.run,
        "path": made.path,
        "step": made.step,
        "size": made.size,
        "sha256": made.sha256,
    }


def attempt_ended(about: ev.StepEvent, status: str) -> dict[str, Any]:
    """The attempt that was running."""
    return {
        **place(about),
        "status": status,
        "finished": about.time.isoformat(),
        "error": plain(getattr(about, "error", "")),
    }


def called(called: ev.ToolCalled, arguments: str) -> dict[str, Any]:
    """A call that begins."""
    return {
        **place(called),
        "id": called.call,
        "tool": called.tool,
        "arguments": arguments,
        "status": "running",
        "started": called.time.isoformat(),
    }


def returned(returned: ev.ToolReturned, outcome: str) -> dict[str, Any]:
    """What came of a call."""
    return {
        "run": returned.run,
        "id": returned.call,
        "status": returned.status,
        "seconds": returned.seconds,
        "size": returned.size,
        "outcome": outcome,
    }


def summary(happened: ev.Event) -> dict[str, Any]:
    """An event without what the other tables hold anyway."""
    if isinstance(happened, ev.AgentEvent):
        return happened.details()
    bulky = {"definition", "files", "inputs", "outputs", "detail", "arguments", "outcome"}
    about = {name: value for name, value in happened.details().items() if name not in bulky}
    return {name: value for name, value in about.items() if name != "usage" or value is not None}


def usage_text(usage: Usage | None) -> str | None:
    """What a model charged, as JSON."""
    return None if usage is None else json.dumps(asdict(usage))


def usage(text: str | None) -> Usage | None:
    """The same again."""
    return None if text is None else Usage(**json.loads(text))


def moment(text: str | None) -> datetime | None:
    """A time, or none."""
    return None if text is None else datetime.fromisoformat(text)


def run_record(connection: Connection, row: Any) -> RunRecord:
    """A row of `runs`."""
    return RunRecord(
        id=row.id,
        workflow=row.workflow,
        source=row.source,
        status=row.status,
        started=datetime.fromisoformat(row.started),
        finished=moment(row.finished),
        inputs=parse(connection, row.inputs),
        outputs=parse(connection, row.outputs),
        error=row.error,
        usage=usage(row.usage),
        parent=row.parent,
    )


def step_record(connection: Connection, row: Any) -> StepRecord:
    """A row of `steps`."""
    return StepRecord(
        step=row.step,
        key=row.key,
        action=row.action,
        status=row.status,
        started=datetime.fromisoformat(row.started),
        finished=moment(row.finished),
        inputs=parse(connection, row.inputs),
        outputs=parse(connection, row.outputs),
        error=row.error,
        usage=usage(row.usage),
    )


def call_record(connection: Connection, row: Any) -> CallRecord:
    """A row of `calls`."""
    return CallRecord(
        id=row.id,
        step=row.step,
        key=row.key,
        tool=row.tool,
        arguments=parse(connection, row.arguments),
        status=row.status,
        started=datetime.fromisoformat(row.started),
        seconds=row.seconds,
        size=row.size,
        outcome=parse(connection, row.outcome),
    )
