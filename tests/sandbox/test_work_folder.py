"""What a program leaves in its folder: results stay, traps do not."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, ToolError
from agentkit.jobs import Job
from agentkit.sandbox import BubblewrapSandbox
from agentkit.sandbox.tree import DEEPEST
from agentkit.sandbox.work import lent

from .runner import Runner

TRAPS: dict[str, tuple[str, tuple[str, ...]]] = {
    "a link to a file of the host": ("os.symlink('/etc/hostname', 'x')", ("x",)),
    "a link to the folder itself, as it is inside": ("os.symlink('/work/y', 'x')", ("x",)),
    "a link that climbs": ("os.symlink('../../../etc/hostname', 'x')", ("x",)),
    "a link that climbs out and in again": ("os.symlink('../work/y', 'x')", ("x",)),
    "a link that climbs by another": (
        "os.makedirs('a/b')\nos.symlink('.', 'a/b/c')\nos.symlink('a/b/c/../../../..', 'x')",
        ("x",),
    ),
    "a link in a folder that is closed": (
        "os.mkdir('d')\nos.symlink('/etc', 'd/x')\nos.chmod('d', 0)",
        ("d/x",),
    ),
    "a pipe": ("os.mkfifo('x')", ("x",)),
    "a socket": ("socket.socket(socket.AF_UNIX).bind('x')", ("x",)),
    "folders without end": (
        "for _ in range(1500): os.mkdir('d'); os.chdir('d')",
        ("/".join(["d"] * DEEPEST),),
    ),
    "folders without end that are closed": (
        "os.mkdir('top'); top = os.open('top', os.O_RDONLY)\n"
        "for _ in range(200): os.mkdir('d'); os.chdir('d')\n"
        "for _ in range(200): os.chdir('..'); os.chmod('d', 0)",
        ("/".join(["d"] * DEEPEST),),
    ),
}


@pytest.mark.parametrize("what", TRAPS)
def test_a_trap_is_removed(runner: Runner, what: str) -> None:
    program, gone = TRAPS[what]
    work = runner.new_folder()

    result = runner.python("import os, socket\n" + program, work=work)

    assert result.stderr == b""
    assert result.removed == gone
    assert not any(os.path.lexists(work / path) for path in gone)


KEPT = {
    "a link to a file beside it": "open('y', 'w').close()\nos.symlink('y', 'x')",
    "a link up, within the folder": "os.mkdir('d')\nos.symlink('../d', 'd/x')",
    "a link to nothing": "os.symlink('nothing', 'x')",
    "a link to itself": "os.symlink('x', 'x')",
}


@pytest.mark.parametrize("what", KEPT)
def test_a_link_within_the_folder_stays(runner: Runner, what: str) -> None:
    work = runner.new_folder()

    result = runner.python("import os\n" + KEPT[what], work=work)

    assert result.removed == ()
    assert [path.name for path in work.rglob("*") if path.is_symlink()] == ["x"]


def test_files_that_are_new_or_changed_are_told(runner: Runner) -> None:
    work = runner.new_folder()
    for name in ("same", "touched", "written", "removed", "moved"):
        runner.write(work / name, "before")
    program = (
        "import os\nopen('written', 'w').write('before')\nos.utime('touched')\n"
        "os.remove('removed')\nos.rename('moved', 'here')\nos.makedirs('a/b')\n"
        "open('a/b/new', 'w').close()\nopen('same').read()"
    )

    result = runner.python(program, work=work)

    assert result.changed == ("a/b/new", "here", "touched", "written")


NAMES = [" ", "-rf", "a\nb", "a\tb", "\x1b[31mred", "ä", "名前", "a'b\"c", "$(reboot)", "*",
         "x" * 255, "\udcff"]  # fmt: skip


def test_any_name_that_a_file_can_have(runner: Runner) -> None:
    """One that is not even text comes back as Python has such names."""
    work = runner.new_folder()

    result = runner.python(
        "import os, sys, json\nfor name in json.load(sys.stdin): open(name, 'w').write('x')",
        work=work,
        stdin=json.dumps(NAMES).encode(),
    )

    assert result.changed == tuple(sorted(NAMES))
    assert all((work / name).read_text() == "x" for name in result.changed)


def test_results_can_be_read_whatever_their_permissions(runner: Runner) -> None:
    work = runner.new_folder()
    program = (
        "import os\nos.mkdir('d')\nopen('d/x', 'w').write('result')\n"
        "os.chmod('d/x', 0)\nos.chmod('d', 0)\nos.chmod('.', 0)"
    )
    before = work.stat().st_mode

    result = runner.python(program, work=work)

    assert result.changed == ("d/x",)
    assert work.stat().st_mode == before
    assert stat.S_IMODE((work / "d").stat().st_mode) == 0o700
    assert stat.S_IMODE((work / "d/x").stat().st_mode) == 0o600
    assert (work / "d/x").read_text() == "result"


def test_what_a_program_makes_belongs_to_who_ran_it(runner: Runner) -> None:
    work = runner.new_folder()

    runner.run("sh", "-c", "mkdir -p a/b; echo 1 > a/b/c; ln a/b/c a/d; ln -s d a/e", work=work)

    for path in (work, *work.rglob("*")):
        assert path.lstat().st_uid == path.lstat().st_gid == runner.uid


def test_a_link_of_the_users_own_stays(runner: Runner) -> None:
    """It was there before, and it still is: nobody's trap.  Inside it leads nowhere."""
    work = runner.new_folder()
    (work / "data").symlink_to(runner.secret)

    result = runner.run("cat", "data", work=work)

    assert (result.exit_code, result.removed) == (1, ())
    assert (work / "data").readlink() == runner.secret


