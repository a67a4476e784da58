"""A run that waits for a person, whose processes are killed at every write to the journal.

    python -m tests.workflow.killed_parked parts FOLDER

The workflow is that of `killed`; here nobody answers in the process of the run.  One process begins
it and parks it, a second one is `agentkit runs approve`, a third one goes on.  Whichever of them
dies at whichever write, the answer counts once, no step that is on record as finished is done
again, none is missing, and the outputs are those of the undisturbed run.  The person is asked once,
but for one moment: who dies when the answer is taken and the step not yet on record asks again.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from agentkit.cli.runs import act
from agentkit.errors import ApprovalNeeded
from agentkit.runtime import Runtime, nobody
from tests.killing import Scene, hurry, play
from tests.workflow import killed

PROCESSES = 3
HOME = "AGENTKIT_HOME"


def begin(base: Path) -> None:
    """Do what is next: begin the run, answer what it asks, or go on with it."""
    killed.write(base)
    with killed.opened(base) as runtime:
        asks = bool(runtime.journal.desk.requests(open_only=True))
        parked = [run.status for run in runtime.journal.runs()] == ["parked"]
        if not (asks and parked):
            return go_on(runtime, base)
    os.environ[HOME] = str(base / "home")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            act.approve.main(["last"], standalone_mode=False)
    finally:
        del os.environ[HOME]


def go_on(runtime: Runtime, base: Path) -> None:
    with contextlib.suppress(ApprovalNeeded):
        killed.go_on(runtime, base, approver=nobody)


def outcome(base: Path) -> dict[str, Any]:
    """What a run comes to, and what was asked on the way."""
    with killed.opened(base) as runtime:
        asked = runtime.journal.desk.requests()
    questions = {(one.question, one.answer, one.used) for one in asked}
    return {**killed.outcome(base), "questions": [list(one) for one in sorted(questions)]}


def compare(base: Path, expected: Path) -> None:
    killed.same(outcome(base), expected)


def warm_up(base: Path) -> None:
    hurry()
    os.environ.pop(HOME, None)  # each run has its own
    for _ in range(PROCESSES):
        begin(base / "undisturbed")
    undisturbed = outcome(base / "undisturbed")
    assert undisturbed["status"] == ["succeeded", "succeeded"], undisturbed
    assert [used for *_, used in undisturbed["questions"]] == [True], undisturbed
    (base / "expected.json").write_text(json.dumps(undisturbed))
    assert threading.active_count() == 1, "a process with threads cannot be forked"
    gc.freeze()  # what is shared with the children stays shared


if __name__ == "__main__":
    scene = Scene(warm_up, begin, compare, killed.SEED, 50, processes=PROCESSES)
    sys.exit(play(sys.argv[1], Path(sys.argv[2]), scene))
