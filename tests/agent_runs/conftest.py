"""Runtimes with a scripted model, and the command line beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agentkit import events as ev
from agentkit.cli import main
from agentkit.journal import Journal
from agentkit.journal.leases import Lease
from agentkit.letters import Letter, LetterKind

from .scripted import Play, ScriptedRuntime

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def opened() -> Iterator[Callable[..., ScriptedRuntime]]:
    """`opened(play, *functions)`: a runtime, closed at the end."""
    with ExitStack() as stack:

        def make(play: Play, *functions: Callable[..., Any]) -> ScriptedRuntime:
            runtime = ScriptedRuntime(play, functions=functions)
            stack.callback(runtime.close)
            return runtime

        yield make


@pytest.fixture
def agentkit(capsys: pytest.CaptureFixture[str]) -> Command:
    """`agentkit(*arguments)`: exit code, stdout and stderr of the command."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([*arguments])
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return run


@pytest.fixture
def post(isolated_home: Path) -> Callable[..., None]:
    """Leave a letter for a run, over a connection of its own as another process would."""

    def leave(kind: LetterKind, text: str = "") -> None:
        journal = Journal(isolated_home / "journal.sqlite")
        try:
            journal.mailbox.post(journal.run("last").id, Letter(kind, text))
        finally:
            journal.close()

    return leave


class Died(BaseException):
    """A process that is no more."""


def die(runtime: ScriptedRuntime, when: Callable[[ev.Event], bool]) -> None:
    """Let nothing reach the journal from an event on."""
    record, dead = runtime.journal.record, list[ev.Event]()

    def write(event: ev.Event, lease: Lease | None = None) -> None:
        if dead or when(event):
            dead.append(event)
            raise Died
        record(event, lease)

    setattr(runtime.journal, "record", write)  # noqa: B010  mypy minds the other way
