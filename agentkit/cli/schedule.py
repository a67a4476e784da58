"""`agentkit schedule`: what starts by itself, when, and why it did or did not.

All of it works on files and journal, whether a service is up or not.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from functools import partial

import click

from agentkit.cli.live import say
from agentkit.cli.run import carry_out, pairs
from agentkit.records import ScheduleView
from agentkit.runtime import Runtime, Timetable


@click.group()
def schedule() -> None:
    """What starts by itself: workflows with `triggers`, looked after by `agentkit serve`."""


@schedule.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_schedules(as_json: bool) -> None:
    """All workflows with triggers, and when each is due next."""
    with Runtime() as runtime:
        timetable = Timetable(runtime)
        found, looked_after = timetable.list(), timetable.looked_after
        folders = runtime.settings.schedule_folders
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2, default=str))
        return
    if not found:
        click.echo(f"no file in {', '.join(map(str, folders))} has triggers")
    for one in found:
        click.echo(f"{one.name:<24} {_state(one):<19}  {', '.join(one.triggers)}")
        if one.problem:
            click.echo(f"  {one.problem}")
    if found and not looked_after:
        say("nobody looks after them: agentkit serve")


@schedule.command("next")
@click.option("-n", "count", type=click.IntRange(1, 1000), default=10, show_default=True,
              help="How many.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def upcoming(count: int, as_json: bool) -> None:
    """The next due times of all workflows."""
    with Runtime() as runtime:
        due = Timetable(runtime).next(count)
    if as_json:
        keys = ("time", "workflow", "trigger")
        rows = [dict(zip(keys, one, strict=True)) for one in due]
        click.echo(json.dumps(rows, indent=2, default=str))
        return
    if not due:
        click.echo("nothing is due")
    for time, name, trigger in due:
        click.echo(f"{_local(time)}  {name:<24} {trigger}")


@schedule.command()
@click.argument("workflow")
def pause(workflow: str) -> None:
    """Let nothing start WORKFLOW by itself until it is resumed."""
    with Runtime() as runtime:
        Timetable(runtime).pause(workflow)
    click.echo(f"{workflow} is paused; go on:  agentkit schedule resume {workflow}")


@schedule.command()
@click.argument("workflow")
def resume(workflow: str) -> None:
    """Let WORKFLOW be started again; what was due meanwhile stays undone."""
    with Runtime() as runtime:
        Timetable(runtime).resume(workflow)
    click.echo(f"{workflow} starts again when it is due")


@schedule.command()
@click.argument("workflow")
@click.option("-i", "--input", "inputs", multiple=True, metavar="NAME=VALUE",
              help="An input, instead of what its trigger gives.")  # fmt: skip
def trigger(workflow: str, inputs: tuple[str, ...]) -> None:
    """Start WORKFLOW now, as if it were due: in the service if one is up, here if none is."""
    with Runtime(notice=say) as runtime:
        timetable = Timetable(runtime)
        looked_after = timetable.looked_after
        fire = timetable.trigger(workflow, pairs(inputs))
        if looked_after:
            click.echo(f"the service starts it:  agentkit runs show {fire.run}")
            return
        here = partial(timetable.begun_here, fire)
        carry_out(runtime, here, output=None, as_json=False, unattended=True, local=True,
                  detach=False)  # fmt: skip


@schedule.command()
@click.argument("workflow")
def why(workflow: str) -> None:
    """What will start WORKFLOW, what has, and why something did not."""
    with Runtime() as runtime:
        for line in Timetable(runtime).why(workflow):
            click.echo(line)


def _state(one: ScheduleView) -> str:
    if one.paused is not None:
        return "paused"
    return "when it happens" if one.next is None else _local(one.next)


def _local(time: datetime) -> str:
    return f"{time.astimezone():%Y-%m-%d %H:%M:%S}"
