"""A program that works in a copy: what it did comes back, and costs nobody else what they did."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agentkit.cancel import CancelToken
from agentkit.jobs import Apart, Job, JobResult
from agentkit.sandbox import BubblewrapSandbox, NoSandbox, apart, merge
from agentkit.sandbox.apart import clear, copied
from agentkit.sandbox.work import lent

from .runner import Runner

BEFORE = {"a": "a", "b": "b", "d/x": "x", "d/y": "y"}
"""Files of the folder, when the copy is taken."""


@dataclass
class Desk:
    """A folder to work in, a place for copies, and a gate that programs wait for."""

    runner: Runner
    work: Path = field(init=False)
    place: Path = field(init=False)
    gate: Path = field(init=False)

    def __post_init__(self) -> None:
        self.work, self.place, self.gate = (self.runner.new_folder() for _ in range(3))
        (self.work / "d").mkdir()
        self.runner.own(self.work / "d")
        for name, text in BEFORE.items():
            self.runner.write(self.work / name, text)
        (self.work / "link").symlink_to("a")
        self.runner.own(self.work / "link")

    def beside(self, script: str, meanwhile: Callable[[Path], object]) -> JobResult:
        """Run a script, and do something in the folder when its copy has been taken."""
        wait = f"until [ -e /inputs/gate/go ]; do sleep 0.01; done\n{script}"
        self.runner.send(
            "sh", "-c", f"touch begun; {wait}; rm begun",
            work=self.work, inputs={"gate": self.gate}, apart=self.place,
        )  # fmt: skip
        while not list(self.place.glob("*/work/begun")):
            time.sleep(0.01)
        meanwhile(self.work)
        (self.gate / "go").touch()
        return self.runner.receive()

    def files(self) -> dict[str, str]:
        """What is in the folder now; folders end with `/`."""
        found = {}
        for path in self.work.rglob("*"):
            name = str(path.relative_to(self.work))
            if path.is_symlink():
                found[name] = f"-> {path.readlink()}"
            elif path.is_dir():
                found[f"{name}/"] = ""
            else:
                found[name] = path.read_text().rstrip()
        return found


@pytest.fixture
def desk(runner: Runner) -> Desk:
    return Desk(runner)


SAME = {**BEFORE, "d/": "", "link": "-> a"}

DONE: dict[str, tuple[str, dict[str, str], set[str]]] = {
    "nothing": ("cat a", {}, set()),
    "a file made": ("echo new > n", {"n": "new"}, set()),
    "a file changed": ("echo new > a", {"a": "new"}, set()),
    "a file gone": ("rm a", {}, {"a"}),
    "a file moved": ("mv a e", {"e": "a"}, {"a"}),
    "folders made": ("mkdir -p p/q; echo 1 > p/q/r", {"p/": "", "p/q/": "", "p/q/r": "1"}, set()),
    "a folder gone": ("rm -r d", {}, {"d/", "d/x", "d/y"}),
    "a folder moved": ("mv d e", {"e/": "", "e/x": "x", "e/y": "y"}, {"d/", "d/x", "d/y"}),
    "a file where a folder was": ("rm -r d; echo f > d", {"d": "f"}, {"d/", "d/x", "d/y"}),
    "a folder where a file was": ("rm a; mkdir a; echo f > a/f", {"a/": "", "a/f": "f"}, {"a"}),
    "a link made": ("ln -s d/x l", {"l": "-> d/x"}, set()),
    "a link changed": ("ln -sf b link", {"link": "-> b"}, set()),
    "a file where a link was": ("rm link; echo f > link", {"link": "f"}, set()),
    "a failure": ("echo new > a; false", {"a": "new"}, set()),
}
"""A script, what is in the folder then and was not or was other, and what is not any more."""


@pytest.mark.parametrize("what", DONE)
def test_what_a_program_did_in_its_copy_is_done_in_the_folder(desk: Desk, what: str) -> None:
    script, new, gone = DONE[what]

    result = desk.runner.run("sh", "-ec", script, work=desk.work, apart=desk.place)

    assert result.exit_code == (1 if what == "a failure" else 0), result.stderr
    assert (result.conflicts, result.alone) == ({}, "")
    assert desk.files() == {
        name: text for name, text in {**SAME, **new}.items() if name not in gone
    }
    assert {path.lstat().st_uid for path in desk.work.rglob("*")} == {desk.runner.uid}
    assert list(desk.place.iterdir()) == []


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda work: (work / name).write_text(text)


def drop(name: str) -> Callable[[Path], object]:
    return lambda work: (work / name).unlink()


def replaced(folder: Path) -> None:
    """A folder by a file."""
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("f")


def led_out(work: Path) -> None:
    replaced(work / "d")
    (work / "d").unlink()
    (work / "d").symlink_to("/tmp")


BOTH: dict[str, tuple[str, Callable[[Path], object], tuple[str, ...]]] = {
    "different files": ("echo 1 > a", write("b", "2"), ()),
    "new files of one folder": ("echo 1 > d/1", write("d/2", "2"), ()),
    "the same file": ("echo 1 > a", write("a", "2"), ("a",)),
    "the same new file": ("echo 1 > n", write("n", "2"), ("n",)),
    "the same new file in the same words": ("printf 1 > n", write("n", "1"), ()),
    "the same file in the same words": ("printf 1 > a", write("a", "1"), ()),
    "a file, and whether it can be executed": ("printf 1 > n; chmod +x n", write("n", "1"), ("n",)),
    "one changed what the other removed": ("echo 1 > a", drop("a"), ("a",)),
    "one removed what the other changed": ("rm a", write("a", "2"), ("a",)),
    "both removed it": ("rm a", drop("a"), ()),
    "a folder of which one is still used": ("rm -r d", write("d/z", "z"), ()),
    "a folder in which one was changed": ("rm -r d", write("d/x", "z"), ("d/x",)),
    "a file for a folder with more in it": ("rm -r d; echo f > d", write("d/z", "z"), ("d",)),
    "a file in a folder that is none": ("echo 1 > d/1", lambda w: replaced(w / "d"), ("d/1",)),
    "a file in a folder that is a link": ("echo 1 > d/1", led_out, ("d/1",)),
    "several": ("echo 1 > a; echo 1 > b; echo 1 > n", lambda w: (drop("a")(w), write("n", "")(w)),
                ("a", "n")),
}  # fmt: skip
"""What the program does, what somebody else does meanwhile, and the conflicts."""


@pytest.mark.parametrize("what", BOTH)
def test_what_another_one_did_meanwhile_is_not_lost(desk: Desk, what: str) -> None:
    script, meanwhile, conflicts = BOTH[what]
    found: dict[str, str] = {}

    result = desk.beside(script, lambda work: (meanwhile(work), found.update(desk.files())))

    assert (result.exit_code, result.stderr) == (0, b"")
    assert tuple(result.conflicts) == conflicts
    if conflicts:
        assert result.changed == ()
        assert desk.files() == found
    assert list(desk.place.iterdir()) == []


def test_traps_do_not_come_back(desk: Desk) -> None:
    script = "ln -s /etc/hostname out; mkfifo pipe; ln -s ../.. d/up; echo 1 > n"

    result = desk.runner.run("sh", "-ec", script, work=desk.work, apart=desk.place)

    assert result.removed == ("d/up", "out", "pipe")
    assert desk.files() == {**SAME, "n": "1"}


def test_a_program_finds_the_paths_times_and_rights_of_the_folder(desk: Desk) -> None:
    (desk.work / "a").chmod(0o750)
    os.utime(desk.work / "a", ns=(1, 1_000_000_000))

    result = desk.runner.run(
        "sh", "-c", "pwd; stat -c '%a %Y' a; readlink link", work=desk.work, apart=desk.place
    )

    assert result.stdout == b"/work\n750 1\na\n"


def test_what_is_too_deep_or_closed_is_as_without_a_copy(desk: Desk) -> None:
    script = "mkdir c; echo r > c/r; chmod 0 c/r c; chmod 0 ."

    result = desk.runner.run("sh", "-ec", script, work=desk.work, apart=desk.place)

    assert result.changed == ("c/r",)
    assert stat.S_IMODE((desk.work / "c").stat().st_mode) == 0o700
    assert desk.files() == {**SAME, "c/": "", "c/r": "r"}


@pytest.mark.parametrize(("name", "most"), [("LARGEST", 3), ("MOST", 4), ("LEAST_FREE", 1 << 62)])
def test_a_folder_that_is_too_large_is_worked_in_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for number in range(5):
        (work / str(number)).write_text("x")
    monkeypatch.setattr(apart, name, most)

    result = run(work, "touch n", tmp_path / "place")

    assert result.alone.split()[0] == ("the" if name == "LEAST_FREE" else "it")
    assert result.changed == ("n",)


def test_a_place_in_the_folder_itself(tmp_path: Path) -> None:
    result = run(tmp_path, "touch n", tmp_path / "place")

    assert result.alone == "the copies would lie in the folder itself"
    assert [path.name for path in tmp_path.iterdir()] == ["n"]


@pytest.mark.skipif(os.geteuid() != 0, reason="others may read what they may read")
def test_a_file_of_roots_that_has_another_name_is_not_shown_to_its_program(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "work/s").hardlink_to(tmp_path / "secret")

    result = run(tmp_path / "work", "cat s", tmp_path / "place")

    assert (result.exit_code, result.stdout) == (1, b"")
    assert result.alone == "s has another name elsewhere"


def test_without_a_sandbox_there_is_no_copy(tmp_path: Path) -> None:
    job = Job(("touch", "n"), tmp_path, apart=Apart(tmp_path.with_name("place"), "it"))

    assert NoSandbox().run(job).alone == "without a sandbox a program cannot be shown a copy"
    assert (tmp_path / "n").exists()


def test_files_from_another_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str, **folders: int) -> None:
        if source == target:  # as a merge does it
            raise OSError(errno.EXDEV, "another disk")
        move(source, target, **folders)

    move = os.rename
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / merge.PART).write_text("of a process that died")
    monkeypatch.setattr(os, "rename", refuse)

    result = run(tmp_path / "work", "echo 1 > n; chmod 700 n; ln -s n l", tmp_path / "place")

    assert result.exit_code == 0
    assert {path.name for path in (tmp_path / "work").iterdir()} == {"n", "l"}
    assert (tmp_path / "work/l").read_text() == "1\n"
    assert stat.S_IMODE((tmp_path / "work/n").stat().st_mode) == 0o700


def test_one_that_is_cancelled_brings_back_what_it_has(tmp_path: Path) -> None:
    """As it would have left it in the folder."""
    (tmp_path / "work").mkdir()
    place = tmp_path / "place"

    class Seen(CancelToken):
        @property
        def cancelled(self) -> bool:
            return bool(list(place.glob("*/work/n")))

    result = run(tmp_path / "work", "touch n; sleep 60", place, Seen())

    assert result.stopped == "cancelled"
    assert result.changed == ("n",)
    assert (tmp_path / "work/n").exists()


def test_what_a_dead_process_left_is_thrown_away_and_what_is_at_work_is_not(tmp_path: Path) -> None:
    work, place = tmp_path / "work", tmp_path / "place"
    work.mkdir()
    (place / "dead/work/d").mkdir(parents=True)

    with copied(work, place, CancelToken()) as copy:
        clear(place)
        assert [path.name for path in place.iterdir()] == [copy.path.parent.name]
    clear(place)

    assert not place.exists()
    clear(place)


def test_copies_are_taken_beside_each_other_and_not_while_a_program_works(tmp_path: Path) -> None:
    work, place, tired = tmp_path / "work", tmp_path / "place", CancelToken()
    work.mkdir()
    tired.cancel()
    with lent(work, CancelToken(), to_read=True), copied(work, place, CancelToken()):
        pass
    with lent(work, CancelToken()):
        result = run(work, "true", place, tired)

    assert result.stopped == "cancelled"


def run(work: Path, script: str, place: Path, cancel: CancelToken | None = None) -> JobResult:
    job = Job(("sh", "-ec", script), work, apart=Apart(place, "it"))
    return BubblewrapSandbox().run(job, cancel)
