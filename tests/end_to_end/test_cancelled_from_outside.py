"""A run that another process sends away: its program ends with it, not when it would by itself."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agentkit.runtime import Runtime

MARK = "86399.25"
"""Seconds that the program would sleep; no other program has this argument."""

PATIENCE = 60
"""Seconds, where a machine has much else to do; far less than a day."""

LONG = f"""\
name: long
concurrency: {{group: only}}
steps:
  - {{id: a, uses: now, with: {{}}}}
  - {{id: b, run: "sleep {MARK}; echo over"}}
  - {{id: c, uses: now, with: {{}}}}
finally:
  - {{id: end, uses: now, with: {{}}}}
"""
NEXT = """\
name: next
concurrency: {group: only, on_conflict: cancel_running}
steps:
  - {id: a, uses: now, with: {}}
outputs: {done: "yes, ${{ steps.a.status }}"}
"""


@pytest.fixture
def long(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that carries out a run, and is in the middle of a script."""
    (tmp_path / "long.yaml").write_text(LONG)
    (tmp_path / "next.yaml").write_text(NEXT)
    command = [sys.executable, "-m", "agentkit", "run", "long.yaml", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if (event["kind"], event.get("step")) == ("StepStarted", "b"):
                break
        for _ in range(100 * PATIENCE):
            if sleepers():
                break
            time.sleep(0.01)
        yield process
        process.kill()


def sleepers() -> list[str]:
    """The processes that are the sleep of a script."""
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            if one.read_bytes().split(b"\0")[:2] == [b"sleep", MARK.encode()]:
                found.append(one.parent.name)
    return found


def ended(process: subprocess.Popen[str]) -> list[tuple[str, str]]:
    """The steps that ended, and with what, in order."""
    said, _ = process.communicate(timeout=PATIENCE)
    ends = {"StepFinished", "StepFailed"}
    events = [one for one in map(json.loads, said.splitlines()) if one["kind"] in ends]
    return [(one["step"], one.get("status", "succeeded")) for one in events]


def test_cancel_ends_the_run_and_its_program(long: subprocess.Popen[str], tmp_path: Path) -> None:
    assert sleepers()

    command = [sys.executable, "-m", "agentkit", "runs", "cancel", "last"]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=PATIENCE)

    assert ended(long) == [("b", "cancelled"), ("end", "succeeded")]
    assert sleepers() == []
    with Runtime() as runtime:
        assert runtime.journal.run("last").status == "cancelled"


def test_a_run_of_the_same_group_may_send_the_one_at_work_away(
    long: subprocess.Popen[str], tmp_path: Path
) -> None:
    with Runtime() as runtime:
        outputs = runtime.run(runtime.workflow(str(tmp_path / "next.yaml")), {})
        statuses = {run.workflow: run.status for run in runtime.journal.runs()}

    assert outputs == {"done": "yes, succeeded"}
    assert ended(long) == [("b", "cancelled"), ("end", "succeeded")]
    assert statuses == {"next": "succeeded", "long": "cancelled"}
    assert sleepers() == []
