"""Files within what is granted, whatever a name, a link or another process makes of it."""

from __future__ import annotations

import os
import resource
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agentkit.errors import ToolError, ToolRetry
from agentkit.toolbox import files as module
from agentkit.toolbox.files import GrantedFiles
from agentkit.toolbox.grants import Grants

SECRET = b"the secret"


@dataclass
class Place:
    """A run's folder, a granted one, and one that is neither, with a secret in it."""

    root: Path
    artifacts: list[Path] = field(default_factory=list)

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def granted(self) -> Path:
        return self.root / "granted"

    @property
    def elsewhere(self) -> Path:
        return self.root / "elsewhere"

    @property
    def secret(self) -> Path:
        return self.elsewhere / "secret.txt"

    def files(self, grants: Grants | None = None) -> GrantedFiles:
        both = Grants(read=(self.granted,), write=(self.granted,), own_write=(self.run,))
        return GrantedFiles(self.run, grants or both, self.artifacts.append)

    def untouched(self) -> bool:
        return [*self.elsewhere.iterdir()] == [self.secret] and self.secret.read_bytes() == SECRET


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    for folder in (made.run, made.granted, made.elsewhere):
        folder.mkdir()
    made.secret.write_bytes(SECRET)
    (made.granted / "a.txt").write_bytes(b"content")
    return made


@pytest.fixture
def files(place: Place) -> GrantedFiles:
    return place.files()


# -- reading ---------------------------------------------------------------------------------------


def test_what_was_granted_is_read(place: Place, files: GrantedFiles) -> None:
    (place.run / "b.txt").write_bytes(b"mine")
    assert files.read(place.granted / "a.txt") == b"content"
    assert files.read("b.txt") == b"mine"
    assert files.read("../granted/a.txt") == b"content"
    assert files.locate("../granted/a.txt") == place.granted / "a.txt"


@pytest.mark.parametrize(
    "path",
    ["../elsewhere/secret.txt", "../granted/../elsewhere/secret.txt", "/etc/passwd", "..", "/",
     "../granted/.env", "../granted-private/a", "/proc/self/environ", "/proc/self/mem",
     "/dev/stdin", "/dev/zero", "/dev/fd/0", "/proc/self/root/etc/passwd",
     "../elsewhere/nothing.txt", "../nowhere/at/all"],
)  # fmt: skip
def test_what_was_not_granted_is_not_read_and_not_told_of(files: GrantedFiles, path: str) -> None:
    for look in (files.read, files.locate):
        with pytest.raises(ToolError) as caught:
            look(path)
        assert str(caught.value) == (
            f"{path!r} may not be read: it is not in a folder that was granted"
        )
        assert "permissions.interactive.read" in (caught.value.hint or "")
        assert not isinstance(caught.value, ToolRetry)


def test_no_link_leads_out(place: Place, files: GrantedFiles) -> None:
    (place.run / "link").symlink_to(place.secret)
    (place.run / "folder").symlink_to(place.elsewhere)
    (place.run / "up").symlink_to("..")
    (place.run / "twice").symlink_to("link")
    for path in ("link", "folder/secret.txt", "up/elsewhere/secret.txt", "twice"):
        with pytest.raises(ToolError, match="may not be read"):
            files.read(path)


def test_a_link_between_granted_folders_is_followed(place: Place, files: GrantedFiles) -> None:
    (place.run / "link").symlink_to(place.granted)
    assert files.read("link/a.txt") == b"content"


def test_a_link_to_what_this_process_has_open_leads_nowhere(
    place: Place, files: GrantedFiles
) -> None:
    with place.secret.open("rb") as stream:
        (place.run / "fd").symlink_to(f"/proc/self/fd/{stream.fileno()}")
        for path in ("fd", f"/proc/self/fd/{stream.fileno()}", f"/dev/fd/{stream.fileno()}"):
            with pytest.raises(ToolError, match="may not be read"):
                files.read(path)


def test_links_in_a_circle_are_told(place: Place, files: GrantedFiles) -> None:
    (place.run / "a").symlink_to("b")
    (place.run / "b").symlink_to("a")
    with pytest.raises(ToolError, match="'a' cannot be read: Too many levels of symbolic links"):
        files.read("a")


@pytest.mark.parametrize("path", ["a\0b", "half \ud800", "~nobody-of-this-name/a"])
def test_what_cannot_be_a_path_is_told(files: GrantedFiles, path: str) -> None:
    for use in (files.read, files.locate, lambda path: files.write(path, b"")):
        with pytest.raises(ToolRetry):
            use(path)


