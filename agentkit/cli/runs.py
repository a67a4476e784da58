"""`agentkit runs`: read the journal."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from agentkit.cli.live import say
from agentkit.cli.run import watched
from agentkit.letters import LetterKind
from agentkit.messages import Usage
from agentkit.runtime import Runtime

COLOURS = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "running": "cyan",
           "parked": "magenta", "skipped": "yellow"}  # fmt: skip


@click.group()
def runs() -> None:
    """What ran, and what came of it."""


@runs.command("list")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=20, show_default=True,
              help="How many, newest first.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_runs(limit: int, as_json: bool) -> None:
    """The newest runs."""
    with Runtime() as runtime:
        found = runtime.journal.runs(limit=limit)
    if as_json:
        click.echo(json.dumps([asdict(run) for run in found], indent=2, default=_plain))
        return
    if not found:
        click.echo("nothing has run yet: agentkit run WORKFLOW")
    for run in found:
        when = run.started.astimezone().strftime("%Y-%m-%d %H:%M")
        status = click.style(f"{run.status:<10}", fg=COLOURS[run.status])
        click.echo(f"{run.id}  {status} {when}  {_seconds(run.seconds):>8}  {run.workflow}")


@runs.command()
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
        folder = runtime.settings.runs_folder / found.id
    if as_json:
        whole = {
            **asdict(found),
            "steps": [asdict(step) for step in steps],
            "calls": [asdict(call) for call in calls],
            "artifacts": [asdict(artifact) for artifact in artifacts],
        }
        click.echo(json.dumps(whole, indent=2, default=_plain, ensure_ascii=False))
        return
    status = click.style(found.status, fg=COLOURS[found.status])
    click.echo(f"{found.workflow}  {found.id}  {status}  {_seconds(found.seconds)}")
    click.echo(f"from {found.source}, started {found.started.astimezone():%Y-%m-%d %H:%M:%S}")
    for name, value in found.inputs.items():
        click.echo(f"  input   {name} = {_short(value)}")
    for step in steps:
        if step.key and not full and step.status != "failed":
            continue
        name = f"{step.step}[{step.key}]" if step.key else step.step
        line = f"  {step.status:<10}{name:<18}{_seconds(step.seconds):>8}  {step.action}"
        click.echo(line + _tokens(step.usage))
        if full and step.inputs:
            click.echo(f"      in   {_short(step.inputs, 400)}")
        if full and step.outputs is not None:
            click.echo(f"      out  {_short(step.outputs, 400)}")
        if step.error:
            click.echo(f"      {step.error}")
        for call in calls:
            if full and (call.step, call.key) == (step.step, step.key):
                click.echo(f"      call {call.tool}({_short(call.arguments, 200)}): {call.status}, "
                           f"{_seconds(call.seconds)}, {call.size} bytes")  # fmt: skip
    for artifact in artifacts:
        click.echo(f"  file    {folder / artifact.path}")
    for name, value in (found.outputs or {}).items():
        click.echo(f"  output  {name} = {_short(value)}")
    if found.error:
        click.echo(f"  error   {found.error}")


@runs.command()
@click.argument("run", metavar="ID")
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER",
              help="Copy the files that the run makes to this folder.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON lines, nothing else.")
@click.option("--unattended", is_flag=True,
              help="Ask nobody: a call that needs approval parks the run.")  # fmt: skip
def resume(run: str, output: Path | None, as_json: bool, unattended: bool) -> None:
    """Go on with a run that was parked, failed or cancelled.

    What it had finished is not done again; the workflow is the one that it began with.
    """
    with Runtime() if as_json else Runtime(notice=say) as runtime:
        start = partial(runtime.resume, run)
        watched(runtime, start, output=output, as_json=as_json, unattended=unattended)


@runs.command()
@click.argument("run", metavar="ID")
@click.argument("text")
def note(run: str, text: str) -> None:
    """Tell a running agent something: it reads TEXT before its next step."""
    _post(run, "note", text)


@runs.command()
@click.argument("run", metavar="ID")
def pause(run: str) -> None:
    """Stop a running agent before its next step; `agentkit runs resume` goes on."""
    _post(run, "pause")


@runs.command()
@click.argument("run", metavar="ID")
def cancel(run: str) -> None:
    """End a run that is at work in another process, within a second or two."""
    _post(run, "cancel")


@runs.command()
@click.argument("run", metavar="ID")
@click.option("--add", multiple=True, metavar="TEXT", help="A task more.")
@click.option("--drop", metavar="ID,...", help="Tasks that are not to be done.")
@click.option("--order", metavar="ID,...", help="Open tasks in the order to do them.")
def tasks(run: str, add: tuple[str, ...], drop: str | None, order: str | None) -> None:
    """The tasks of an agent; change the list while it works.

    A change counts before its next step.
    """
    with Runtime() as runtime:
        found = runtime.journal.run(run)
        for text in add:
            runtime.post(found.id, "add", text)
        if drop:
            runtime.post(found.id, "drop", drop)
        if order:
            runtime.post(found.id, "order", order)
        if add or drop or order:
            return
        listed = runtime.tasks(found.id)
    if not listed:
        click.echo("no agent worked in this run")
    for name, status, text in listed:
        click.echo(f"{name:<4} {status:<8} {_short(text)}")


def _post(run: str, kind: LetterKind, text: str = "") -> None:
    with Runtime() as runtime:
        runtime.post(runtime.journal.run(run).id, kind, text)


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"


def _tokens(usage: Usage | None) -> str:
    if usage is None:
        return ""
    read, cached, written = usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens
    return f"  {read} read, {cached} cached, {written} written"


def _short(value: Any, limit: int = 100) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
