"""Attempts to get out of the sandbox: each fails as it should, and nothing outside is touched.

They are all made by one program (`probes.py`), once for each user; a test looks at one of them.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentkit.jobs import JobResult
from agentkit.sandbox import syscalls

from .probes import CALLS, FAMILIES, NAMESPACES, PROBES
from .runner import SECRET, Runner

PROGRAM = Path(__file__).with_name("probes.py")

OPEN_FILES = 100


@dataclass
class Outside:
    """What there is to be got at."""

    runner: Runner
    victim: subprocess.Popen[bytes]
    server: socket.socket
    abstract: socket.socket
    unix: socket.socket
    inputs: dict[str, Path]

    def told(self) -> bytes:
        """What the program is told about it."""
        return json.dumps(
            {
                "secret": str(self.runner.secret),
                "password": SECRET,
                "home": str(self.runner.folder),
                "victim": self.victim.pid,
                "port": self.server.getsockname()[1],
                "abstract": self.abstract.getsockname()[1:].decode(),
                "socket": self.unix.getsockname(),
                "open_files": OPEN_FILES,
                "setuid_program": setuid_program(),
            }
        ).encode()

    def was_reached(self) -> bool:
        """Whether somebody connected to one of the sockets."""
        for listening in (self.server, self.abstract, self.unix):
            try:
                listening.accept()
            except BlockingIOError:
                continue
            return True
        return False


@dataclass
class Tried:
    """What came of the attempts."""

    outside: Outside
    result: JobResult
    said: dict[str, Any]
    before: dict[str, Any]


def setuid_program() -> str:
    for path in Path("/usr/bin").iterdir():
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_ISUID and status.st_uid == 0:
            return str(path)
    return pytest.fail("this system has no setuid program to try: apt-get install passwd")


def snapshot(*folders: Path) -> dict[str, Any]:
    """Everything in some folders, with what it is and what it holds."""
    found: dict[str, Any] = {}
    for path in sorted(path for folder in folders for path in (folder, *folder.rglob("*"))):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(path)] = (status.st_mode, status.st_uid, status.st_nlink, content)
    return found


@pytest.fixture(scope="module")
def outside(runner: Runner) -> Iterator[Outside]:
    with ExitStack() as stack:
        given = runner.write(runner.folder / "given", "input")
        folder = runner.new_folder()
        runner.write(folder / "inner", "input")
        abstract, unix = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
        abstract.bind("\0agentkit-tests-" + runner.user)
        unix.bind(str(runner.folder / "socket"))
        runner.own(runner.folder / "socket")
        server = socket.create_server(("127.0.0.1", 0))
        for listening in (abstract, unix, server):
            stack.enter_context(listening)
            listening.listen()
            listening.setblocking(False)
        victim = subprocess.Popen(
            ["sleep", "600"],
            env={"A_SECRET": SECRET},
            user=runner.uid if os.geteuid() == 0 else None,
        )
        stack.callback(victim.wait)
        stack.callback(victim.kill)
        inputs = {"given": given, "folder": folder, "probes.py": PROGRAM}
        yield Outside(runner, victim, server, abstract, unix, inputs)


@pytest.fixture(scope="module")
def tried(runner: Runner, outside: Outside) -> Tried:
    folders = [outside.inputs["folder"], runner.secret, outside.inputs["given"]]
    before = snapshot(*folders)
    result = runner.run(
        "python3",
        "-I",
        "/inputs/probes.py",
        inputs=outside.inputs,
        stdin=outside.told(),
        environment={"GRANTED": "yes"},
        open_files=OPEN_FILES,
    )
    assert result.exit_code == 0, result.stderr.decode()
    return Tried(outside, result, json.loads(result.stdout), before)


ATTEMPTS: dict[str, Any] = {
    "read_secret": "ENOENT",
    "read_secret_by_link": "ENOENT",
    "read_shadow": "ENOENT",
    "list_home": "ENOENT",
    "hard_link_to_system": "EXDEV",
    "write_sys": "ENOENT",
    "open_handles": [0, 1, 2, 3],  # 3 is the folder that is listed
    "secrets_of_processes": "nothing",
    "memory_of_host_process": "ENOENT",
    "environment_of_host_process": "ENOENT",
    "kill_host_process": "ESRCH",
    "kill_first_process": "it lives",
    "visible_processes": True,
    "rights": [True, True, [0], "1", "2"],
    "gain_capabilities": "EPERM",
    "core_dump": [1, 1],
    "many_open_files": ["EMFILE", True],
    "message_queue": "EMFILE",
    "plain_fork": "done",
    "odd_personality": "EPERM",
    "terminal_of_host": "ENXIO",
    "x32": "SIGSYS",
    "listen": "EAFNOSUPPORT",
    "connect_to_host": "EAFNOSUPPORT",
    "look_up_name": "gaierror",
    "own_unix_socket": "done",
    "abstract_socket_of_host": "ECONNREFUSED",
    "make_devices": {"block": "EPERM", "character": "EPERM"},
    "socket_pairs": {"unix": "hello", "inet": "EAFNOSUPPORT"},
    "type_into_terminal": dict.fromkeys(("TIOCSTI", "TIOCLINUX", "upper bits"), "EPERM"),
    **{f"family {name}": ["EAFNOSUPPORT"] for name in FAMILIES},
    **{f"namespace {name}": {"clone": "EPERM", "unshare": "EPERM"} for name in NAMESPACES},
    **{
        f"call {name}": "EPERM" if name in syscalls.FORBIDDEN else "ENOSYS"
        for name in CALLS
    },
}  # fmt: skip
"""What comes of an attempt, where it is always the same."""


@pytest.mark.parametrize("name", ATTEMPTS)
def test_the_attempt_fails(tried: Tried, name: str) -> None:
    assert tried.said[name] == ATTEMPTS[name]


ALL_ALIKE = {
    "read_secret_by_other_roots": {"ENOENT", "EACCES"},
    "write_outside": {"EROFS", "EACCES"},
    "write_python": {"EROFS", "EACCES"},
    "write_proc": {"EROFS", "EACCES", "ENOENT"},
    "list_host_folders": {"ENOENT"},
    "unix_sockets_of_host": {"ENOENT"},
    "become_root": {"EPERM", "EINVAL"},
    "give_file_away": {"EPERM", "EINVAL"},
    "raise_priority": {"EPERM", "EACCES"},
    "raise_limits": {"ValueError"},
}
"""What may come of each of several ways."""


@pytest.mark.parametrize("name", ALL_ALIKE)
def test_all_ways_fail(tried: Tried, name: str) -> None:
    ways = tried.said[name]

    assert len(ways) > 1
    assert set(ways.values()) <= ALL_ALIKE[name]


def test_every_attempt_is_looked_at(tried: Tried) -> None:
    elsewhere = {"list_etc", "read_users", "write_input", "make_setuid_file", "environment",
                 "run_setuid_program", "list_devices", "thirty_two_bits"}  # fmt: skip

    assert set(PROBES) == set(tried.said) == {*ATTEMPTS, *ALL_ALIKE} | elsewhere


def test_of_etc_there_is_next_to_nothing(tried: Tried) -> None:
    assert set(tried.said["list_etc"]) <= {
        "alternatives", "group", "ld.so.cache", "localtime", "passwd"
    }  # fmt: skip


def test_the_list_of_users_is_made_up(tried: Tried) -> None:
    assert [line.split(":")[0] for line in tried.said["read_users"].splitlines()] == [
        "root",
        "user",
    ]


def test_the_environment_is_what_was_granted(tried: Tried) -> None:
    found = tried.said["environment"]

    assert set(found) == {"PATH", "HOME", "LANG", "TMPDIR", "PWD", "GRANTED"}
    assert (found["HOME"], found["PWD"], found["TMPDIR"]) == ("/work", "/work", "/tmp")
    assert found["GRANTED"] == "yes"


@pytest.mark.parametrize(
    ("way", "error"),
    [
        ("write", "EROFS"),
        ("truncate", "EROFS"),
        ("unlink", "EROFS"),
        ("rename", "EXDEV"),
        ("chmod", "EROFS"),
        ("utime", "EROFS"),
        ("hard link", "EXDEV"),
        ("new file", "EROFS"),
    ],
)
def test_an_input_stays_as_it_is(tried: Tried, way: str, error: str) -> None:
    # Root's program is nobody's owner, so it may be told that before the rest.
    also = {"EACCES", "EPERM", "EBUSY"} if tried.outside.runner.user == "root" else {"EBUSY"}

    assert tried.said["write_input"][way] in {error} | also


def test_no_file_lends_its_owners_rights(tried: Tried) -> None:
    found = dict(tried.said["make_setuid_file"])

    assert found.pop("plain") == "done"
    assert found.pop("fchmodat2") in ("EPERM", "ENOSYS")  # an older kernel has no such call
    assert set(found.values()) == {"EPERM"}


def test_a_setuid_program_lends_nothing(tried: Tried) -> None:
    secure, effective, real = tried.said["run_setuid_program"]

    assert secure == 0
    assert effective == real > 0


def test_there_are_no_devices_but_harmless_ones(tried: Tried) -> None:
    assert tried.said["list_devices"] == [
        "core", "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout",
        "tty", "urandom", "zero",
    ]  # fmt: skip


def test_programs_of_other_kinds_are_ended(tried: Tried) -> None:
    # Without 32-bit programs in the kernel, the door to them is a fault of the program.
    assert tried.said["thirty_two_bits"] in ("SIGSYS", "SIGSEGV")


def test_nothing_outside_was_touched(tried: Tried) -> None:
    assert snapshot(*(Path(path) for path in tried.before)) == tried.before
    assert tried.outside.victim.poll() is None
    assert not tried.outside.was_reached()
    assert SECRET.encode() not in tried.result.stdout


def test_nothing_dangerous_was_left_behind(tried: Tried) -> None:
    assert set(tried.result.removed) == {"link-to-secret"}
    assert set(tried.result.changed) == {"given-away", "setuid"}