@pytest.mark.parametrize("path", ["x" * 300, "x/" * 3000, "a" * 100_000])
def test_a_name_that_is_too_long_is_told(files: GrantedFiles, path: str) -> None:
    for use in (files.read, lambda path: files.write(path, b"")):
        with pytest.raises(ToolError, match=r"File name too long|longer than a path can be"):
            use(path)


def test_a_name_may_have_a_line_s_end(files: GrantedFiles) -> None:
    files.write("a\nb", b"1")
    assert files.read("a\nb") == b"1"
    with pytest.raises(ToolRetry, match=r"There is: 'a\\nb'\.$"):
        files.read("nothing")


def test_a_file_that_is_not_there_is_told_with_the_nearest(
    place: Place, files: GrantedFiles
) -> None:
    (place.granted / ".env").write_text("KEY")
    with pytest.raises(ToolRetry, match=r'no file .*b\.txt.* did you mean "a.txt"\?$'):
        files.read(place.granted / "b.txt")
    with pytest.raises(ToolRetry, match=r"no file 'zzz'\.$"):
        files.read("zzz")
    with pytest.raises(ToolRetry, match=r"There is: 'a.txt'\.$"):
        files.read(place.granted / "zzz")
    with pytest.raises(ToolRetry, match="no file"):
        files.read(place.granted / "a.txt" / "deeper")


def test_no_name_is_told_of_a_folder_of_which_one_file_was_allowed(place: Place) -> None:
    once = place.files(Grants(read=(place.elsewhere / "secrets.txt",)))
    with pytest.raises(ToolRetry, match=r"no file '[^']*secrets.txt'\.$"):
        once.read(place.elsewhere / "secrets.txt")


def test_a_file_that_is_too_large_is_told(place: Place, files: GrantedFiles) -> None:
    (place.run / "big").write_bytes(b"12345")
    assert files.read("big", limit=5) == b"12345"
    with pytest.raises(ToolError, match="'big' has 5 B; 4 B can be read at once"):
        files.read("big", limit=4)


def test_a_file_that_says_it_is_empty_and_is_not_is_never_cut(place: Place) -> None:
    kernel = place.files(Grants(own=(Path("/proc"),)))
    assert len(kernel.read("/proc/self/status")) > 100
    with pytest.raises(ToolError, match="100 B can be read at once"):
        kernel.read("/proc/self/status", limit=100)


def test_a_folder_is_no_file(place: Place, files: GrantedFiles) -> None:
    for folder in (".", place.granted):
        with pytest.raises(ToolRetry, match="is a folder: list_files shows what is in it"):
            files.read(folder)


def test_a_pipe_a_device_and_a_socket_are_no_files_and_nobody_waits(place: Place) -> None:
    os.mkfifo(place.run / "pipe")
    devices = place.files(Grants(own=(place.run, Path("/dev"))))
    for path in ("pipe", "/dev/zero", "/dev/null"):
        with pytest.raises(ToolError, match="is no plain file"):
            devices.read(path)


def test_a_file_that_breaks_while_it_is_read_is_told(place: Place) -> None:
    kernel = place.files(Grants(own=(Path("/proc"),)))
    with pytest.raises(ToolError, match="'/proc/self/mem' cannot be read: Input/output error"):
        kernel.read("/proc/self/mem")


def test_reading_leaves_nothing_open(place: Place, files: GrantedFiles) -> None:
    os.mkfifo(place.run / "pipe")
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    for path in ("pipe", ".", "nothing", place.secret, place.granted / "a.txt"):
        for _ in range(20):
            with suppress(ToolError):
                files.read(path)
            with suppress(ToolError):
                files.write(path, b"x")
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before


# -- between a look and an opening -----------------------------------------------------------------


@dataclass(frozen=True)
class Meddled(Grants):
    """Grants that let somebody do something after the first look."""

    then: Callable[[], None] = lambda: None
    done: list[bool] = field(default_factory=list)

    def _after(self, allowed: bool) -> bool:
        if not self.done:
            self.done.append(True)
            self.then()
        return allowed

    def reads(self, path: Path) -> bool:
        return self._after(super().reads(path))

    def writes(self, path: Path) -> bool:
        return self._after(super().writes(path))


def meddled(place: Place, then: Callable[[], None]) -> GrantedFiles:
    return place.files(Meddled(own_write=(place.run,), then=then))


