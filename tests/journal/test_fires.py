"""What starts workflows is on record once; on a file here, and on PostgreSQL in its own tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentkit import events as ev
from agentkit.journal import Journal
from agentkit.records import Fire, ScheduleRecord

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
FIRE = Fire("flow", "time x", "every 1 h", NOON, NOON, "due", "it was due", "run-1", "scheduler 1",
            {"text": "long " * 1000})  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.sqlite")
    yield journal
    journal.close()


def test_a_fire_is_there_once_until_its_run_is(journal: Journal) -> None:
    tell_of_a_fire(journal)


def tell_of_a_fire(journal: Journal) -> None:
    fires = journal.fires
    assert fires.mark() is None
    assert fires.add([FIRE, replace(FIRE, run="run-2")], NOON) == [FIRE]
    assert fires.add([replace(FIRE, run="run-3")]) == []
    assert (fires.mark(), fires.due(), fires.of("run-1")) == (NOON, [FIRE], FIRE)

    assert not fires.claim(replace(FIRE, owner="another"), "scheduler 2")
    assert fires.claim(FIRE, "scheduler 2")
    assert not fires.claim(FIRE, "scheduler 3")
    started = ev.RunStarted(run="run-1", workflow="flow", source="", definition="", inputs={})
    journal.record(started)
    assert fires.due() == []
    (begun,) = fires.recent("flow")
    assert (begun.status, begun.outcome, begun.given, begun.owner) == (
        "begun", "running", {}, "scheduler 2",
    )  # fmt: skip
    fires.settle("run-1", "refused", "too late")
    assert fires.recent("flow") == [begun]

    other = replace(FIRE, occurrence="time y", run="run-4")
    fires.add([other])
    fires.settle("run-4", "refused", "the model is not here")
    assert fires.recent("flow", 1)[0].reason == "the model is not here"
    journal.remove(["run-1"])
    assert fires.due() == []


def test_what_could_come_again_is_not_forgotten(journal: Journal) -> None:
    file = replace(FIRE, occurrence="file 1 1 a", status="known", run="", moved="1 1 1")
    body = replace(FIRE, occurrence="delivery sha256=00", status="begun", run="run-2")
    delivery = replace(FIRE, occurrence="delivery msg_1", status="begun", run="run-3")
    due = replace(FIRE, run="run-4")
    journal.fires.add([file, body, delivery, due])
    journal.fires.forget(NOON + timedelta(days=30))
    assert {one.occurrence for one in journal.fires.recent("flow")} == {
        "time x", "delivery sha256=00",
    }  # fmt: skip
    assert journal.fires.arrived("flow") == ({"file 1 1 a"}, {"1 1 1"})


def test_a_schedule_is_kept_with_its_pause(journal: Journal) -> None:
    tell_of_a_schedule(journal)


def tell_of_a_schedule(journal: Journal) -> None:
    kept = ScheduleRecord("kept", "/kept.yaml", "name: kept", {"p.md": "x"}, "", None, {"a": NOON})
    lying = replace(FIRE, occurrence="file 1 1 a", status="known", run="", moved="1 1 1", given={})
    journal.fires.keep([kept], [lying, lying])
    later = NOON + timedelta(hours=1)
    journal.fires.pause("kept", later)
    journal.fires.keep([replace(kept, problem="wrong")])
    assert journal.fires.schedules() == {"kept": replace(kept, problem="wrong", paused=later)}
    assert journal.fires.paused() == {"kept": later}
    journal.fires.resume("kept", later)
    assert journal.fires.schedules()["kept"].since == {"a": later}
    assert journal.fires.paused() == {}
    assert journal.fires.arrived("flow") == ({"file 1 1 a"}, {"1 1 1"})
    assert journal.fires.ended(["flow"], NOON + timedelta(days=40_000)) == []
