"""A step that kills its process is stopped in the end, and those beside it are not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, MachineError
from agentkit.runtime import Runtime
from agentkit.workflow.deaths import MOST, survived

ROOT = Path(__file__).parents[2]

TOOLS = '''
import os, threading, time
from agentkit import tool

at_work = []
both = threading.Barrier(3)

@tool
def die() -> str:
    """Take the process along, when all are at work or no more come."""
    at_work.append("die")
    try:
        both.wait(1)
    except threading.BrokenBarrierError:
        pass
    os._exit(9)

@tool
def beside() -> str:
    """Be done if nobody dies."""
    try:
        both.wait(0.5)
    except threading.BrokenBarrierError:
        pass
    while "die" in at_work:
        time.sleep(0.01)
    return "done"
'''

FLOW = """
name: flow
steps:
  - {id: a, needs: [], uses: beside}
  - {id: group, needs: [], steps: [{id: killer, uses: die}]}
  - {id: b, needs: [], uses: beside}
"""


def test_who_kills_is_stopped_and_who_stands_beside_is_done(isolated_home: Path) -> None:
    (isolated_home / "tools").mkdir(parents=True)
    (isolated_home / "tools" / "trials.py").write_text(TOOLS)
    (isolated_home / "workflows").mkdir()
    (isolated_home / "workflows" / "flow.yaml").write_text(FLOW)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def ended(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "agentkit", *command], env=environment, cwd=isolated_home,
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip

    assert ended("run", "flow").returncode == 9
    for _ in range(MOST - 1):
        assert ended("runs", "resume", "last").returncode == 9
    last = ended("runs", "resume", "last")
    assert last.returncode == 1
    assert f"the process died {MOST} times while this step was at work" in last.stderr
    assert "--from killer" in last.stderr
    with Runtime() as runtime:
        (run,) = runtime.journal.runs()
        steps = {one.step: one.status for one in runtime.journal.steps(run.id)}
        begun = Counter(one.step for one in runtime.journal.attempts(run.id))
    assert (steps["a"], steps["killer"], steps["b"]) == ("succeeded", "failed", "succeeded")
    assert begun["killer"] == MOST


def test_those_that_one_more_death_would_stop_are_done_one_at_a_time() -> None:
    inside, after = threading.Event(), threading.Event()

    def other() -> None:
        with survived(MOST - 1, "r", "other", CancelToken()):
            inside.set()
        after.set()

    thread = threading.Thread(target=other)
    with survived(MOST - 1, "r", "one", CancelToken()):
        thread.start()
        with survived(MOST - 2, "r", "third", CancelToken()):
            assert not inside.wait(0.3)
    assert after.wait(10)
    thread.join()


def test_who_waits_for_his_last_chance_can_be_cancelled() -> None:
    cancel = CancelToken()
    with survived(MOST - 1, "r", "one", CancelToken()):
        cancel.cancel()
        with pytest.raises(Cancelled), survived(MOST - 1, "r", "two", cancel):
            pass


def test_after_too_many_it_is_not_begun() -> None:
    with (
        pytest.raises(MachineError, match="died 3 times") as caught,
        survived(MOST, "r", "s", CancelToken()),
    ):
        pass
    assert caught.value.hint == "agentkit runs retry r --from s"