def test_a_file_that_becomes_a_link_after_the_look_is_not_read(place: Place) -> None:
    (place.run / "a.txt").write_bytes(b"mine")

    def swap() -> None:
        (place.run / "a.txt").unlink()
        (place.run / "a.txt").symlink_to(place.secret)

    with pytest.raises(ToolError, match="may not be read"):
        meddled(place, swap).read("a.txt")


def test_a_folder_that_becomes_a_link_after_the_look_is_not_read(place: Place) -> None:
    (place.run / "sub").mkdir()
    (place.run / "sub" / "secret.txt").write_bytes(b"mine")

    def swap() -> None:
        (place.run / "sub").rename(place.run / "old")
        (place.run / "sub").symlink_to(place.elsewhere)

    with pytest.raises(ToolError, match="may not be read"):
        meddled(place, swap).read("sub/secret.txt")


@pytest.mark.parametrize("deep", ["sub", "sub/deeper/still"])
def test_a_folder_that_becomes_a_link_after_the_look_is_not_written_to(
    place: Place, deep: str
) -> None:
    """Not even an empty folder is made where the link leads."""
    (place.run / "sub").mkdir()

    def swap() -> None:
        (place.run / "sub").rename(place.run / "old")
        (place.run / "sub").symlink_to(place.elsewhere)

    with pytest.raises(ToolError, match="cannot be written: Not a directory"):
        meddled(place, swap).write(f"{deep}/a.txt", b"evil")
    assert place.untouched()


def test_a_folder_that_is_moved_away_after_the_look_takes_the_file_along_or_refuses(
    place: Place,
) -> None:
    (place.run / "sub").mkdir()

    def swap() -> None:
        (place.run / "sub").rename(place.elsewhere / "sub")

    meddled(place, swap).write("sub/a.txt", b"mine")
    assert (place.run / "sub" / "a.txt").read_bytes() == b"mine"
    assert [*(place.elsewhere / "sub").iterdir()] == []


