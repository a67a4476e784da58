"""Files that arrive: many at once, still being written, renamed, gone, links, unseen."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentkit.errors import Busy, ToolError
from agentkit.runtime import Runtime, Scheduling
from agentkit.schedule.files import Found, Settling, Watcher, look

from .conftest import House

WATCH = """\
- watch: {{folder: {folder}, pattern: "{pattern}", settle: 2s}}
  with: {{file: "${{{{ trigger.file }}}}"}}
"""
INPUTS = "inputs: {file: {type: file}}"


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    return tmp_path / "inbox"


def watching(house: House, inbox: Path, pattern: str = "*.txt") -> None:
    house.write("read", WATCH.format(folder=inbox, pattern=pattern), INPUTS)


def taken(house: House) -> list[str]:
    """The names of the files that started a run."""
    return [Path(given["file"]).name for _, given in house.started]


def settle(house: House, scheduling: object) -> None:
    """Time in which nothing changes."""
    for _ in range(3):
        scheduling.changed()  # type: ignore[attr-defined]  # as the system would
        house.look(scheduling, seconds=1.5)  # type: ignore[arg-type]


def test_a_thousand_files_at_once_each_start_one_run(house: House, inbox: Path) -> None:
    watching(house, inbox)
    scheduling = house.scheduling()
    house.look(scheduling)
    names = {f"{number:04}.txt" for number in range(1000)}
    for name in names:
        (inbox / name).write_text("x")
    room = 300

    def refuse() -> None:
        nonlocal room
        room -= 1
        if room < 0:
            raise Busy("as many runs are at work as may be", seconds=5)

    house.refuse = refuse
    for _ in range(8):
        settle(house, scheduling)
        room = 300
    assert len(house.started) == 1000
    assert set(taken(house)) == names
    settle(house, house.scheduling())
    assert len(house.started) == 1000


def test_what_lay_there_before_has_not_arrived(house: House, inbox: Path) -> None:
    (inbox / "old.txt").write_text("x")
    watching(house, inbox)
    scheduling = house.scheduling()
    house.look(scheduling)
    (inbox / "new.txt").write_text("x")
    settle(house, scheduling)
    assert taken(house) == ["new.txt"]


def test_unless_the_file_says_so(house: House, inbox: Path) -> None:
    (inbox / "old.txt").write_text("x")
    triggers = WATCH.format(folder=inbox, pattern="*.txt").replace(
        "settle", "existing: true, settle"
    )
    house.write("read", triggers, INPUTS)
    settle(house, house.scheduling())
    assert taken(house) == ["old.txt"]


def test_what_arrives_while_nobody_looks_is_found(house: House, inbox: Path) -> None:
    watching(house, inbox)
    first = house.scheduling()
    house.look(first)
    (inbox / "a.txt").write_text("x")
    settle(house, first)
    first.stop()
    (inbox / "b.txt").write_text("x")
    house.clock.advance(days=3)
    second = house.scheduling()
    settle(house, second)
    assert taken(house) == ["a.txt", "b.txt"]


def test_what_arrives_during_a_pause_waits(house: House, inbox: Path) -> None:
    watching(house, inbox)
    scheduling = house.scheduling()
    house.look(scheduling)
    house.timetable(scheduling).pause("read")
    (inbox / "a.txt").write_text("x")
    settle(house, scheduling)
    assert taken(house) == []
    house.timetable(scheduling).resume("read")
    settle(house, scheduling)
    assert taken(house) == ["a.txt"]


def test_a_file_that_is_still_written_waits_until_it_rests(house: House, inbox: Path) -> None:
    watching(house, inbox)
    scheduling = house.scheduling()
    house.look(scheduling)
    with (inbox / "long.txt").open("w") as file:
        for _ in range(5):
            file.write("more\n")
            file.flush()
            scheduling.changed()
            assert house.look(scheduling, seconds=1.9) == []
    settle(house, scheduling)
    assert taken(house) == ["long.txt"]


def test_one_that_is_renamed_has_not_arrived_anew_and_one_that_changes_has(
    house: House, inbox: Path
) -> None:
    watching(house, inbox)
    scheduling = house.scheduling()
    house.look(scheduling)
    (inbox / "x.part").write_text("x")
    settle(house, scheduling)
    assert taken(house) == []
    (inbox / "x.part").rename(inbox / "x.txt")
    settle(house, scheduling)
    (inbox / "x.txt").rename(inbox / "y.txt")
    settle(house, scheduling)
    assert taken(house) == ["x.txt"]
    (inbox / "y.txt").write_text("other")
    settle(house, scheduling)
    assert taken(house) == ["x.txt", "y.txt"]


def test_one_that_goes_before_it_rests_starts_nothing(house: House, inbox: Path) -> None:
    watching(house, inbox)
    scheduling = house.scheduling()
    house.look(scheduling)
    (inbox / "gone.txt").write_text("x")
    scheduling.changed()
    house.look(scheduling)
    (inbox / "gone.txt").unlink()
    settle(house, scheduling)
    assert house.fires("read") == []


def test_one_that_goes_before_its_run_begins_is_told_of(house: House, inbox: Path) -> None:
    watching(house, inbox)
    scheduling = house.scheduling()
    house.look(scheduling)
    (inbox / "a.txt").write_text("x")

    def refuse() -> None:
        raise Busy("as many runs are at work as may be", seconds=5)

    house.refuse = refuse
    settle(house, scheduling)
    (inbox / "secret").write_text("x")
    (inbox / "a.txt").unlink()
    (inbox / "a.txt").symlink_to(inbox / "secret")
    house.refuse = lambda: None
    settle(house, scheduling)
    (fire,) = house.fires("read")
    assert fire.status == "refused"
    assert "does not lie there any more as it arrived" in fire.reason


def test_links_lead_nowhere_and_loops_end(house: House, inbox: Path, tmp_path: Path) -> None:
    watching(house, inbox, "**/*.txt")
    scheduling = house.scheduling()
    house.look(scheduling)
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "key.txt").write_text("x")
    (inbox / "deep" / "er").mkdir(parents=True)
    (inbox / "deep" / "er" / "real.txt").write_text("x")
    (inbox / "deep" / "loop").symlink_to(inbox)
    (inbox / "elsewhere").symlink_to(tmp_path / "private")
    (inbox / "link.txt").symlink_to(tmp_path / "private" / "key.txt")
    (inbox / "self.txt").symlink_to("self.txt")
    (inbox / ".hidden.txt").write_text("x")
    (inbox / "folder.txt").mkdir()
    settle(house, scheduling)
    assert taken(house) == ["real.txt"]


def test_names_that_are_no_text_stop_nothing(house: House, inbox: Path) -> None:
    watching(house, inbox)
    scheduling = house.scheduling()
    house.look(scheduling)
    with open(os.fsencode(inbox) + b"/\xff.txt", "w"):  # noqa: PTH123  a path is no bytes
        pass
    (inbox / "a\nb ${{ inputs.x }}.txt").write_text("x")
    settle(house, scheduling)
    assert "a\nb ${{ inputs.x }}.txt" in taken(house)
    assert len(house.fires("read")) == 2


def test_a_folder_that_is_not_there_yet(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "later"
    watching(house, folder)
    scheduling = house.scheduling()
    house.look(scheduling)
    assert house.timetable(scheduling).list()[0].problem == f"there is no folder {folder}"
    folder.mkdir()
    (folder / "a.txt").write_text("x")
    settle(house, scheduling)
    assert taken(house) == ["a.txt"]


def test_the_run_may_read_the_file_and_nothing_else(
    isolated_home: Path, inbox: Path, house: House
) -> None:
    """What YAML names beside it nobody has handed over, also when the run goes on."""
    (inbox / "a.txt").write_text("hello")
    (inbox / "b.txt").write_text("other")
    step = "{{id: a, uses: read_file, with: {{path: '${{{{ inputs.{0} }}}}'}}}}"
    triggers = f"""\
