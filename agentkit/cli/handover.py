"""Runs, and what else takes a model, handed to the service where one is up: models are loaded once.

What a person sees and answers is the same as in this process.  A run outlives its terminal there;
what is no run ends with the command that asked for it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agentkit import __version__
from agentkit.cancel import CancelToken
from agentkit.cli.live import say
from agentkit.errors import (
    AgentkitError,
    ApprovalNeeded,
    Cancelled,
    MachineError,
    Paused,
    Skipped,
    UserError,
)
from agentkit.permissions import Request
from agentkit.records import RunRecord
from agentkit.runtime import Approver, Runtime, Subscriber
from agentkit.whereabouts import heard

if TYPE_CHECKING:
    from agentkit.client import Client

Begin = Callable[["Client", bool], str]
"""Hands a run over, with a person who can be asked or without, and returns its id."""

Command = Callable[..., Any]

PRIVATE = (Path("/dev"), Path("/proc"))
"""What is in these folders may be another thing in another process: /dev/stdin, <(a command)."""

local_option = click.option(
    "--local", is_flag=True, help="Do it in this process, also if a service is up."
)

OWN = ("tools", "workflows", "agents")
"""What a folder may have that counts only for commands in it."""


def where(command: Command) -> Command:
    """The options of a command that can hand its run over."""
    options = (
        click.option("--local", is_flag=True, help="Run in this process, also if a service is up."),
        click.option("-d", "--detach", is_flag=True,
                     help="Hand it to the service, print its id, and do not wait."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@contextmanager
def service(runtime: Runtime, *, local: bool, detach: bool) -> Iterator[Client | None]:
    """The service that takes runs of this command; None: they belong into this process.

    Raises `UserError` where one is needed and none can take it.
    """
    if local and detach:
        raise UserError("--local and --detach are two places: take one of them")
    client = None if local else _suitable(runtime, run=True)
    if client is None:
        if detach:
            raise UserError("no service is up that would take it", hint="agentkit serve")
        yield None
        return
    with client:
        yield client


@contextmanager
def helper(
    runtime: Runtime, *, local: bool, paths: Iterable[Path] = (), said: object = None
) -> Iterator[Client | None]:
    """The service, for work that is no run; None: it is done in this process.

    That is so, too, where it cannot be told to the service: `paths` that mean something here alone,
    and what of `said` is no JSON, such as half a character.
    """
    here = local or not (_shared(paths) and _tellable(said))
    client = None if here else _suitable(runtime, run=False)
    with client or nullcontext():
        yield client


def _shared(paths: Iterable[Path]) -> bool:
    places = [place for path in paths for place in (path.absolute(), path.resolve())]
    return not any(place.is_relative_to(own) for place in places for own in PRIVATE) and _tellable(
        [str(place) for place in places]
    )


def _tellable(said: object) -> bool:
    try:
        json.dumps(said, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return False
    return True


def _suitable(runtime: Runtime, *, run: bool) -> Client | None:
    """The service, if one is up that means the same by everything; otherwise it is said why not.

    What a folder has of its own counts for a `run` alone.
    """
    about = heard(runtime.settings)
    if about is None:
        return None
    at_home = Path.cwd() == runtime.settings.home
    if run and not at_home and any(Path(kind).is_dir() for kind in OWN):
        say("this runs here: the folder has tools or workflows of its own, unknown to the service")
        return None
    if not about.suits(runtime.settings):
        say(f"this runs here: the service has other settings, or is not {__version__}")
        return None
    from agentkit.client import Client

    return Client.here(runtime.settings)


def detached(client: Client, begin: Begin) -> None:
    """Hand a run over and leave it alone."""
    run = begin(client, False)
    click.echo(run)
    say(f"watch it: agentkit runs watch {run}")


def carried_out(
    client: Client,
    begin: Begin,
    runtime: Runtime,
    *,
    profile: str,
    approver: Approver,
    cancel: CancelToken,
    subscribers: Sequence[Subscriber],
) -> dict[str, Any]:
    """Hand a run over, and see it to its end: `Runtime.run` for one that is elsewhere.

    Raises what became of it.
    """
    attended = profile == "interactive"
    run, seen = begin(client, attended), 0
    with _cancelled_there(client, run, cancel):
        while True:
            for number, event in client.events(run, seen):
                seen = number or seen
                for listener in subscribers:
                    listener(event)
            record = client.details(run).run
            question = _question(runtime, run) if record.status == "parked" else None
            answer = question and approver(question, cancel)
            if question is None or not answer:
                return _outcome(record, question)
            client.answer(question.id, answer)
            client.resume(run, folder=Path.cwd(), attended=attended)


@contextmanager
def _cancelled_there(client: Client, run: str, cancel: CancelToken) -> Iterator[None]:
    """While the block lasts, a cancel here reaches the run there."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):
            if cancel.cancelled:
                with suppress(AgentkitError):  # it has ended in between
                    client.cancel(run)
                return

    looker = threading.Thread(target=look, name=f"cancel of {run}", daemon=True)
    looker.start()
    try:
        yield
    finally:
        over.set()
        looker.join()


def _question(runtime: Runtime, run: str) -> Request | None:
    """What a parked run waits for, of a person."""
    for request in runtime.journal.desk.requests(open_only=True):
        if request.run.split(".")[0] == run:
            return request
    return None


def _outcome(record: RunRecord, question: Request | None) -> dict[str, Any]:
    hint = f"agentkit runs show {record.id}"
    match record.status:
        case "succeeded":
            return record.outputs or {}
        case "cancelled":
            raise Cancelled(record.error)
        case "skipped":
            raise Skipped(record.error)
        case "parked" if question is not None:
            raise ApprovalNeeded(question.id, record.error)
        case "parked":
            raise Paused(record.id)
        case "running":  # the service was stopped the hard way
            raise MachineError(f"the service left the run {record.id}", hint=hint)
    raise AgentkitError(record.error, hint=hint)
