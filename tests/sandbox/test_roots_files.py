"""Root's programs are not root: files are handed to them, and belong to who had them afterwards."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from agentkit.errors import MachineError
from agentkit.jobs import Apart, Job, JobResult
from agentkit.sandbox import BubblewrapSandbox, identity

from .runner import SOMEBODY

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="what root does can be tried by root only"
)

LEASED = identity.NUMBERS[0][0]


def is_leased(number: int) -> bool:
    return identity.is_like(number, LEASED)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir(mode=0o700)
    return folder


def run(
    work: Path,
    script: str,
    inputs: Mapping[str, Path] | None = None,
    environment: Mapping[str, str] | None = None,
) -> JobResult:
    job = Job(("sh", "-c", script), work, inputs or {}, environment=environment or {})
    return BubblewrapSandbox().run(job)


def owner(path: Path) -> tuple[int, int]:
    return (path.lstat().st_uid, path.lstat().st_gid)


def test_the_program_is_somebody_who_owns_the_folder(work: Path) -> None:
    (work / "mine").write_text("before")

    result = run(work, "id -u; stat -c %u . mine; echo after > mine")

    who, *owners = map(int, result.stdout.split())
    assert is_leased(who)
    assert owners == [who, who]
    assert (work / "mine").read_text() == "after\n"


def test_afterwards_everything_belongs_to_who_had_it(work: Path) -> None:
    (work / "a").mkdir()
    for name in ("mine", "a/others", "a/changed"):
        (work / name).write_text("before")
    for name in ("a/others", "a/changed"):
        os.chown(work / name, SOMEBODY, SOMEBODY + 1)

    run(work, "echo x >> a/changed; mkdir b; echo x > b/new; ln a/others a/again; ln -s new b/link")

    assert owner(work / "a/others") == owner(work / "a/changed") == (SOMEBODY, SOMEBODY + 1)
    assert owner(work / "a/again") == (SOMEBODY, SOMEBODY + 1)
    for name in ("", "mine", "a", "b", "b/new", "b/link"):
        assert owner(work / name) == (0, 0)


def test_what_a_program_brings_back_from_a_copy_belongs_to_who_had_it(work: Path) -> None:
    os.chown(work, SOMEBODY, SOMEBODY + 1)
    for name in ("mine", "others", "same"):
        (work / name).write_text("before")
    os.chown(work / "others", SOMEBODY + 2, SOMEBODY + 2)
    script = "echo x > mine; echo x > others; mkdir -p d/e; echo x > d/e/new; ln -s new d/e/link"

    result = BubblewrapSandbox().run(
        Job(("sh", "-c", script), work, apart=Apart(work.with_name("place"), "it"))
    )

    assert (result.exit_code, result.alone) == (0, "")
    assert owner(work / "mine") == owner(work / "same") == (0, 0)
    assert owner(work / "others") == (SOMEBODY + 2, SOMEBODY + 2)
    for name in ("", "d", "d/e", "d/e/new", "d/e/link"):
        assert owner(work / name) == (SOMEBODY, SOMEBODY + 1)


def test_a_file_that_lies_elsewhere_too_is_not_handed_over(work: Path, tmp_path: Path) -> None:
    """Whoever can write to the folder could have put a name of `/etc/shadow` there."""
    private = tmp_path / "private"
    private.write_text("secret")
    private.chmod(0o600)
    os.link(private, work / "alias")

    result = run(work, "stat -c %u alias; cat alias; echo x >> alias; chmod 666 alias")

    assert result.stdout == b"0\n"
    assert result.stderr.count(b"Permission denied") == 2
    assert b"Operation not permitted" in result.stderr
    assert (private.read_text(), private.stat().st_mode & 0o777) == ("secret", 0o600)


def test_a_link_is_not_followed_to_what_is_handed_over(work: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    (work / "folder").symlink_to(elsewhere)
    (work / "file").symlink_to(elsewhere / "file")
    before = elsewhere.stat().st_ctime_ns, (elsewhere / "file").stat().st_ctime_ns

    run(work, "true")

    assert before == (elsewhere.stat().st_ctime_ns, (elsewhere / "file").stat().st_ctime_ns)


def test_what_a_crash_left_to_such_a_user_goes_back_to_us(work: Path) -> None:
    (work / "file").touch()
    for path in (work, work / "file"):
        os.chown(path, LEASED, LEASED)

    assert run(work, "echo x > file").exit_code == 0
    assert owner(work) == owner(work / "file") == (0, 0)


def test_an_input_that_only_root_may_read_is_read_all_the_same(work: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").write_text("inner\n")
    (folder / "link").symlink_to("inner/file")
    os.mkfifo(folder / "pipe")
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho script\n")
    for path, mode in ((secret, 0o600), (folder / "inner", 0o700), (script, 0o700)):
        path.chmod(mode)
    before = [path.stat() for path in (secret, folder, folder / "inner", script)]

    result = run(
        work,
        "cat /inputs/s /inputs/f/inner/file /inputs/f/link; /inputs/x; ls /inputs/f",
        {"s": secret, "f": folder, "x": script},
    )

    assert result.stdout.decode().split() == ["secret", "inner", "inner", "script", "inner", "link"]
    assert result.exit_code == 0
    assert [path.stat() for path in (secret, folder, folder / "inner", script)] == before


def test_such_a_copy_cannot_change_the_input(work: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    secret.chmod(0o600)

    result = run(work, "echo x > /inputs/s", {"s": secret})

    assert result.exit_code != 0
    assert secret.read_text() == "secret"


def test_an_input_that_cannot_be_copied(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy(*_: object) -> None:
        raise OSError(28, "No space left on device")

    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    monkeypatch.setattr(shutil, "copy", copy)

    with pytest.raises(MachineError, match="can be read by root only, and cannot be") as caught:
        run(work, "true", {"s": secret})
    assert caught.value.hint == f"chmod -R o+rX {secret}"
    assert owner(work) == (0, 0)


def test_a_folder_that_cannot_be_handed_over(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "file").touch()
    real = os.chown

    def chown(path: object, user: int, group: int) -> None:
        if user and not Path(f"{path}").is_dir():
            raise PermissionError(1, "Operation not permitted")
        real(path, user, group)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "chown", chown)

    with pytest.raises(MachineError, match="cannot be handed to the user") as caught:
        run(work, "true")
    assert "AGENTKIT_HOME" in str(caught.value.hint)
    assert owner(work) == owner(work / "file") == (0, 0)


def test_an_environment_means_nothing_until_all_rights_are_gone(work: Path) -> None:
    """The loader of each program tells of itself if it is asked to; only the last one is."""
    result = run(work, "exit 0", environment={"LD_SHOW_AUXV": "1", "GLIBC_TUNABLES": "x=y"})

    assert result.stdout.count(b"AT_SYSINFO_EHDR") == 1


def test_an_environment_arrives_as_it_was_given(work: Path) -> None:
    given = {"_": "a", "__0": "b", "IFS": "c d", "A": "'\"$(id)`id`\\\n$A", "a1": "", "E": "ä"}
    script = "import os, json; print(json.dumps(dict(os.environ)))"
    job = Job(("python3", "-I", "-S", "-c", script), work, environment=given)

    found = json.loads(BubblewrapSandbox().run(job).stdout)

    assert given.items() <= found.items()
    assert set(found) == {*given, "PATH", "HOME", "LANG", "TMPDIR", "PWD"}


def test_nobody_who_looks_at_processes_sees_the_environment(work: Path) -> None:
    """Command lines can be read by all users of a machine."""
    script = "cat /proc/1/cmdline /proc/self/cmdline /proc/$PPID/cmdline"

    assert b"swordfish" not in run(work, script, environment={"A": "swordfish"}).stdout


def test_two_programs_are_two_users() -> None:
    with identity.identity() as one, identity.identity() as another:
        assert one.number != another.number
        assert is_leased(one.number)
        assert is_leased(another.number)


def test_when_all_users_are_taken_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "NUMBERS", (range(LEASED, LEASED + 1),))

    with (
        identity.identity(),
        pytest.raises(MachineError, match="1 programs run in sandboxes"),
        identity.identity(),
    ):
        pytest.fail("one user was lent twice")


@pytest.mark.parametrize(
    ("status", "uid_map", "hint"),
    [
        ("CapEff:\t00000000a80425fb\n", "0 0 4294967295\n", "--cap-add SYS_ADMIN"),
        ("CapEff:\t000001ffffffffff\n", "0 0 1\n", "--cap-add SYS_ADMIN"),
    ],
)
def test_a_containers_root_without_rights_is_refused(
    monkeypatch: pytest.MonkeyPatch, status: str, uid_map: str, hint: str
) -> None:
    files = {"/proc/self/status": status, "/proc/self/uid_map": uid_map}
    monkeypatch.setattr(identity, "_read", lambda path: files.get(path, uid_map))

    with (
        pytest.raises(MachineError, match="no rights to keep programs apart") as caught,
        identity.identity(),
    ):
        pytest.fail("there is nobody to become")
    assert hint in str(caught.value.hint)


def test_a_root_who_is_somebody_else_outside_is_an_ordinary_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a container that an ordinary user has started."""
    files = {"/proc/self/status": "CapEff:\t00000000a80425fb\n", "/proc/self/uid_map": "0 1000 1\n"}
    monkeypatch.setattr(identity, "_read", lambda path: files.get(path, "0 1000 1\n"))

    with identity.identity() as who:
        assert who == identity.Mapped()
