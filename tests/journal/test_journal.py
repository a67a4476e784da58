"""What goes into the journal comes out again, and what is in it survives."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentkit import events as ev
from agentkit.errors import MachineError, UnknownName
from agentkit.journal import Journal, database, tables, texts
from agentkit.messages import Usage
from agentkit.records import ArtifactRecord

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
USAGE = Usage(prompt_tokens=100, cached_tokens=90, completion_tokens=7, decode_seconds=0.25)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path)
    yield journal
    journal.close()


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def started(run: str = "run-1", *, time: datetime = NOON, **inputs: Any) -> ev.RunStarted:
    return ev.RunStarted(
        run=run,
        time=time,
        workflow="notes",
        source="notes.yaml",
        definition="version: 1",
        inputs=inputs,
    )


def step_started(step: str, item: int | None = None, **more: Any) -> ev.StepStarted:
    more = {"run": "run-1", "action": "prompt", "inputs": {}, **more}
    return ev.StepStarted(step=step, item=item, **more)


def step_finished(step: str, outputs: Any = None, item: int | None = None) -> ev.StepFinished:
    return ev.StepFinished(run="run-1", step=step, item=item, outputs=outputs, seconds=1.5)


def finished(status: ev.RunStatus = "succeeded", **outputs: Any) -> ev.RunFinished:
    return ev.RunFinished(
        run="run-1", time=at(9), status=status, outputs=outputs, seconds=9, usage=USAGE
    )


def record(journal: Journal, *events: ev.Event) -> None:
    for event in events:
        journal.record(event)


# -- round trip ----------------------------------------------------------------------------------


def test_a_run_from_start_to_end(journal: Journal) -> None:
    record(journal, started(audio="a.flac"))
    running = journal.run("run-1")
    assert (running.status, running.finished, running.seconds) == ("running", None, None)
    assert (running.workflow, running.source) == ("notes", "notes.yaml")
    assert running.inputs == {"audio": "a.flac"}
    assert (running.outputs, running.usage, running.error) == (None, None, "")
    record(journal, finished(title="Ü", count=3))
    done = journal.run("run-1")
    assert (done.status, done.seconds, done.usage) == ("succeeded", 9, USAGE)
    assert done.outputs == {"title": "Ü", "count": 3}
    assert done.started == NOON
    assert journal.definition("run-1") == "version: 1"


def test_steps_keep_inputs_outputs_timings_and_usage(journal: Journal) -> None:
    ask = {"system": "s", "text": "t", "model": None}
    record(
        journal,
        started(),
        step_started("ask", inputs=ask, time=at(1)),
        ev.StepFinished(
            run="run-1", step="ask", time=at(3), outputs={"text": "yes"}, seconds=2, usage=USAGE
        ),
    )
    (step,) = journal.steps("run-1")
    assert (step.step, step.key, step.action, step.status) == ("ask", "", "prompt", "succeeded")
    assert (step.inputs, step.outputs, step.error) == (ask, {"text": "yes"}, "")
    assert (step.started, step.finished, step.seconds, step.usage) == (at(1), at(3), 2, USAGE)


def test_items_follow_their_foreach_in_order(journal: Journal) -> None:
    record(journal, started(), ev.ForeachStarted(run="run-1", step="each", count=12, time=at(1)))
    for item in range(12):
        record(journal, step_started("each", item, time=at(2)), step_finished("each", item, item))
    record(journal, step_finished("each", [*range(12)]), step_started("next", time=at(3)))
    steps = journal.steps("run-1")
    assert [(step.step, step.key) for step in steps] == [
        ("each", ""),
        *(("each", str(item)) for item in range(12)),
        ("next", ""),
    ]
    assert steps[0].action == "foreach"
    assert steps[0].outputs == [step.outputs for step in steps[1:13]] == [*range(12)]


def test_skipped_and_failed_steps(journal: Journal) -> None:
    record(
        journal,
        started(),
        ev.StepSkipped(run="run-1", step="maybe", reason="its condition is false", time=at(1)),
        step_started("write", time=at(2)),
        ev.StepFailed(run="run-1", step="write", error="no disk", seconds=1, time=at(3)),
    )
    skipped, failed = journal.steps("run-1")
    assert (skipped.status, skipped.seconds) == ("skipped", 0)
    assert (failed.status, failed.error, failed.seconds) == ("failed", "no disk", 1)


def test_a_step_that_failed_before_it_started_is_there(journal: Journal) -> None:
    """Its arguments could not be made: an expression names something that does not exist."""
    gone = ev.StepFailed(run="run-1", step="ask", item=2, error="no x", seconds=0.5, time=at(1))
    record(journal, started(), gone)
    (step,) = journal.steps("run-1")
    assert (step.step, step.key, step.action) == ("ask", "2", "")
    assert (step.status, step.error, step.seconds) == ("failed", "no x", 0.5)


@pytest.mark.parametrize(("outcome", "status"), [("cancelled", "cancelled"), ("failed", "failed")])
def test_no_step_stays_running_when_its_run_has_ended(
    journal: Journal, outcome: ev.RunStatus, status: str
) -> None:
    each = ev.ForeachStarted(run="run-1", step="each", count=3, time=at(1))
    record(journal, started(), started("run-2"), each)
    record(journal, step_started("other", run="run-2"), finished(outcome))
    assert [step.status for step in journal.steps("run-1")] == [status]
    assert [step.status for step in journal.steps("run-2")] == ["running"]


def test_artifacts_are_kept_by_path_and_the_last_version_counts(journal: Journal) -> None:
    def made(path: str, size: int) -> ev.ArtifactMade:
        return ev.ArtifactMade(run="run-1", step="write", path=path, size=size, sha256="ab")

    record(journal, started(), made("b.md", 1), made("a.md", 2), made("b.md", 3))
    assert journal.artifacts("run-1") == [
        ArtifactRecord("write", "a.md", 2, "ab"),
        ArtifactRecord("write", "b.md", 3, "ab"),
    ]


def test_every_event_but_progress_is_kept(journal: Journal, path: Path) -> None:
    record(
        journal,
        started(),
        ev.StepProgress(run="run-1", step="hear", done=1, total=None, unit="s"),
        ev.StepWarned(run="run-1", step="hear", text="unclear"),
        finished(),
    )
    with sqlite3.connect(path) as connection:
        kinds = connection.execute("SELECT kind, data FROM events ORDER BY number").fetchall()
    connection.close()
    assert [kind for kind, _ in kinds] == ["RunStarted", "StepWarned", "RunFinished"]
    assert '"unclear"' in kinds[1][1]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(["x" * 5000, "ü" * 2001, "\ud800" * 3000, "$text"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text() | st.sampled_from(["$text", "$$text", "text"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(value=JSON)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_plain_data_comes_back_as_it_was(journal: Journal, value: Any) -> None:
    """Also long strings, and data that looks like the mark that stands for a long string."""
    with journal._database.write() as connection:
        assert texts.parse(connection, texts.dump(connection, value)) == value


def test_long_strings_are_stored_once(journal: Journal, path: Path) -> None:
    transcript = "words and words " * 1000
    record(journal, started(text=transcript))
    for n in range(20):
        asked = {"system": transcript, "text": f"question {n}"}
        record(journal, step_started("ask", n, inputs=asked))
        record(journal, step_finished("ask", {"text": transcript}, n))
    assert journal.run("run-1").inputs == {"text": transcript}
    assert all(step.inputs["system"] == transcript for step in journal.steps("run-1"))
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*), sum(length(text)) FROM texts").fetchone() == (
            1,
            len(transcript),
        )
    connection.close()


def test_text_that_is_no_unicode_does_not_stop_a_run(journal: Journal) -> None:
    """File names and broken tools bring halves of surrogate pairs."""
    odd = "caf\udce9"
    failed = ev.StepFailed(run="run-1", step=odd, error=odd, detail=odd, seconds=0)
    record(journal, started(name=odd))
    with pytest.raises(UnicodeEncodeError):
        record(journal, failed)  # a step is named by a workflow file, which is UTF-8
    record(journal, ev.StepFailed(run="run-1", step="x", error=odd, detail=odd, seconds=0))
    assert journal.run("run-1").inputs == {"name": odd}
    assert journal.steps("run-1")[0].error == "caf?"


# -- finding runs --------------------------------------------------------------------------------


@pytest.fixture
def three_runs(journal: Journal) -> Journal:
    for n, run in enumerate(["20260101-aaaa", "20260102-bbbb", "20260102-bbcc"]):
        record(journal, started(run, time=at(n)))
    return journal


def test_runs_are_listed_newest_first(three_runs: Journal) -> None:
    assert [run.id[-4:] for run in three_runs.runs()] == ["bbcc", "bbbb", "aaaa"]
    assert [run.id[-4:] for run in three_runs.runs(limit=2)] == ["bbcc", "bbbb"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("last", "20260102-bbcc"),
        ("20260101", "20260101-aaaa"),
        ("20260102-bbb", "20260102-bbbb"),
        ("20260102-bbcc", "20260102-bbcc"),
    ],
)
def test_a_run_is_found_by_a_unique_beginning(three_runs: Journal, name: str, found: str) -> None:
    assert three_runs.run(name).id == found


def test_a_whole_id_is_unique_even_if_another_one_goes_on(three_runs: Journal) -> None:
    record(three_runs, started("20260101-aaaa-2"))
    assert three_runs.run("20260101-aaaa").id == "20260101-aaaa"


@pytest.mark.parametrize("name", ["20260102", "", "2026"])
def test_an_ambiguous_beginning_asks_for_more(three_runs: Journal, name: str) -> None:
    with pytest.raises(UnknownName, match="no single run") as caught:
        three_runs.run(name)
    assert "more of the id" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["20260103", "%", "_0260101", "20260101-aaab"])
def test_an_unknown_run_is_an_error_with_a_hint(three_runs: Journal, name: str) -> None:
    with pytest.raises(UnknownName, match="no run named") as caught:
        three_runs.run(name)
    assert caught.value.hint == "agentkit runs list"
    if name == "20260101-aaab":
        assert 'did you mean "20260101-aaaa"?' in str(caught.value)


def test_an_empty_journal_has_no_last_run(journal: Journal) -> None:
    assert journal.runs() == []
    with pytest.raises(UnknownName):
        journal.run("last")


# -- forms ---------------------------------------------------------------------------------------


def test_a_journal_is_opened_again(journal: Journal, path: Path) -> None:
    record(journal, started())
    journal.close()
    again = Journal(path)
    assert again.run("last").id == "run-1"
    again.close()


def test_a_journal_of_a_newer_agentkit_is_refused(journal: Journal, path: Path) -> None:
    journal.close()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO migrations VALUES (99)")
    connection.close()
    with pytest.raises(MachineError, match="form 99, this agentkit knows forms up to 5") as caught:
        Journal(path)
    assert caught.value.hint == "pip install --upgrade agentkit"


def test_a_migration_is_done_once_and_in_order(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.close()
    done: list[int] = []
    later = (lambda connection: done.append(2), lambda connection: done.append(3))
    monkeypatch.setattr(database, "FORM", len(tables.MIGRATIONS) + 2)
    monkeypatch.setattr(tables, "MIGRATIONS", (*tables.MIGRATIONS, *later))
    for _ in range(2):
        Journal(path).close()
    assert done == [2, 3]


def test_a_migration_that_fails_leaves_the_old_form(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Journal(path).close()
    first = tables.MIGRATIONS

    def broken(connection: Any) -> None:
        connection.exec_driver_sql("CREATE TABLE half_done (x)")
        raise RuntimeError("power cut")

    with monkeypatch.context() as newer:
        newer.setattr(database, "FORM", len(first) + 1)
        newer.setattr(tables, "MIGRATIONS", (*first, broken))
        with pytest.raises(RuntimeError):
            Journal(path)
    Journal(path).close()
    with sqlite3.connect(path) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    connection.close()
    assert "half_done" not in names
    assert "runs" in names


def test_of_an_agent_deaths_count_in_a_row_and_without_a_call_that_was_done(
    journal: Journal,
) -> None:
    def begun(seconds: float) -> None:
        for step in ("agent", "other"):
            journal.record(step_started(step, time=at(seconds), action="agent"))

    def done(seconds: float, status: str) -> None:
        journal.record(
            ev.ActFinished(
                run="run-1", step="agent", task="t1", call=f"c{seconds}", status=status,
                observation="42", time=at(seconds),
            )
        )  # fmt: skip

    def deaths() -> tuple[int, int]:
        counted = journal.past("run-1").deaths
        return counted["agent", ""], counted["other", ""]

    journal.record(started())
    for number in range(3):
        begun(number)
    assert deaths() == (3, 3)
    done(2.5, "returned")  # it died once more after that
    assert deaths() == (1, 3)
    begun(4)
    done(4.5, "unverified")  # told when it goes on, and nothing that was done
    done(4.6, "failed")
    assert deaths() == (2, 4)


LONG_ONE = "a long one " * 500


def long_ago(path: Path) -> None:
    """All texts were stored before anybody would keep them for being new."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE texts SET stored = 0")


def test_texts_that_nothing_names_go_piece_by_piece(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(texts, "PIECE", 2)
    for number in range(5):
        journal.record(started(f"run-{number}", text=f"{LONG_ONE}{number}"))
    journal.record(started("kept", text=LONG_ONE))
    journal.remove(f"run-{number}" for number in range(5))
    long_ago(path)
    journal.shrink(0)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT text FROM texts").fetchall() == [(LONG_ONE,)]


def test_a_text_that_another_one_names_while_unnamed_ones_are_looked_for_stays(
    journal: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.record(started("before", text=LONG_ONE))
    journal.remove(["before"])
    long_ago(path)
    other, read = Journal(path), database.Database.read

    @contextmanager
    def looking(here: database.Database) -> Iterator[database.Connection]:
        with read(here) as connection:
            yield connection
            other.record(started("meanwhile", text=LONG_ONE))

    with monkeypatch.context() as patched:
        patched.setattr(database.Database, "read", looking)
        journal.shrink(0)
    assert journal.run("meanwhile").inputs == {"text": LONG_ONE}
    other.close()
