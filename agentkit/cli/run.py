"""`agentkit run`: run a workflow and watch it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from agentkit import events as ev
from agentkit.cli.approver import approver
from agentkit.cli.handover import Begin, carried_out, detached, service, where
from agentkit.cli.interrupt import interruptible
from agentkit.cli.live import Screen, follow, say
from agentkit.errors import InvalidInput, MachineError, UserError
from agentkit.records import STORED
from agentkit.runtime import Runtime

if TYPE_CHECKING:
    from agentkit.client import Client


class Watching(TypedDict):
    """How a command that carries out a run does so: the options of `watchable`."""

    output: Path | None
    as_json: bool
    unattended: bool
    local: bool
    detach: bool


def watchable(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that carries out a run, as `Watching` has them."""
    options = (
        click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False),
                     metavar="FOLDER", help="Copy the files that the run makes to this folder."),
        click.option("--json", "as_json", is_flag=True,
                     help="Print events as JSON lines, nothing else."),
        click.option("--unattended", is_flag=True,
                     help="Ask nobody: a call that needs approval parks the run."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return where(command)


@click.command()
@click.argument("workflow")
@click.option("-i", "--input", "inputs", multiple=True, metavar="NAME=VALUE",
              help="A value for the workflow; repeat it for more.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show what it would do, and do nothing.")
@watchable
def run(workflow: str, inputs: tuple[str, ...], dry_run: bool, **how: Unpack[Watching]) -> None:
    """Run a WORKFLOW: a file, or the name of one that ships with agentkit.

    Ctrl-C ends the run within a moment; what it had finished stays in the journal.  Where a service
    is up (agentkit serve), the run is handed to it.
    """
    with Runtime() if how["as_json"] else Runtime(notice=say) as runtime:
        loaded = runtime.workflow(workflow)
        if dry_run:
            for line in runtime.rehearse(loaded, pairs(inputs)):
                click.echo(line)
            return
        given = pairs(inputs)

        def begin(client: Client, attended: bool) -> str:
            path = str(loaded.path.absolute())
            return client.run(path, given, folder=Path.cwd(), attended=attended)

        here = partial(runtime.run, loaded, given)
        watched(runtime, here, begin, **how)


def watched(
    runtime: Runtime,
    here: Callable[..., dict[str, Any]],
    there: Begin,
    screen: AbstractContextManager[Screen] | None = None,
    **how: Unpack[Watching],
) -> None:
    """Start or go on with a run, here or in the service; show what happens, and what it made.

    Without a `screen` that is one line for each step.
    """
    with service(runtime, local=how["local"], detach=how["detach"]) as client:
        if client is not None and how["detach"]:
            detached(client, there)
            return
        if how["output"] is not None:
            _make(how["output"])
        start = here if client is None else partial(carried_out, client, there, runtime)
        carry_out(runtime, start, screen, **how)


def carry_out(
    runtime: Runtime,
    start: Callable[..., dict[str, Any]],
    shown: AbstractContextManager[Screen] | None = None,
    **how: Unpack[Watching],
) -> None:
    """Let a run be, show what happens, and what it made."""
    output, as_json, unattended = how["output"], how["as_json"], how["unattended"]
    made: list[ev.ArtifactMade] = []

    def remember(event: ev.Event) -> None:
        if isinstance(event, ev.ArtifactMade) and not event.path.startswith(f"{STORED}/"):
            made.append(event)

    try:
        with interruptible() as cancel, shown or follow(as_json=as_json) as screen:
            outputs = start(
                profile="unattended" if unattended else "interactive",
                approver=approver(screen.paused, unattended=unattended or as_json),
                cancel=cancel,
                subscribers=(remember, screen),
            )
    finally:  # what a run had made when it failed is worth having, too
        for run, name in dict.fromkeys((event.run, event.path) for event in made):
            file = runtime.settings.runs_folder / run / name
            _tell(file if output is None else _copy(file, output / name), as_json=as_json)
    if outputs and not as_json:
        click.echo(json.dumps(outputs, indent=2, ensure_ascii=False))


def _tell(file: Path, *, as_json: bool) -> None:
    if not as_json:
        click.echo(f"wrote {file}", err=True)


def pairs(inputs: tuple[str, ...]) -> dict[str, str]:
    """`name=value` as a mapping.  Raises `InvalidInput` for what is written in another way."""
    pairs = {}
    for text in inputs:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput(f"-i {text}: write it as name=value")
        pairs[name.strip()] = value
    return pairs


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"-o {folder}: cannot be made: {error.strerror}") from None


def _copy(file: Path, target: Path) -> Path:
    _make(target.parent)
    try:
        return Path(shutil.copy2(file, target))
    except OSError as error:
        raise MachineError(
            f"{target} cannot be written: {error.strerror}", hint=f"it is in {file}"
        ) from None