- watch: {{folder: {inbox}, pattern: "a.txt", settle: 1ms, existing: true}}
  with: {{file: "${{{{ trigger.file }}}}", other: {inbox}/b.txt}}
"""
    path = house.write("read", triggers)
    path.write_text(
        f"name: read\ntriggers:\n{triggers}\n"
        "inputs: {file: {type: file}, other: {type: file}}\n"
        "permissions: {}\n"
        f"steps: [{step.format('file')}, {step.format('other').replace('id: a', 'id: b')}]\n"
    )
    (isolated_home / "settings.yaml").write_text("permissions: {unattended: {otherwise: deny}}\n")
    with Runtime() as runtime:

        def start(*run: object, **how: object) -> None:
            with pytest.raises(Exception, match="step 'b' failed") as caught:
                runtime.run(*run, **how)  # type: ignore[arg-type]
            assert isinstance(caught.value.cause, ToolError)  # type: ignore[attr-defined]

        scheduling = Scheduling(runtime, start, house.clock)
        settle(house, scheduling)
        run = runtime.journal.run("last")
        steps = {step.step: step.status for step in runtime.journal.steps(run.id)}
        assert steps == {"a": "succeeded", "b": "failed"}


# -- the parts -------------------------------------------------------------------------------------


def test_settling_is_by_a_clock_that_nobody_sets() -> None:
    settling, one = Settling(2.0), Found(Path("a"), 1, 1, 1)
    grown = Found(Path("a"), 2, 1, 1)
    assert settling.settled([one], 10.0) == []
    assert settling.settled([grown], 13.0) == []
    assert settling.settled([grown], 15.0) == [grown]
    assert settling.settled([], 16.0) == []
    assert not settling.waiting


@pytest.fixture
def changes() -> Iterator[tuple[Watcher, threading.Event]]:
    heard = threading.Event()
    watcher = Watcher(heard.set)
    yield watcher, heard
    watcher.stop()


def test_the_system_says_that_something_has_changed(
    changes: tuple[Watcher, threading.Event], tmp_path: Path
) -> None:
    """Also in a folder with a link that leads back to it."""
    watcher, heard = changes
    flat, deep = tmp_path / "flat", tmp_path / "deep"
    (deep / "inner").mkdir(parents=True)
    flat.mkdir()
    (deep / "inner" / "loop").symlink_to(deep)
    watcher.watch({flat: False, deep: True, tmp_path / "nowhere": False})
    for path in (flat / "a", deep / "inner" / "b"):
        for _ in range(100):  # until it has begun to watch
            path.write_text(str(_))
            if heard.wait(0.2):
                break
        assert heard.is_set(), path
        heard.clear()


def test_ten_thousand_files_are_looked_at(inbox: Path) -> None:
    for number in range(10_000):
        (inbox / f"{number}.txt").touch()
    assert len(list(look(inbox, "*.txt"))) == 10_000