@pytest.mark.parametrize(
    "program",
    [
        "os.remove('data'); os.symlink('/etc', 'data')",
        "os.rename('data', 'other')",
        "os.symlink('data/hostname', 'x')",
    ],
)
def test_a_link_of_the_users_own_is_not_misused(runner: Runner, program: str) -> None:
    work = runner.new_folder()
    (work / "data").symlink_to(runner.folder)

    result = runner.python("import os\n" + program, work=work)

    assert len(result.removed) == 1


@pytest.mark.parametrize("place", ["/", "/tmp", "/etc", "~"])
def test_some_folders_are_not_lent(place: str) -> None:
    job = Job(("true",), Path(place).expanduser())

    with pytest.raises(ToolError, match=r"give them a folder of their own"):
        BubblewrapSandbox().run(job)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="cannot be worked in: No such file or directory"):
        BubblewrapSandbox().run(Job(("true",), tmp_path / "nothing"))


def test_a_folder_that_goes_too_deep_is_not_lent(tmp_path: Path) -> None:
    (tmp_path / "/".join(["d"] * (DEEPEST + 1))).mkdir(parents=True)

    with pytest.raises(ToolError, match="64 folders within folders"):
        BubblewrapSandbox().run(Job(("true",), tmp_path))
    assert (tmp_path / "/".join(["d"] * (DEEPEST + 1))).exists()


def test_programs_work_in_a_folder_one_after_the_other(tmp_path: Path) -> None:
    add = (
        "n = int(open('n').read()); import time; time.sleep(0.1); open('n', 'w').write(str(n + 1))"
    )
    (tmp_path / "n").write_text("0")

    in_threads(4, lambda: BubblewrapSandbox().run(Job(("python3", "-S", "-c", add), tmp_path)))

    assert (tmp_path / "n").read_text() == "4"


def test_programs_in_folders_of_their_own_run_at_the_same_time(tmp_path: Path) -> None:
    """Each waits for a file that appears when all have begun."""
    folders = [tmp_path / str(number) for number in range(3)]
    for folder in folders:
        folder.mkdir()
    wait = "open('begun', 'w'); import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)"
    results = []
    threads = [
        threading.Thread(
            target=lambda folder=folder: results.append(
                BubblewrapSandbox().run(Job(("python3", "-S", "-c", wait), folder))
            )
        )
        for folder in folders
    ]
    for thread in threads:
        thread.start()
    while not all((folder / "begun").exists() for folder in folders):
        assert any(thread.is_alive() for thread in threads)
    for folder in folders:
        (folder / "go").touch()
    for thread in threads:
        thread.join()

    assert [result.exit_code for result in results] == [0, 0, 0]


def test_who_waits_for_a_folder_can_be_cancelled(tmp_path: Path) -> None:
    cancel = CancelToken()

    with lent(tmp_path, CancelToken()):
        threading.Timer(0.1, cancel.cancel).start()
        result = BubblewrapSandbox().run(Job(("true",), tmp_path), cancel)

    assert (result.stopped, result.exit_code) == ("cancelled", -9)


def test_one_that_is_cancelled_before_it_begins_does_not(tmp_path: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()

    result = BubblewrapSandbox().run(Job(("touch", "x"), tmp_path), cancel)

    assert result.stopped == "cancelled"
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_not_kept(tmp_path: Path) -> None:
    cancel = CancelToken()
    with lent(tmp_path, cancel):
        cancel.cancel()
        with pytest.raises(Cancelled), lent(tmp_path, cancel):
            pytest.fail("it was lent twice")
    with lent(tmp_path, CancelToken()):
        pass


def in_threads(count: int, what: Callable[[], object]) -> None:
    threads = [threading.Thread(target=what) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
