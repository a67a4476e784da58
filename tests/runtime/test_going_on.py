"""A run goes on once, whoever else lets it go on, and is not begun a second time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentkit import events as ev
from agentkit.errors import Cancelled, MachineError, StepFailed, UserError
from agentkit.journal import Journal
from agentkit.letters import Letter
from agentkit.messages import Usage
from agentkit.runtime import Runtime
from agentkit.runtime.background import Background
from agentkit.runtime.keeper import Keeper
from agentkit.workflow.load import LoadedWorkflow

TOOLS = '''
from pathlib import Path

from agentkit import ToolContext, ToolError, tool

@tool
def count(context: ToolContext) -> int:
    """Count how often this was called."""
    calls = context.folder.parent.parent / "calls"
    calls.write_text((calls.read_text() if calls.exists() else "") + "x")
    return len(calls.read_text())

@tool
def succeed(context: ToolContext) -> str:
    """Succeed, if a person says so; wait for him, if he says that."""
    there = context.folder.parent.parent
    while (there / "wait").exists():
        context.cancel.wait(0.02)
    if not (there / "ok").exists():
        raise ToolError("not yet")
    return "done"
'''

WORKFLOW = """
name: flow
steps:
  - {id: once, uses: count}
  - {id: then, uses: succeed}
"""


@pytest.fixture
def home(isolated_home: Path) -> Path:
    (isolated_home / "tools").mkdir(parents=True)
    (isolated_home / "tools" / "trials.py").write_text(TOOLS)
    (isolated_home / "workflows").mkdir()
    (isolated_home / "workflows" / "flow.yaml").write_text(WORKFLOW)
    return isolated_home


@pytest.fixture
def runtime(home: Path) -> Iterator[Runtime]:
    with Runtime() as runtime:
        yield runtime


@pytest.fixture
def flow(runtime: Runtime) -> LoadedWorkflow:
    return runtime.workflow("flow")


def calls(home: Path) -> int:
    return len((home / "calls").read_text())


def failed(runtime: Runtime, flow: LoadedWorkflow, run: str) -> None:
    with pytest.raises(StepFailed, match="not yet"):
        runtime.run(flow, {}, run)


def died(runtime: Runtime, run: str) -> None:
    """A run that had begun when the process died."""
    started = ev.RunStarted(run=run, workflow="flow", source="flow", definition=WORKFLOW, inputs={})
    runtime.journal.record(started)


def ended(runtime: Runtime, run: str) -> None:
    runtime.journal.record(
        ev.RunFinished(run=run, status="cancelled", outputs={}, seconds=1.0, usage=Usage())
    )


class Helpers:
    """Lets runs go on, and does something else first."""

    def __init__(self, first: Any) -> None:
        self.first = first

    def at_work(self) -> list[str]:
        return []

    def go_on(self, run: str, **_: object) -> str:
        self.first()
        return run


def test_one_that_was_cancelled_while_another_was_let_go_on_stays_so(runtime: Runtime) -> None:
    died(runtime, "a")
    died(runtime, "b")
    background: Any = Helpers(lambda: ended(runtime, "b"))

    assert Keeper(runtime, background).look() == ["a"]


def test_the_same_request_again_finds_the_run_that_ended(
    runtime: Runtime, flow: LoadedWorkflow, home: Path
) -> None:
    (home / "ok").touch()
    runtime.run(flow, {}, "same")

    assert Background(runtime, 9, ()).begin(flow, {}, "same") == "same"
    assert calls(home) == 1


def test_the_same_request_again_finds_the_run_that_is_at_work(
    runtime: Runtime, flow: LoadedWorkflow, home: Path
) -> None:
    (home / "ok").touch()
    (home / "wait").touch()
    over = threading.Event()

    def hear(event: ev.Event) -> None:
        if isinstance(event, ev.RunFinished):
            over.set()

    background = Background(runtime, 9, [hear])
    assert background.begin(flow, {}, "same") == background.begin(flow, {}, "same") == "same"
    (home / "wait").unlink()
    assert over.wait(60)
    assert calls(home) == 1


def test_one_that_came_to_its_end_elsewhere_in_between_is_left_alone(
    runtime: Runtime, flow: LoadedWorkflow, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(runtime, flow, "r")
    (home / "ok").touch()
    leases = runtime.journal.leases
    take = leases.take

    def after_another(run: str) -> Any:
        monkeypatch.setattr(leases, "take", take)
        runtime.resume("r")
        return take(run)

    monkeypatch.setattr(leases, "take", after_another)
    with pytest.raises(UserError, match="the run r is succeeded meanwhile"):
        runtime.resume("r")
    assert calls(home) == 1


def test_steps_that_could_not_be_forgotten_leave_a_run_to_be_gone_on_with(
    runtime: Runtime, flow: LoadedWorkflow, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(runtime, flow, "r")

    def full(*_: object) -> None:
        raise MachineError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "forget", full)
        with pytest.raises(MachineError):
            runtime.retry("r", "once")
    (home / "ok").touch()
    runtime.retry("r", "once")
    assert calls(home) == 2


def test_a_cancel_that_came_too_late_does_not_stop_it_the_next_time(
    runtime: Runtime, flow: LoadedWorkflow, home: Path
) -> None:
    failed(runtime, flow, "r")
    (home / "ok").touch()
    runtime.journal.mailbox.post("r", Letter("cancel", ""))

    runtime.resume("r")

    assert runtime.journal.run("r").status == "succeeded"


def test_a_cancel_that_its_process_did_not_live_to_read_counts(
    runtime: Runtime, home: Path
) -> None:
    died(runtime, "r")
    (home / "wait").touch()
    runtime.journal.mailbox.post("r", Letter("cancel", ""))

    with pytest.raises(Cancelled):
        runtime.resume("r")
