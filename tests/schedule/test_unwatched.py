"""What people complain about in schedules of other agents; the names end with the issue."""

from __future__ import annotations

from datetime import UTC, datetime

from agentkit.runtime import Runtime

from .conftest import House

HOURLY = '- {cron: "0 * * * *", timezone: UTC}'


def test_it_begins_at_the_time_of_its_own_zone_and_its_run_can_be_looked_at_goose_5045_6405(
    house: House,
) -> None:
    """Of 6405 no more is known than that it is one of those about schedules."""
    house.write("flow", '- {cron: "30 8 * * *", timezone: America/New_York}')
    scheduling = house.scheduling()

    assert house.look(scheduling) == []  # it is noon in UTC
    assert house.look(scheduling, hours=1, minutes=29) == []
    assert house.look(scheduling, minutes=1) == ["flow"]

    (fire,) = house.fires("flow")
    assert fire.time == datetime(2026, 11, 28, 13, 30, tzinfo=UTC)
    assert fire.run is not None
    with Runtime() as runtime:
        assert runtime.journal.run(fire.run).status == "succeeded"


def test_a_file_that_goes_while_the_scheduler_lives_does_not_fail_for_ever_goose_11164(
    house: House,
) -> None:
    path = house.write("flow", HOURLY)
    text = path.read_text()
    scheduling = house.scheduling()
    house.look(scheduling)

    path.unlink()
    scheduling.changed()
    assert house.look(scheduling, hours=1) == ["flow"]  # as it was read, at the very moment
    house.edited(scheduling)
    assert house.look(scheduling, hours=3) == []
    assert house.timetable(scheduling).list() == []
    assert {fire.status for fire in house.fires("flow")} == {"begun"}

    path.write_text(text)
    house.edited(scheduling)
    assert house.look(scheduling, hours=1) == ["flow"]


def test_an_edit_counts_and_there_is_no_copy_that_could_go_goose_11164(house: House) -> None:
    path = house.write("flow", HOURLY)
    scheduling = house.scheduling()
    house.look(scheduling)

    path.write_text(path.read_text().replace("0 * * * *", "30 * * * *"))
    house.edited(scheduling)

    assert house.look(scheduling, minutes=29) == []
    assert house.look(scheduling, minutes=1) == ["flow"]
    assert [*house.home.rglob("flow*.yaml")] == [path]