def test_a_folder_that_is_moved_away_while_it_is_held_is_not_written_to(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies where nothing was granted by now, whatever its name was."""
    (place.run / "sub").mkdir()

    def moved(handle: int, path: Path) -> Path:
        (place.run / "sub").rename(place.elsewhere / "sub")
        return found(handle, path)

    found = module._place
    monkeypatch.setattr(module, "_place", moved)
    with pytest.raises(ToolError, match="may not be written"):
        place.files().write("sub/a.txt", b"evil")
    assert [*(place.elsewhere / "sub").iterdir()] == []


def test_a_file_that_becomes_a_link_is_replaced_and_not_followed(place: Place) -> None:
    (place.run / "a.txt").write_bytes(b"mine")

    def swap() -> None:
        (place.run / "a.txt").unlink()
        (place.run / "a.txt").symlink_to(place.secret)

    meddled(place, swap).write("a.txt", b"new")
    assert (place.run / "a.txt").read_bytes() == b"new"
    assert not (place.run / "a.txt").is_symlink()
    assert place.untouched()


def test_a_thread_that_turns_a_file_into_a_link_and_back_never_wins(place: Place) -> None:
    (place.run / "a").write_bytes(b"mine")
    following, stop = place.run / "next", threading.Event()

    def turn() -> None:
        while not stop.is_set():
            following.symlink_to(place.secret)
            following.replace(place.run / "a")
            following.write_bytes(b"mine")
            following.replace(place.run / "a")

    thread = threading.Thread(target=turn)
    thread.start()
    files, refused = place.files(), 0
    try:
        for _ in range(1500):
            try:
                assert files.read("a") == b"mine"
            except ToolError as error:
                refused += "may not be read" in str(error) or "has changed" in str(error)
    finally:
        stop.set()
        thread.join()
    assert refused, "the thread was never in time, and nothing was tested"


# -- writing ---------------------------------------------------------------------------------------


def test_a_file_is_written_with_the_folders_that_are_missing(
    place: Place, files: GrantedFiles
) -> None:
    made = files.write("a/b/c.txt", b"1")
    assert made == place.run / "a/b/c.txt"
    assert made.read_bytes() == b"1"
    assert files.write(place.granted / "d" / "e", b"2").read_bytes() == b"2"
    assert place.artifacts == [made], "what lies elsewhere is no result of the run"


@pytest.mark.parametrize(
    "path",
    ["../elsewhere/a", "../granted/../elsewhere/a", "/etc/a", "..", ".", "", "/", "../run",
     "../granted/.env", "../granted/.git/hooks/post-commit", "../granted-private/a", "a/..",
     "../granted", "/proc/self/comm", "/dev/shm/a"],
)  # fmt: skip
def test_what_was_not_granted_is_not_written(place: Place, files: GrantedFiles, path: str) -> None:
    said = "cannot be written: Is a directory" if path == "../granted" else "may not be written"
    with pytest.raises(ToolError, match=said):
        files.write(path, b"evil")
    assert place.untouched()
    assert place.artifacts == []
    assert sorted(p.name for p in place.granted.iterdir()) == ["a.txt"]


def test_no_link_leads_out_of_a_writable_folder(place: Place, files: GrantedFiles) -> None:
    (place.run / "folder").symlink_to(place.elsewhere)
    for path in ("folder/a.txt", "folder/deep/a.txt", "folder/secret.txt"):
        with pytest.raises(ToolError, match="may not be written"):
            files.write(path, b"evil")
    (place.run / "dangling").symlink_to(place.elsewhere / "new.txt")
    files.write("dangling", b"mine")
    assert (place.run / "dangling").read_bytes() == b"mine"
    assert place.untouched()


def test_a_link_within_what_is_granted_may_be_written_through(
    place: Place, files: GrantedFiles
) -> None:
    (place.run / "folder").symlink_to(place.granted)
    assert files.write("folder/b.txt", b"1") == place.granted / "b.txt"


def test_the_other_name_of_a_file_keeps_its_content(place: Place, files: GrantedFiles) -> None:
    os.link(place.secret, place.run / "hard")
    files.write("hard", b"mine")
    assert (place.run / "hard").read_bytes() == b"mine"
    assert place.untouched()


def test_a_pipe_is_replaced_and_nobody_waits(place: Place, files: GrantedFiles) -> None:
    os.mkfifo(place.run / "pipe")
    files.write("pipe", b"1")
    assert (place.run / "pipe").read_bytes() == b"1"


def test_a_folder_in_the_place_of_a_file_is_told(place: Place, files: GrantedFiles) -> None:
    (place.run / "sub" / "deep").mkdir(parents=True)
    with pytest.raises(ToolError, match="'sub' cannot be written: Is a directory"):
        files.write("sub", b"1")
    (place.run / "file").write_bytes(b"old")
    with pytest.raises(ToolError, match="'file/a' cannot be written: Not a directory"):
        files.write("file/a", b"1")
    assert sorted(p.name for p in place.run.iterdir()) == ["file", "sub"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("umask", [0o022, 0o077, 0])
def test_a_file_that_was_there_leaves_its_permissions(
    place: Place, files: GrantedFiles, umask: int
) -> None:
    for before in (0o755, 0o600, 0o664, 0o6755):
        (place.run / "a").write_bytes(b"old")
        (place.run / "a").chmod(before)
        old = os.umask(umask)
        try:
            files.write("a", b"new")
        finally:
            os.umask(old)
        assert mode(place.run / "a") == before & 0o777


def test_a_new_file_and_one_in_place_of_a_link_cannot_be_executed(
    place: Place, files: GrantedFiles
) -> None:
    (place.run / "link").symlink_to(place.secret)
    for name in ("new", "link"):
        files.write(name, b"#!/bin/sh")
        assert mode(place.run / name) & 0o111 == 0


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_where_there_is_no_room_the_old_file_stays_and_nothing_else(
    place: Place, files: GrantedFiles
) -> None:
    files.write("a", b"old")
    with (
        largest_file(1000),
        pytest.raises(ToolError, match="'a' cannot be written: File too large"),
    ):
        files.write("a", b"x" * 100_000)
    assert (place.run / "a").read_bytes() == b"old"
    assert [p.name for p in place.run.iterdir()] == ["a"]


def test_ctrl_c_while_a_file_is_written_leaves_the_old_one(
    place: Place, files: GrantedFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write("a", b"old")

    def interrupted(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write("a", b"new")
    assert (place.run / "a").read_bytes() == b"old"
    assert [p.name for p in place.run.iterdir()] == ["a"]


def test_many_threads_that_write_one_file_leave_one_whole_text(place: Place) -> None:
    files = place.files()
    start = threading.Barrier(16)

    def write(number: int) -> None:
        start.wait()
        for _ in range(5):
            files.write("deep/er/a", bytes([number]) * 50_000)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = (place.run / "deep/er/a").read_bytes()
    assert (len(content), len(set(content))) == (50_000, 1)
    assert [p.name for p in (place.run / "deep/er").iterdir()] == ["a"]
