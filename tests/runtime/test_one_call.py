"""A call of a person is a run with one step: on record before it begins, and however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentkit import ToolContext, tool
from agentkit import events as ev
from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, MachineError
from agentkit.journal import Journal
from agentkit.outcomes import Failed, NeedsApproval, Outcome, Retry, Returned
from agentkit.permissions import WritePath
from agentkit.runtime import Runtime
from agentkit.runtime.one_call import STEP, one_call
from agentkit.testing import ScriptedDesk, ScriptedServices
from agentkit.toolbox import Tool, Toolbox
from agentkit.toolbox.approvals import Approvals, nobody, settle
from agentkit.toolbox.caller import Caller
from agentkit.toolbox.grants import Grants
from agentkit.toolbox.python import tool_of
from agentkit.toolbox.sources import Scan


@tool
def add(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


@tool(effects=("writes",))
def write(path: WritePath, *, context: ToolContext) -> str:
    """Write."""
    return context.files.write(path, b"x").name


@tool
def breaks() -> None:
    """Break."""
    raise ValueError("x")


class Given:
    """A source of these tools."""

    label, prefix, far = "given", "", False

    def __init__(self, *functions: Callable[..., Any]) -> None:
        self.tools = [tool_of(function, Path("x")) for function in functions]

    def scan(self) -> Scan:
        tools: tuple[Tool, ...] = tuple(self.tools)
        return Scan(tools)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path / "journal.sqlite")
    yield made
    made.close()


class Place:
    """Where calls are made: a caller, a journal, and what was published."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        self.journal, self.events, self.cancel = journal, list[ev.Event](), CancelToken()
        self.folder = folder / "runs" / "run-1"
        self.desk: Any = journal.desk

    def publish(self, event: ev.Event, more: bool = False) -> None:
        self.journal.record(event)
        self.events.append(event)

    def call(self, function: Callable[..., Any], name: str = "", /, **arguments: Any) -> Outcome:
        caller = Caller(
            Toolbox([Given(function)]),
            Grants(own_write=(self.folder,)),
            Approvals(self.desk, nobody, "run-1"),
            ScriptedServices(),
            self.folder,
        )
        name = name or function.__name__
        return one_call(name, arguments, caller, "run-1", self.publish, self.cancel)


@pytest.fixture
def place(tmp_path: Path, journal: Journal) -> Place:
    return Place(tmp_path, journal)


def test_a_call_leaves_a_run_a_step_and_one_record(place: Place) -> None:
    assert place.call(add, a=1) == Returned(2)
    run = place.journal.run("run-1")
    assert (run.workflow, run.source, run.status) == ("tool:add", "", "succeeded")
    assert (run.inputs, run.outputs, run.error) == ({"a": 1}, {"result": 2}, "")
    (step,) = place.journal.steps("run-1")
    assert (step.step, step.action, step.status, step.outputs) == (STEP, "uses add", "succeeded", 2)
    (call,) = place.journal.calls("run-1")
    assert (call.tool, call.arguments, call.status, call.outcome) == (
        "add",
        {"a": 1},
        "returned",
        2,
    )
    assert (call.step, call.key, call.size) == (STEP, "", 1)
    assert call.seconds is not None
    assert call.seconds >= 0


@pytest.mark.parametrize(
    ("function", "name", "arguments", "kind", "run", "step", "call"),
    [
        (add, "", {"a": 1}, Returned, "succeeded", "succeeded", "returned"),
        (add, "", {}, Retry, "failed", "failed", "retry"),
        (add, "ad", {"a": 1}, Retry, "failed", "failed", "retry"),
        (breaks, "", {}, Failed, "failed", "failed", "failed"),
        (write, "", {"path": "/etc/x"}, NeedsApproval, "parked", "parked", "needs_approval"),
    ],
)
def test_each_outcome_has_its_status(
    place: Place,
    function: Callable[..., Any],
    name: str,
    arguments: dict[str, Any],
    kind: type[Outcome],
    run: str,
    step: str,
    call: str,
) -> None:
    outcome = place.call(function, name, **arguments)
    assert isinstance(outcome, kind)
    assert place.journal.run("run-1").status == run
    assert [one.status for one in place.journal.steps("run-1")] == [step]
    (record,) = place.journal.calls("run-1")
    assert record.status == call
    if not isinstance(outcome, Returned):
        assert record.outcome == place.journal.run("run-1").error
    assert record.size == len(json.dumps(record.outcome, ensure_ascii=False).encode())


