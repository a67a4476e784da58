"""`agentkit approvals`: what waits for a person, and what is remembered."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict

import click

from agentkit.cli.approver import describe, printable
from agentkit.errors import UnknownName, UserError
from agentkit.permissions import Request
from agentkit.runtime import Runtime, settle, standing_answer


@click.group()
def approvals() -> None:
    """What waits for a person, and the answers that are remembered."""


@approvals.command("list")
@click.option("--all", "everything", is_flag=True, help="Those that were answered, too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_requests(everything: bool, as_json: bool) -> None:
    """Open questions, the newest first."""
    with Runtime() as runtime:
        found = runtime.journal.desk.requests(open_only=not everything)
    if as_json:
        click.echo(json.dumps([asdict(request) for request in found], indent=2, default=str))
        return
    if not found:
        click.echo("nothing waits for an answer")
    for request in found:
        when = request.asked.astimezone().strftime("%Y-%m-%d %H:%M")
        touched = ", ".join(map(str, request.accesses)) or request.question
        state = f"  {request.answer}" if request.answer else ""
        click.echo(f"{request.id}  {when}  {request.tool:<14} {printable(touched)[:90]}{state}")


@approvals.command()
@click.argument("request_id", metavar="ID")
def show(request_id: str) -> None:
    """One question: the whole call, and the commands that answer it."""
    with Runtime() as runtime:
        request = runtime.journal.desk.find(request_id)
    click.echo(describe(request))
    click.echo(f"  asked {request.asked.astimezone():%Y-%m-%d %H:%M:%S} by run {request.run}")
    if request.answer is not None:
        click.echo(f"  answered: {request.answer}")
    elif request.question:
        click.echo(f"answer it:  agentkit approvals answer {request.id} TEXT")
    else:
        click.echo(f"allow it:   agentkit approvals approve {request.id}   (--always: "
                   f"{standing_answer(request)})")  # fmt: skip
        click.echo(f"refuse it:  agentkit approvals deny {request.id}")


@approvals.command()
@click.argument("request_id", metavar="ID")
@click.option("--always", is_flag=True, help="Remember it for all calls like this one.")
def approve(request_id: str, always: bool) -> None:
    """Allow a call."""
    _answer(request_id, "always" if always else "once")


@approvals.command()
@click.argument("request_id", metavar="ID")
@click.option("--always", is_flag=True, help="Remember it for all calls like this one.")
def deny(request_id: str, always: bool) -> None:
    """Refuse a call."""
    _answer(request_id, "never" if always else "no")


@approvals.command()
@click.argument("request_id", metavar="ID")
@click.argument("text", nargs=-1, required=True)
def answer(request_id: str, text: tuple[str, ...]) -> None:
    """Answer a question in words."""
    _answer(request_id, " ".join(text), is_text=True)


@approvals.command()
def rules() -> None:
    """The answers that are remembered."""
    with Runtime() as runtime:
        found = runtime.journal.desk.rules()
    if not found:
        click.echo("nothing is remembered")
    for rule in found:
        click.echo(f"{rule.verdict:<6} {rule.tool:<16} {rule.effect:<9} {printable(rule.pattern)}")


@approvals.command()
@click.argument("tool")
def forget(tool: str) -> None:
    """Forget the answers about a TOOL."""
    with Runtime() as runtime:
        count = runtime.journal.desk.forget(tool)
    click.echo(f"forgot {count} answer{'' if count == 1 else 's'} about {tool}")


def _answer(request_id: str, said: str, *, is_text: bool = False) -> None:
    with Runtime() as runtime:
        desk = runtime.journal.desk
        request = desk.find(request_id)
        if bool(request.question) != is_text:
            right = "answer" if request.question else "approve"
            raise UserError(
                f"{request_id} is answered in another way",
                hint=f"agentkit approvals {right} --help",
            )
        settle(desk, request, said)
        click.echo(_next(runtime, request))


def _next(runtime: Runtime, request: Request) -> str:
    """What a person does after an answer."""
    with suppress(UnknownName):  # not every call belongs to a run that can go on
        run = runtime.journal.run(request.run)
        if run.status == "parked" and run.source:
            return f"go on with the run:  agentkit runs resume {run.id.split('.')[0]}"
    return "it counts when the same call comes again"
