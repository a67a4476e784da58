"""A result too large for the journal is a file of its run, and comes back when it is read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from agentkit import events as ev
from agentkit import tool
from agentkit.cli import cli
from agentkit.errors import StepFailed
from agentkit.records import STORED, Stored
from agentkit.runtime import Runtime
from agentkit.runtime.spilled import LARGE, Spill

FLOW = """\
name: large
inputs: {count: {type: integer}}
steps:
  - {id: made, uses: much, with: {count: "${{ inputs.count }}"}}
  - id: each
    foreach: {items: [1]}
    steps:
      - {id: inner, uses: much, with: {count: "${{ inputs.count }}"}}
      - {id: fails, uses: fails, with: {text: "n ${{ steps.inner.outputs | length }}"}}
  - {id: kept, uses: much, with: {count: "${{ inputs.count }}"}, cache: {key: k}}
outputs:
  made: ${{ steps.made.outputs }}
  last: ${{ steps.made.outputs | last }}
  inner: ${{ steps.each.outputs[0].inner | length }}
"""


@tool
def much(count: int) -> list[str]:
    """Give much.

    Args:
        count: How many texts.
    """
    with Path(os.environ["CALLS"]).open("a") as calls:
        calls.write("much\n")
    return [f"number {at}" for at in range(count)]


@tool
def fails(text: str) -> str:
    """Fail until a file is there.

    Args:
        text: What comes back.
    """
    if not Path(os.environ["CALLS"]).with_name("now").exists():
        raise ValueError("not yet")
    return text


COUNT = LARGE // len("number 12")


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runtime:
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    (tmp_path / "large.yaml").write_text(FLOW)
    runtime = Runtime()
    runtime.lend([much, fails])
    return runtime


def test_a_large_output_is_a_file_and_comes_back(tmp_path: Path, runtime: Runtime) -> None:
    with runtime:
        flow = runtime.workflow(str(tmp_path / "large.yaml"))
        with pytest.raises(StepFailed):
            runtime.run(flow, {"count": COUNT})
        run = runtime.journal.run("last").id
        steps = {(step.step, step.key): step for step in runtime.journal.steps(run)}
        (file,) = (runtime.settings.runs_folder / run / STORED).iterdir()
        expected = [f"number {at}" for at in range(COUNT)]

        assert isinstance(steps["made", ""].outputs, Stored)
        assert json.loads(file.read_text()) == expected
        assert [one.path for one in runtime.journal.artifacts(run)] == [f"{STORED}/{file.name}"]
        assert runtime.settings.journal_file.stat().st_size < LARGE
        shown = CliRunner().invoke(cli, ["runs", "show", "last", "--full"]).output
        assert f"MB in {STORED}/{file.name}" in shown

        (tmp_path / "now").touch()
        outputs = runtime.resume(run)
        assert outputs == {"made": expected, "last": expected[-1], "inner": COUNT}
        assert (tmp_path / "calls").read_text().split() == ["much"] * 3  # none done twice
        recorded = runtime.journal.run(run).outputs or {}
        assert isinstance(recorded["made"], Stored)
        assert recorded["last"] == expected[-1]

        runtime.run(flow, {"count": COUNT})  # with what `cache` has kept
        assert len((tmp_path / "calls").read_text().split()) == 5
        runtime.remove(run)
        runtime.run(flow, {"count": COUNT})  # and without, when that is gone with its run
        assert len((tmp_path / "calls").read_text().split()) == 8


def test_what_was_changed_since_is_not_taken_for_what_it_was(
    tmp_path: Path, runtime: Runtime
) -> None:
    with runtime:
        with pytest.raises(StepFailed):
            runtime.run(runtime.workflow(str(tmp_path / "large.yaml")), {"count": COUNT})
        run = runtime.journal.run("last").id
        (file,) = (runtime.settings.runs_folder / run / STORED).iterdir()
        file.write_text(file.read_text().replace("number 1", "nUmber 1"))
        (tmp_path / "now").touch()

        with pytest.raises(StepFailed, match="is not there any more as it was") as fault:
            runtime.resume(run)
        assert f"agentkit runs retry {run} --from inner" in str(fault.value.hint)
        runtime.retry(run, "made")


def test_it_is_read_only_if_somebody_asks(tmp_path: Path, runtime: Runtime) -> None:
    text = FLOW[: FLOW.index("outputs:")]
    (tmp_path / "large.yaml").write_text(text)
    with runtime:
        with pytest.raises(StepFailed):
            runtime.run(runtime.workflow(str(tmp_path / "large.yaml")), {"count": COUNT})
        record = runtime.journal.run("last")
        workflow = runtime._runs.kept(record)
        (file,) = (runtime.settings.runs_folder / record.id / STORED).iterdir()
        file.unlink()

        past = runtime._runs.past(record, workflow)
        assert past.settled["made", ""].status == "succeeded"


def test_what_looks_like_its_mark_is_data(tmp_path: Path) -> None:
    spill = Spill(tmp_path)
    data = {"$file": {"file": "x", "size": 1, "sha256": "y"}}
    event = ev.StepFinished(run="r", step="s", outputs=data, seconds=0)

    assert spill.kept(event) == [event]
    with Runtime() as runtime:
        begun = ev.RunStarted(run="r", workflow="w", source="s", definition="", inputs={})
        for one in (begun, event):
            runtime.journal.record(one)
        outputs = runtime.journal.steps("r")[0].outputs
    assert outputs == data
    assert not isinstance(outputs, Stored)