@pytest.mark.parametrize("stop", [Cancelled("enough"), KeyboardInterrupt()])
def test_a_call_that_was_stopped_is_on_record(place: Place, stop: BaseException) -> None:
    @tool
    def stopped() -> None:
        """Stop."""
        raise stop

    with pytest.raises(type(stop)):
        place.call(stopped)
    run = place.journal.run("run-1")
    assert (run.status, run.error) == ("cancelled", str(stop) or "interrupted")
    assert [one.status for one in place.journal.steps("run-1")] == ["cancelled"]
    (record,) = place.journal.calls("run-1")
    assert record.status == "cancelled"
    assert record.outcome == "it was interrupted: what it did is not known"
    assert record.seconds is not None


def test_a_mistake_of_ours_is_on_record_as_one(place: Place) -> None:
    class Broken(ScriptedDesk):
        def rules(self) -> Any:
            raise RuntimeError("ours")

    place.desk = Broken()
    with pytest.raises(RuntimeError, match="ours"):
        place.call(add, a=1)
    run = place.journal.run("run-1")
    assert (run.status, run.error) == ("failed", "RuntimeError: ours")
    assert [one.error for one in place.journal.steps("run-1")] == ["RuntimeError: ours"]
    assert [one.status for one in place.journal.calls("run-1")] == ["cancelled"]


def test_the_record_is_there_while_the_call_is_made(place: Place) -> None:
    seen: list[Any] = []

    @tool
    def look() -> None:
        """Look."""
        (call,) = place.journal.calls("run-1")
        seen.extend([call.status, call.seconds, call.outcome, place.journal.run("run-1").status])

    place.call(look)
    assert seen == ["running", None, None, "running"]


def test_a_call_that_was_killed_is_on_record_as_running(tmp_path: Path) -> None:
    """With its arguments, so that somebody can look what it may have done."""
    code = """
import sys
from pathlib import Path
from agentkit.runtime import Runtime
with Runtime() as runtime:
    runtime.call_tool("hang", {"text": "ü" * 3000})
"""
    home = tmp_path / "killed"
    (home / "tools").mkdir(parents=True)
    (home / "tools" / "hang.py").write_text(
        "import time\nfrom agentkit import tool\n\n\n@tool\ndef hang(text: str) -> None:\n"
        "    'Hang.'\n    print('begun', flush=True)\n    time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "AGENTKIT_HOME": str(home)},
    )  # fmt: skip
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    journal = Journal(home / "journal.sqlite")
    (run,) = journal.runs()
    (call,) = journal.calls(run.id)
    assert (call.tool, call.arguments, call.status) == ("hang", {"text": "ü" * 3000}, "running")
    assert (call.seconds, call.size, call.outcome) == (None, None, None)
    journal.close()


@pytest.mark.parametrize("name", ["half \ud800", "a\nb", "x" * 10_000])
def test_a_name_that_no_tool_has_is_on_record(place: Place, name: str) -> None:
    assert isinstance(place.call(add, name), Retry)
    assert place.journal.run("run-1").workflow == f"tool:{name.replace(chr(0xD800), '?')}"


def test_arguments_that_are_no_data_are_on_record(place: Place) -> None:
    assert isinstance(place.call(add, a=object()), Retry)
    assert place.journal.run("run-1").inputs == {"a": "<object>"}
    assert [call.arguments for call in place.journal.calls("run-1")] == [{"a": "<object>"}]


def test_a_run_that_cannot_have_a_folder_is_told_before_anything_is_on_record(
    place: Place,
) -> None:
    place.folder.parent.write_text("in the way")
    with pytest.raises(MachineError, match=r"runs/run-1 cannot be made: "):
        place.call(add, a=1)
    assert place.journal.count() == 0


def test_what_a_call_writes_is_in_the_folder_of_its_run(place: Place) -> None:
    assert place.call(write, path="deep/a.txt") == Returned("a.txt")
    assert [one.path for one in place.journal.artifacts("run-1")] == ["deep/a.txt"]


def test_a_long_result_and_long_arguments_are_kept_once_and_come_back(place: Place) -> None:
    @tool
    def echo(text: str) -> list[str]:
        """Echo."""
        return [text, text]

    text = "ü" * 100_000
    assert place.call(echo, text=text) == Returned([text, text])
    (call,) = place.journal.calls("run-1")
    assert (call.arguments, call.outcome) == ({"text": text}, [text, text])


def test_an_approval_of_one_call_counts_for_the_next_same_call_of_the_same_asker() -> None:
    with Runtime() as runtime:

        def call(asker: str) -> Outcome:
            return runtime.call_tool(
                "write_file", {"path": "/srv/none/a", "content": ""}, asker=asker
            )[1]

        first = call("terminal")
        assert isinstance(first, NeedsApproval)
        settle(runtime.journal.desk, runtime.journal.desk.find(first.request), "no")
        assert isinstance(call("somebody else"), NeedsApproval)
        second = call("terminal")
        assert isinstance(second, Failed)
        assert "a person said no" in second.reason
        assert isinstance(call("terminal"), NeedsApproval)
