"""kill -9 at every write to the journal: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import pytest

from tests import killing

WAYS = ("before", "after", "twice")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came of each way to be killed."""
    return killing.said(
        "tests.agent_runs.killed", {way: tmp_path_factory.mktemp(way) for way in WAYS}
    )


@pytest.mark.parametrize("way", ["before", "after"])
def test_a_process_that_dies_at_any_write_costs_the_call_in_flight_and_no_more(
    said: dict[str, str], way: str
) -> None:
    *faults, kills = said[way].splitlines()

    assert faults == [], said[way]
    assert int(kills.split()[0]) > 70


def test_the_process_that_goes_on_may_die_too(said: dict[str, str]) -> None:
    *faults, kills = said["twice"].splitlines()

    assert faults == [], said["twice"]
    assert int(kills.split()[0]) > 12
