"""Whatever happens to the machine in the middle of a run: nothing is lost, or done twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import killing

WAYS = ("before", "after", "twice", "again", "full", "locked")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came of each way to be killed."""
    return killing.said(
        "tests.workflow.killed", {way: tmp_path_factory.mktemp(way) for way in WAYS}
    )


@pytest.mark.parametrize("way", ["before", "after"])
def test_a_process_that_dies_at_any_write_costs_the_steps_in_flight_and_no_more(
    said: dict[str, str], way: str
) -> None:
    *faults, kills = said[way].splitlines()

    assert faults == [], said[way]
    assert int(kills.split()[0]) > 50


def test_the_process_that_goes_on_may_die_too(said: dict[str, str]) -> None:
    *faults, kills = said["twice"].splitlines()

    assert faults == [], said["twice"]
    assert int(kills.split()[0]) > 12


def test_one_that_goes_on_may_die_at_any_of_its_writes(said: dict[str, str]) -> None:
    *faults, kills = said["again"].splitlines()

    assert faults == [], said["again"]
    assert int(kills.split()[0]) > 25


def test_so_may_the_one_that_parks_the_one_that_answers_and_the_one_that_goes_on(
    tmp_path: Path,
) -> None:
    """A person's answer comes from another process: see `killed_parked`."""
    said = killing.said("tests.workflow.killed_parked", {"parts": tmp_path})["parts"]
    *faults, kills = said.splitlines()

    assert faults == [], said
    assert int(kills.split()[0]) > 100


@pytest.mark.parametrize("way", ["full", "locked"])
def test_a_journal_that_cannot_be_written_ends_the_run_and_loses_nothing(
    said: dict[str, str], way: str
) -> None:
    *faults, times = said[way].splitlines()

    assert faults == [], said[way]
    assert int(times.split()[0]) > 4


def test_a_machine_in_trouble_in_the_middle_of_a_run(tmp_path: Path) -> None:
    """Stopped for longer than the lease; two processes; a clock that jumps: see `troubled`."""
    said = tmp_path / "said"
    with said.open("w") as out:  # no pipe: what was stopped and is left would hold it open
        played = subprocess.run(
            [sys.executable, "-m", "tests.workflow.troubled", str(tmp_path)],
            cwd=killing.ROOT, stdout=out, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    assert played.returncode == 0, said.read_text()
    assert said.read_text().count("as it should be") == 3
