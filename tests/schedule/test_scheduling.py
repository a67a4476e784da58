"""Files, journal, planner and starts together: each due time is started exactly once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agentkit.errors import Busy, InvalidInput, MachineError, UnknownName
from agentkit.journal.leases import Leases
from agentkit.runtime import Background, Runtime, Scheduling
from agentkit.runtime.places import Places

from .conftest import NOON, House

HOURLY = '- {cron: "0 * * * *", timezone: UTC}'


def test_what_is_due_is_started_at_its_time_and_once(house: House) -> None:
    house.write("flow", HOURLY)
    scheduling = house.scheduling()

    assert house.look(scheduling) == []
    assert house.look(scheduling, minutes=59) == []
    assert house.look(scheduling, minutes=1) == ["flow"]
    assert house.look(scheduling, seconds=1) == []
    assert house.look(scheduling, hours=1) == ["flow"]
    assert scheduling.look() == NOON + timedelta(hours=3)


def test_inputs_of_the_run_are_those_of_the_trigger(house: House) -> None:
    triggers = '- {every: 1h, with: {when: "at ${{ trigger.time }}", kind: "${{ trigger.kind }}"}}'
    house.write("flow", triggers, "inputs: {when: {}, kind: {}}")
    scheduling = house.scheduling()
    house.look(scheduling)
    house.look(scheduling, hours=1)

    assert house.started == [
        ("flow", {"when": "at 2026-11-28T13:00:00+00:00", "kind": "every"})
    ]  # fmt: skip


def test_two_schedulers_on_one_journal_start_it_once(house: House) -> None:
    house.write("flow", HOURLY)
    one, other = house.scheduling(), house.scheduling()
    house.look(one)
    house.look(other)
    for _ in range(3):
        assert [*house.look(one, hours=1), *house.look(other)] == ["flow"]
        assert [*house.look(other, hours=1), *house.look(one)] == ["flow"]


def test_two_triggers_at_one_time_start_it_twice_only_for_different_things(house: House) -> None:
    weekly = '- {cron: "0 13 * * 6", timezone: UTC}'
    house.write("same", f"{HOURLY}\n{weekly}")
    inputs = "inputs: {mode: {default: day}}"
    weekly = '- {cron: "0 13 * * 6", timezone: UTC, with: {mode: week}}'
    house.write("apart", f"{HOURLY}\n{weekly}", inputs)
    scheduling = house.scheduling()
    house.look(scheduling)

    assert sorted(house.look(scheduling, hours=1)) == ["apart", "apart", "same"]


@pytest.mark.parametrize(("catchup", "made_up"), [("none", 0), ("last", 1), ("all", 72)])
def test_three_days_off(house: House, catchup: str, made_up: int) -> None:
    house.write("flow", f'- {{cron: "30 * * * *", timezone: UTC, catchup: {catchup}}}')
    first = house.scheduling()
    house.look(first)
    first.stop()
    second = house.scheduling()

    assert house.look(second, days=3) == ["flow"] * made_up
    assert house.look(second) == []
    assert house.look(house.scheduling()) == []  # and a third one knows of it
    missed = [one for one in house.fires("flow") if one.status == "missed"]
    assert len(missed) == (catchup != "all")
    assert house.look(second, minutes=30) == ["flow"]


def test_three_days_of_sleep_of_the_machine(house: House) -> None:
    """The same without a restart: the clock is simply later."""
    house.write("flow", '- {cron: "30 * * * *", timezone: UTC, catchup: last}')
    scheduling = house.scheduling()
    house.look(scheduling)
    assert house.look(scheduling, days=3) == ["flow"]


def test_a_clock_that_is_put_back_starts_nothing_twice(house: House) -> None:
    house.write("flow", HOURLY)
    scheduling = house.scheduling()
    house.look(scheduling)
    assert house.look(scheduling, hours=1) == ["flow"]
    house.clock.put(NOON + timedelta(minutes=50))
    assert house.look(scheduling) == []
    assert house.look(scheduling, minutes=10) == []  # 13:00 again
    assert house.look(scheduling, hours=1) == ["flow"]
    house.clock.put(NOON + timedelta(minutes=30))
    after_a_restart = house.scheduling()
    assert house.look(after_a_restart) == []
    assert house.look(after_a_restart, minutes=30) == []


@pytest.mark.parametrize("start", ["spring", "autumn"])
def test_days_on_which_clocks_are_changed(house: House, start: str) -> None:
    """From midnight to midnight in Berlin, every ten minutes."""
    month, day = (3, 28) if start == "spring" else (10, 31)
    house.clock.put(NOON.replace(year=2027, month=month, day=day, hour=0) - timedelta(hours=2))
    house.write("night", '- {cron: "30 2 * * *", timezone: Europe/Berlin}')
    scheduling = house.scheduling()
    house.look(scheduling)
    for _ in range(6 * 26):
        house.look(scheduling, minutes=10)
    assert house.started == [("night", {})]


# -- files -----------------------------------------------------------------------------------------


def test_an_edit_at_the_moment_when_it_is_due(house: House) -> None:
    """The old file has what is due until the edit is read, the new one what comes after."""
    house.write("flow", HOURLY)
    scheduling = house.scheduling()
    house.look(scheduling)
    house.clock.advance(hours=1)
    house.write("flow", '- {cron: "00 */1 * * *", timezone: UTC}')  # the same, written otherwise
    scheduling.changed()
    assert house.look(scheduling) == ["flow"]
    assert house.look(scheduling) == []

    house.clock.advance(hours=1)
    house.write("flow", '- {cron: "30 * * * *", timezone: UTC}')
    scheduling.changed()
    assert house.look(scheduling) == ["flow"]
    assert house.look(scheduling, minutes=30) == ["flow"]


def test_an_edit_that_only_one_of_two_schedulers_has_read(house: House) -> None:
    house.write("flow", HOURLY, "inputs: {mode: {default: a}}")
    one, other = house.scheduling(), house.scheduling()
    house.look(one)
    house.look(other)
    edited = '- {cron: "0 * * * *", timezone: UTC, with: {mode: b}}'
    house.write("flow", edited, "inputs: {mode: {default: a}}")
    house.clock.advance(minutes=59)
    house.edited(one)
    house.clock.put(NOON + timedelta(hours=1))
    assert [*house.look(one), *house.look(other)] == ["flow"]


def test_a_broken_file_keeps_its_last_good_schedule_and_says_so(house: House) -> None:
    path = house.write("flow", HOURLY)
    good = path.read_text()
    scheduling = house.scheduling()
    house.look(scheduling)
    path.write_text(good.replace("uses", "uzes"))
    house.edited(scheduling)

    (view,) = house.timetable(scheduling).list()
    assert "flow.yaml" in view.problem
    assert 'unknown key "uzes"' in view.problem
    assert house.look(scheduling, hours=1) == ["flow"]

    restarted = house.scheduling()
    assert house.look(restarted) == []
    assert house.look(restarted, hours=1) == ["flow"]
    assert 'unknown key "uzes"' in "\n".join(house.timetable(restarted).why("flow"))

    path.write_text(good)
    house.edited(restarted)
    assert house.timetable(restarted).list()[0].problem == ""


def test_an_empty_file_is_one_that_is_being_written(house: House) -> None:
    path = house.write("flow", HOURLY)
    scheduling = house.scheduling()
    house.look(scheduling)
    path.write_text("")
    house.edited(scheduling)
    assert "empty" in house.timetable(scheduling).list()[0].problem
    path.write_text("half of a wo")
    house.edited(scheduling)
    assert "a workflow is a mapping" in house.timetable(scheduling).list()[0].problem
    assert house.look(scheduling, hours=1) == ["flow"]


def test_what_was_taken_out_of_a_file_does_not_come_back_when_it_breaks(house: House) -> None:
    path = house.write("flow", HOURLY)
    scheduling = house.scheduling()
    house.look(scheduling)
    path.write_text("name: flow\nsteps: [{id: a, uses: now}]\n")
    house.edited(scheduling)
    assert house.timetable(scheduling).list() == []
    path.write_text("no workflow at all")
    house.edited(scheduling)
    assert house.look(scheduling, hours=1) == []
    assert house.look(house.scheduling(), hours=1) == []


def test_files_come_and_go_while_it_looks(house: House) -> None:
    scheduling = house.scheduling()
    house.look(scheduling)
    path = house.write("flow", HOURLY)
    house.edited(scheduling)
    assert house.look(scheduling, hours=1) == ["flow"]
    path.unlink()
    scheduling.changed()
    house.look(scheduling)
    assert len(house.timetable(scheduling).list()) == 1  # it may be in the middle of being saved
    house.edited(scheduling)
    assert house.timetable(scheduling).list() == []
    assert house.look(scheduling, hours=1) == []


def test_a_file_that_was_never_right_starts_nothing(house: House) -> None:
    house.write("flow", "- {cron: 7 o'clock}")
    scheduling = house.scheduling()
    assert house.look(scheduling) == []
    (view,) = house.timetable(scheduling).list()
    assert "a cron has 5" in view.problem
    assert view.triggers == ()
    house.write("other", HOURLY)
    house.edited(scheduling)
    assert house.look(scheduling, hours=1) == ["other"]


def test_a_trigger_counts_from_when_it_is_first_seen(house: House) -> None:
    house.clock.advance(hours=5)
    house.write("flow", '- {at: "2026-11-28 12:30", timezone: UTC, catchup: all}')
    scheduling = house.scheduling()
    assert house.look(scheduling) == []
    assert "never due again" in "\n".join(house.timetable(scheduling).why("flow"))


# -- other workflows -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("on", "ends", "follows"),
    [
        ("success", "succeeded", True), ("success", "failed", False),
        ("failure", "failed", True), ("failure", "succeeded", False),
        ("end", "cancelled", True), ("failure", "cancelled", False),
    ],
)  # fmt: skip
def test_it_follows_another_workflow(house: House, on: str, ends: str, follows: bool) -> None:
    house.write("first", HOURLY)
    after = f'- {{after: {{workflow: first, on: {on}}}, with: {{of: "${{{{ trigger.run }}}}"}}}}'
    house.write("second", after, "inputs: {of: {}}")
    scheduling = house.scheduling()
    house.look(scheduling)
    house.ends = ends  # type: ignore[assignment]  # one of them
    house.look(scheduling, hours=1)
    assert house.look(scheduling, seconds=1) == ["second"] * follows
    assert house.look(scheduling, seconds=1) == []
    if follows:
        (fire,) = house.fires("first")
        assert house.started[-1] == ("second", {"of": fire.run})
        assert house.look(house.scheduling()) == []


def test_it_follows_what_ended_while_nobody_looked(house: House) -> None:
    house.write("first", HOURLY)
    house.write("second", "- {after: first}")
    scheduling = house.scheduling()
    house.look(scheduling)
    house.look(scheduling, hours=1)
    scheduling.stop()
    house.clock.advance(days=1, minutes=30)
    assert house.look(house.scheduling()) == ["second"]


# -- beginning -------------------------------------------------------------------------------------


def test_what_is_decided_waits_until_there_is_room(house: House) -> None:
    for number in range(3):
        house.write(f"flow{number}", HOURLY)
    scheduling = house.scheduling()
    house.look(scheduling)
    room = 2

    def refuse() -> None:
        nonlocal room
        room -= 1
        if room < 0:
            raise Busy("64 runs are at work already", seconds=5)

    house.refuse = refuse
    assert len(house.look(scheduling, hours=1)) == 2
    assert len(house.look(scheduling, seconds=1)) == 0
    room = 9
    assert len(house.look(scheduling, seconds=1)) == 1
    assert {name for name, _ in house.started} == {"flow0", "flow1", "flow2"}


def test_what_cannot_begin_says_why(house: House) -> None:
    house.write("flow", HOURLY)

    def refuse() -> None:
        raise MachineError("the model is not here")

    house.refuse = refuse
    scheduling = house.scheduling()
    house.look(scheduling)
    house.look(scheduling, hours=1)
    (fire,) = house.fires("flow")
    assert (fire.status, fire.reason) == ("refused", "the model is not here")
    assert "refused: the model is not here" in "\n".join(house.timetable(scheduling).why("flow"))
    house.refuse = lambda: None
    assert house.look(scheduling) == []


def test_what_a_dead_scheduler_has_decided_another_begins_with_the_same_id(house: House) -> None:
    house.write("flow", HOURLY)
    dead = house.scheduling()
    house.look(dead)

    class Killed(BaseException):
        pass

    def refuse() -> None:
        raise Killed

    house.refuse = refuse
    with pytest.raises(Killed):
        house.look(dead, hours=1)
    (decided,) = house.fires("flow")
    assert decided.status == "due"

    house.refuse = lambda: None
    other = house.scheduling()
    assert house.look(other) == []  # the one that decided it lives
    dead.stop()
    assert house.look(other, seconds=1) == ["flow"]
    (begun,) = house.fires("flow")
    assert (begun.run, begun.status, begun.outcome) == (decided.run, "begun", "succeeded")


def test_a_journal_that_is_away_for_a_moment_loses_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.write("flow", HOURLY)
    scheduling = house.scheduling()
    house.look(scheduling)

    def away(*_: object) -> None:
        raise MachineError("the journal is locked")

    with monkeypatch.context() as patch:
        patch.setattr(scheduling._fires, "add", away)
        with pytest.raises(MachineError):
            house.look(scheduling, hours=1)
    assert house.look(scheduling, seconds=1) == ["flow"]


def test_a_journal_that_is_away_does_not_keep_a_service_from_stopping(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduling = house.scheduling()
    house.look(scheduling)

    def away(*_: object) -> None:
        raise MachineError("the journal does not answer")

    monkeypatch.setattr(Leases, "give_back", away)
    scheduling.stop()


def test_a_run_that_does_not_happen_beside_another_one_says_so(house: House) -> None:
    rest = "concurrency: {group: g, on_conflict: skip}"
    house.write("flow", HOURLY, rest)
    with Runtime() as runtime:
        scheduling = Scheduling(runtime, Background(runtime, 9, ()).begin, house.clock)
        scheduling.look()
        place = Places(runtime.settings.home / "places").free("group g", 1, "another-run")
        assert place is not None
        house.clock.advance(hours=1)
        scheduling.look()
        while house.fires("flow")[0].outcome == "running":
            pass
        place.release()
        said = "\n".join(house.timetable(scheduling).why("flow"))
    assert "skipped: not run: another-run of the same group is at work" in said


# -- people ----------------------------------------------------------------------------------------


def test_a_pause_is_heard_of_from_another_process(house: House) -> None:
    house.write("flow", '- {cron: "0 * * * *", timezone: UTC, catchup: all}')
    house.write("after", "- {after: flow}")
    service, command = house.scheduling(), house.timetable()
    house.look(service)
    command.pause("flow")
    assert house.look(service, hours=3) == []
    assert command.list()[1].paused == NOON
    assert command.next(1) == []
    house.clock.advance(minutes=30)
    command.resume("flow")
    assert house.look(service) == []
    assert house.look(house.scheduling()) == []  # also not made up for after a restart
    assert house.look(service, minutes=30) == ["flow"]


def test_by_hand_it_is_started_by_whoever_looks_after_it(house: House) -> None:
    inputs = "inputs: {mode: {enum: [day, week], type: enum}}"
    house.write("flow", "- {every: 1d, with: {mode: day}}", inputs)
    service, command = house.scheduling(), house.timetable()
    assert not command.looked_after
    house.look(service)
    assert command.looked_after
    fire = command.trigger("flow")
    assert house.look(service) == ["flow"]
    command.trigger("flow", {"mode": "week"})
    house.look(service)
    assert house.started == [("flow", {"mode": "day"}), ("flow", {"mode": "week"})]
    with Runtime() as runtime:
        assert runtime.journal.run(fire.run).status == "succeeded"
    with pytest.raises(InvalidInput, match="not one of"):
        command.trigger("flow", {"mode": "month"})
    with pytest.raises(UnknownName, match='did you mean "flow"'):
        command.trigger("flaw")


def test_what_is_forgotten_of_runs_is_not_begun_again(house: House) -> None:
    house.write("flow", HOURLY)
    scheduling = house.scheduling()
    house.look(scheduling)
    house.look(scheduling, hours=1)
    (fire,) = house.fires("flow")
    with Runtime() as runtime:
        runtime.journal.remove([fire.run])
    assert house.look(scheduling) == []
    assert house.look(house.scheduling()) == []
