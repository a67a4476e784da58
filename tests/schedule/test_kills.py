"""kill -9 at any moment: what was due starts one run, and one only."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from agentkit.runtime import Runtime
from tests import killing

WAYS = ("before", "twice")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came of each way to be killed."""
    return killing.said(
        "tests.schedule.killed", {way: tmp_path_factory.mktemp(way) for way in WAYS}
    )


@pytest.mark.parametrize("way", WAYS)
def test_a_scheduler_that_dies_at_any_write_starts_everything_once(
    said: dict[str, str], way: str
) -> None:
    *faults, kills = said[way].splitlines()

    assert faults == [], said[way]
    assert int(kills.split()[0]) > 12


def test_two_schedulers_that_are_killed_again_and_again_start_each_second_once(
    isolated_home: Path,
) -> None:
    """With the clock of the machine: once in a second, for some seconds."""
    folder = isolated_home / "workflows"
    folder.mkdir(parents=True)
    (folder / "tick.yaml").write_text(
        "name: tick\ntriggers: [{every: 1s}]\nsteps: [{id: a, uses: now}]\n"
    )
    chance = random.Random(3)
    with Runtime() as runtime:
        assert runtime.journal.count() == 0

    def begin() -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.schedule.looking"]
        return subprocess.Popen(command, cwd=killing.ROOT, stdout=subprocess.PIPE, text=True)

    processes = [begin(), begin()]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "looking\n"
    for number in range(4):
        time.sleep(chance.uniform(0.7, 1.7))
        victim = number % 2
        processes[victim].kill()
        processes[victim].communicate()
        processes[victim] = begin()
        assert processes[victim].stdout.readline() == "looking\n"  # type: ignore[union-attr]  # a pipe
    time.sleep(1.5)
    for process in processes:
        process.terminate()
        process.communicate()

    with Runtime() as runtime:
        fires = runtime.journal.fires.recent("tick", 1000)
        runs = runtime.journal.runs(limit=1000)
    due: list[datetime] = sorted(fire.time for fire in fires)
    assert len(due) > 4
    assert {later - earlier for earlier, later in pairwise(due)} == {timedelta(seconds=1)}
    begun = Counter(run.id for run in runs)
    assert set(begun.values()) == {1}
    unbegun = [fire for fire in fires if fire.status == "due"]
    assert len(unbegun) <= 1  # decided in the last moment, and left to whoever comes next
    assert {fire.run for fire in fires if fire.status == "begun"} == set(begun)
