"""A scheduler whose process is killed at every write to the journal, and what it has started.

    python -m tests.schedule.killed before|twice FOLDER

A due time of one workflow, another that follows it, a file that arrives; the clock goes on while
the process is dead.  As often as it dies, each of them has started one run, and one only.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from agentkit.config import Settings, shipped
from agentkit.runtime import Runtime, Scheduling
from agentkit.testing import FrozenClock
from agentkit.toolbox import Toolbox
from agentkit.toolbox.sources import FolderSource
from tests.killing import Scene, hurry, play

SEED = 7
START = datetime(2026, 11, 28, 12, 59, 58, tzinfo=UTC)
LOOKS = (0, 3, 4, 6)
"""Seconds after the start."""

FLOWS = {
    "hourly": "triggers: [{cron: '0 * * * *', timezone: UTC}]",
    "second": "triggers: [{after: hourly}]",
    "read": "triggers: [{watch: {folder: INBOX, existing: true, settle: 1s}}]",
}


@cache
def _toolbox() -> Toolbox:
    return Toolbox([FolderSource(shipped("tools"), "shipped")])


class Lent(Runtime):
    """With the tools that this process has loaded."""

    @property
    def toolbox(self) -> Toolbox:
        return _toolbox()


def opened(base: Path) -> Runtime:
    return Lent(Settings(home=base / "home"))


def begin(base: Path) -> None:
    """Look as often as is left, after going on with what was interrupted."""
    flows, inbox, looked = base / "home" / "workflows", base / "inbox", base / "looked"
    for folder in (flows, inbox):
        folder.mkdir(parents=True, exist_ok=True)
    if not looked.exists():
        for name, triggers in FLOWS.items():
            text = f"{triggers.replace('INBOX', str(inbox))}\nsteps: [{{id: a, uses: now}}]\n"
            (flows / f"{name}.yaml").write_text(f"name: {name}\n{text}")
        (inbox / "file").write_text("x")
        looked.write_text("0")
    with opened(base) as runtime:
        for run in runtime.journal.runs(status="running"):
            runtime.resume(run.id)
        clock = FrozenClock(START)
        scheduling = Scheduling(runtime, runtime.run, clock)
        done = int(looked.read_text())
        for number, seconds in list(enumerate(LOOKS))[done:]:
            clock.advance(seconds=seconds - (clock.now() - START).total_seconds())
            scheduling.changed()
            scheduling.look()
            looked.write_text(str(number + 1))
        for _ in range(4):  # what it was killed over is begun, and followed, and comes to rest
            clock.advance(seconds=2)
            scheduling.changed()
            scheduling.look()
        scheduling.stop()


def outcome(base: Path) -> dict[str, Any]:
    """What was started, and by what."""
    with opened(base) as runtime:
        runs = runtime.journal.runs(limit=100)
        fires = [one for name in FLOWS for one in runtime.journal.fires.recent(name, 100)]
        assert {run.id for run in runs} == {fire.run for fire in fires}, "a run of nothing"
        due = [fire.time for fire in fires if fire.workflow == "hourly"]
        assert due == [START + timedelta(seconds=2)]
        return {
            "runs": Counter(f"{run.workflow} {run.status}" for run in runs),
            "fires": Counter(f"{fire.workflow} {fire.status} {fire.outcome}" for fire in fires),
            "begun": Counter(
                event.kind for run in runs for event in runtime.journal.events(run.id)
                if event.kind == "RunStarted"
            ),
        }  # fmt: skip


def compare(base: Path, expected: Path) -> None:
    found, wanted = json.loads(json.dumps(outcome(base))), json.loads(expected.read_text())
    assert found == wanted, f"{found}\n  and undisturbed:\n{wanted}"


def warm_up(base: Path) -> None:
    hurry()
    begin(base / "undisturbed")
    found = outcome(base / "undisturbed")
    assert found["runs"] == {"hourly succeeded": 1, "second succeeded": 1, "read succeeded": 1}
    assert found["begun"] == {"RunStarted": 3}
    (base / "expected.json").write_text(json.dumps(found))
    assert threading.active_count() == 1, "a process with threads cannot be forked"
    gc.freeze()  # what is shared with the children stays shared


if __name__ == "__main__":
    sys.exit(play(sys.argv[1], Path(sys.argv[2]), Scene(warm_up, begin, compare, SEED, 60)))
