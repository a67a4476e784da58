"""`agentkit runs list | show | logs | watch`: read the journal."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click

from agentkit.messages import Usage
from agentkit.records import EventRecord, RunRecord, Stored
from agentkit.runtime import Runtime

LOOK = 0.3
"""Seconds between two looks at a run that is at work."""

AROUND = ("steps", "foreach")
"""Actions of what fails because a step in it does: the error is told there."""

COLOURS = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "running": "cyan",
           "parked": "magenta", "skipped": "yellow"}  # fmt: skip


@click.command("list")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True,
              help="How many, newest first.")  # fmt: skip
@click.option("--status", type=click.Choice([*COLOURS]), help="Only those.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_runs(limit: int, status: str | None, as_json: bool) -> None:
    """The newest runs."""
    with Runtime() as runtime:
        found = runtime.journal.runs(limit=limit, status=status)
    if as_json:
        click.echo(json.dumps([asdict(run) for run in found], indent=2, default=_plain))
        return
    if not found:
        click.echo("nothing has run yet: agentkit run WORKFLOW")
    for run in found:
        when = run.started.astimezone().strftime("%Y-%m-%d %H:%M")
        status = click.style(f"{run.status:<10}", fg=COLOURS[run.status])
        click.echo(f"{run.id}  {status} {when}  {_seconds(run.seconds):>8}  {run.workflow}")


@click.command()
@click.argument("run", metavar="ID")
@click.option("--full", is_flag=True, help="Every item, with its inputs and outputs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(run: str, full: bool, as_json: bool) -> None:
    """One run with its steps: ID, a unique beginning of it, or `last`."""
    with Runtime() as runtime:
        found = runtime.journal.run(run)
        steps = runtime.journal.steps(found.id)
        artifacts = runtime.journal.artifacts(found.id)
        calls = runtime.journal.calls(found.id)
        attempts = runtime.journal.attempts(found.id)
        folder = runtime.settings.runs_folder / found.id
    if as_json:
        whole = {
            **asdict(found),
            "steps": [asdict(step) for step in steps],
            "calls": [asdict(call) for call in calls],
            "attempts": [asdict(attempt) for attempt in attempts],
            "artifacts": [asdict(artifact) for artifact in artifacts],
        }
        click.echo(json.dumps(whole, indent=2, default=_plain, ensure_ascii=False))
        return
    status = click.style(found.status, fg=COLOURS[found.status])
    click.echo(f"{found.workflow}  {found.id}  {status}  {_seconds(found.seconds)}")
    click.echo(f"from {found.source}, started {found.started.astimezone():%Y-%m-%d %H:%M:%S}")
    for name, value in found.inputs.items():
        click.echo(f"  input   {name} = {short(value)}")
    told = {step.error for step in steps if step.action not in AROUND}
    for step in steps:
        if step.key and not full and step.status != "failed":
            continue
        name = f"{step.step}[{step.key}]" if step.key else step.step
        line = f"  {step.status:<10}{name:<18}{_seconds(step.seconds):>8}  {step.action}"
        click.echo(line + _tokens(step.usage))
        if full and step.inputs:
            click.echo(f"      in   {short(step.inputs, 400)}")
        if full and step.outputs is not None:
            click.echo(f"      out  {short(step.outputs, 400)}")
        if step.error and not (step.action in AROUND and step.error in told):
            click.echo(f"      {step.error}")
        for attempt in attempts:
            mine = (attempt.step, attempt.key) == (step.step, step.key)
            if mine and attempt.status in ("failed", "died") and attempt.error != step.error:
                said = attempt.error or "the process died"
                click.echo(f"      attempt {attempt.number}: {said}")
        for call in calls:
            if full and (call.step, call.key) == (step.step, step.key):
                click.echo(f"      call {call.tool}({short(call.arguments, 200)}): {call.status}, "
                           f"{_seconds(call.seconds)}, {call.size} bytes")  # fmt: skip
    for artifact in artifacts:
        click.echo(f"  file    {folder / artifact.path}")
    for name, value in (found.outputs or {}).items():
        click.echo(f"  output  {name} = {short(value)}")
    if found.error:
        click.echo(f"  error   {found.error}")


@click.command()
@click.argument("run", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def logs(run: str, follow: bool, as_json: bool) -> None:
    """Everything that happened in a run, in order."""
    _follow(run, follow, lambda event: click.echo(_logged(event, as_json)))


@click.command()
@click.argument("run", metavar="ID")
def watch(run: str) -> None:
    """The steps of a run as they end, from now until the run does."""

    def tell(event: EventRecord) -> None:
        if event.kind in ("StepFinished", "StepFailed", "StepSkipped", "StepRetried", "StepWarned"):
            click.echo(_logged(event, False))

    ended = _follow(run, True, tell)
    click.echo(f"{ended.id}  {ended.status}  {_seconds(ended.seconds)}")


def _follow(run: str, on: bool, tell: Callable[[EventRecord], None]) -> RunRecord:
    last = 0
    with Runtime() as runtime:
        found = runtime.journal.run(run)
        while True:
            found = runtime.journal.run(found.id)
            for event in runtime.journal.events(found.id, after=last):
                last = event.number
                tell(event)
            if not on or found.status != "running":
                return found
            time.sleep(LOOK)


def _logged(event: EventRecord, as_json: bool) -> str:
    about = dict(event.details)
    if as_json:
        line = {"kind": event.kind, "time": event.time, **about}
        return json.dumps(line, ensure_ascii=False, default=_plain)
    step, item = about.pop("step", ""), about.pop("item", None)
    key = about.pop("name", "") or ("" if item is None else str(item))
    place = f"{step}[{key}]" if key else step
    said = "  ".join(f"{name}={short(value, 200)}" for name, value in about.items() if value)
    when = event.time.astimezone()
    return f"{when:%H:%M:%S}.{when.microsecond // 1000:03d}  {event.kind:<16} {place:<16} {said}"


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"


def _tokens(usage: Usage | None) -> str:
    if usage is None:
        return ""
    read, cached, written = usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens
    return f"  {read} read, {cached} cached, {written} written"


def short(value: Any, limit: int = 100) -> str:
    """A value in one line."""
    if isinstance(value, Stored):
        return str(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
