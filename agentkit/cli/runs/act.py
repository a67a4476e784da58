"""`agentkit runs resume | retry | cancel | …`: go on with a run, or say something to one."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from agentkit.cli.agent_view import watch
from agentkit.cli.live import Screen, say
from agentkit.cli.run import Watching, pairs, watchable, watched
from agentkit.cli.runs.look import short
from agentkit.errors import UserError
from agentkit.letters import LetterKind
from agentkit.runtime import COMMAND, Runtime, settle

if TYPE_CHECKING:
    from agentkit.client import Client


@click.command()
@click.argument("run", metavar="ID")
@click.option("-i", "--input", "inputs", multiple=True, metavar="NAME=VALUE",
              help="A secret input again: no record has it.")  # fmt: skip
@watchable
def resume(run: str, inputs: tuple[str, ...], **how: Unpack[Watching]) -> None:
    """Go on with a run that was parked, failed or cancelled, or whose process died.

    What it had finished is not done again; the workflow is the one that it began with.
    """
    given = pairs(inputs)

    def begin(client: Client, attended: bool) -> str:
        return client.resume(run, given, folder=Path.cwd(), attended=attended)

    with Runtime() if how["as_json"] else Runtime(notice=say) as runtime:
        here = partial(runtime.resume, run, given)
        watched(runtime, here, begin, _screen(runtime, run, how["as_json"]), **how)


@click.command()
@click.argument("run", metavar="ID")
@click.option("--from", "step", metavar="STEP", help="Do this step again, and all that follow it.")
@click.option(
    "--failed",
    is_flag=True,
    help="Do again all that failed, also what `on_error: continue` let pass.",
)
@click.option("--with-edited-file", "edited", is_flag=True,
              help="With the workflow as its file says now.")  # fmt: skip
@click.option("-i", "--input", "inputs", multiple=True, metavar="NAME=VALUE",
              help="A secret input again: no record has it.")  # fmt: skip
@watchable
def retry(
    run: str,
    step: str | None,
    failed: bool,
    edited: bool,
    inputs: tuple[str, ...],
    **how: Unpack[Watching],
) -> None:
    """Do what failed in a run again; what else it has finished stays as it is.

    With an edited file, what changed in it is done again, too, and what depends on that.  Of each
    step it says why.
    """
    if step and failed:
        raise UserError("--from and --failed are two ways: take one of them")
    given = pairs(inputs)

    def begin(client: Client, attended: bool) -> str:
        here = Path.cwd()
        return client.retry(run, step, given, edited=edited, failed=failed, folder=here,
                            attended=attended)  # fmt: skip

    with Runtime() if how["as_json"] else Runtime(notice=say) as runtime:
        here = partial(runtime.retry, run, step, edited, given, failed=failed)
        watched(runtime, here, begin, **how)


@click.command()
@click.argument("run", metavar="ID")
@click.argument("text")
def note(run: str, text: str) -> None:
    """Tell a running agent something: it reads TEXT before its next step."""
    _post(run, "note", text)


@click.command()
@click.argument("run", metavar="ID")
def pause(run: str) -> None:
    """Stop a running agent before its next step; `agentkit runs resume` goes on."""
    _post(run, "pause")


@click.command()
@click.argument("run", metavar="ID")
def cancel(run: str) -> None:
    """End a run: at once if it waits, within a second or two if a process works on it."""
    with Runtime() as runtime:
        runtime.cancel(run)


@click.command()
@click.argument("run", metavar="ID")
def approve(run: str) -> None:
    """Say yes to what a parked run asks, once."""
    _decide(run, yes=True)


@click.command()
@click.argument("run", metavar="ID")
def reject(run: str) -> None:
    """Say no to what a parked run asks."""
    _decide(run, yes=False)


def _screen(runtime: Runtime, run: str, as_json: bool) -> AbstractContextManager[Screen] | None:
    """An agent is drawn as it was when a person began it, with what it has done and spent."""
    if as_json or not sys.stderr.isatty():
        return None
    found = runtime.journal.run(run)
    return watch(runtime.journal.agent_events(found.id)) if found.source == COMMAND else None


def _decide(run: str, *, yes: bool) -> None:
    with Runtime() as runtime:
        found, desk = runtime.journal.run(run), runtime.journal.desk
        asked = [
            one
            for one in desk.requests(open_only=True, limit=1000)
            if one.run == found.id or one.run.startswith(f"{found.id}.")
        ]
        if not asked:
            hint = f"agentkit runs show {found.id}"
            raise UserError(f"the run {found.id} asks nothing", hint=hint)
        if len(asked) > 1:
            hint = "agentkit approvals list"
            raise UserError(f"the run {found.id} asks {len(asked)} things: answer each", hint=hint)
        request = asked[0]
        answers = request.choices if request.question else ("once", "no")
        if not answers:
            hint = f"agentkit approvals answer {request.id} TEXT"
            raise UserError(f"it asks for words: {request.question}", hint=hint)
        settle(desk, request, answers[0 if yes else -1])
    click.echo(f"go on with the run:  agentkit runs resume {found.id}")


@click.command()
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
        click.echo(f"{name:<4} {status:<8} {short(text)}")


def _post(run: str, kind: LetterKind, text: str = "") -> None:
    with Runtime() as runtime:
        runtime.post(runtime.journal.run(run).id, kind, text)
