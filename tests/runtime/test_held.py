"""A run is held while the work lasts, and the work ends when it is lost."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agentkit.cancel import CancelToken
from agentkit.errors import UserError
from agentkit.journal import Journal
from agentkit.runtime.held import held


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite", 60.0)


@pytest.fixture
def hasty(tmp_path: Path) -> Journal:
    """One whose holders give a sign of life three times in a second."""
    return Journal(tmp_path / "hasty.sqlite", 1.0)


def test_one_holder_at_a_time(journal: Journal) -> None:
    with (
        held(journal.leases, "run-1", CancelToken()),
        pytest.raises(UserError, match="at work in another process"),
        held(journal.leases, "run-1", CancelToken()),
    ):
        pytest.fail("two hold it")
    journal.close()


def test_it_is_free_after_the_block_also_when_that_failed(journal: Journal) -> None:
    with pytest.raises(ZeroDivisionError), held(journal.leases, "run-1", CancelToken()):
        raise ZeroDivisionError
    with held(journal.leases, "run-1", CancelToken()) as lease:
        assert lease.fence == 2
    journal.close()


def test_a_long_step_keeps_it_by_its_heartbeat(hasty: Journal) -> None:
    signs = set[float]()
    with held(hasty.leases, "run-1", CancelToken()):
        while len(signs) < 4:
            with hasty._database.read() as connection:
                signs.add(connection.execute("SELECT renewed FROM leases").fetchone()[0])
    hasty.close()


def test_who_lost_it_is_told_to_stop(hasty: Journal) -> None:
    cancel = CancelToken()
    with held(hasty.leases, "run-1", cancel) as lease:
        hasty.leases.give_back(lease)
        hasty.leases.take("run-1")
        for _ in range(300):
            if cancel.cancelled:
                break
            threading.Event().wait(0.1)
    assert cancel.reason == "the run run-1 was taken over by another process"
    hasty.close()


def test_two_runs_do_not_wait_for_each_other(journal: Journal) -> None:
    with (
        held(journal.leases, "run-1", CancelToken()) as one,
        held(journal.leases, "run-2", CancelToken()) as two,
    ):
        assert (one.run, two.run) == ("run-1", "run-2")
    journal.close()
