"""`sandbox: none`: the same contract as far as it goes, with real paths."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from agentkit.cancel import CancelToken
from agentkit.errors import ToolError
from agentkit.jobs import Job, JobResult, Limits
from agentkit.sandbox import NoSandbox
from agentkit.sandbox.bare import PROC

from .runner import open_descriptors, survivors

LIMIT = 60
"""Seconds for a program that does nothing; one that is waited for has stopped for good."""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def run(work: Path, *argv: str, **how: Any) -> JobResult:
    return NoSandbox().run(Job(argv, work, **how))


def python(work: Path, program: str, *words: str, **how: Any) -> JobResult:
    return run(work, "python3", "-c", program, *words, **how)


def test_what_came_of_it(work: Path) -> None:
    (work / "same").touch()
    program = "import sys; open('new', 'w'); print(sys.stdin.read()); sys.exit('no')"

    result = python(work, program, stdin=b"hello")

    assert (result.exit_code, result.stdout, result.stderr) == (1, b"hello\n", b"no\n")
    assert (result.stopped, result.changed, result.removed) == ("", ("new",), ())


def test_it_is_our_python(work: Path) -> None:
    said = python(work, "import sys; print(sys.prefix)").stdout.decode().strip()

    assert said == sys.prefix


def test_paths_of_the_sandbox_are_real_ones_here(work: Path, tmp_path: Path) -> None:
    given = tmp_path / "given.txt"
    given.write_text("given")
    program = (
        "import os, sys, json\n"
        "said = json.load(sys.stdin)\n"
        "print(json.dumps([open(path).read() for path in ("
        "sys.argv[1], os.environ['FILE'], said['file'], os.environ['INPUTS'] + '/a')]))\n"
        "print(json.dumps([os.getcwd(), sys.argv[2], os.environ['WORK'], os.environ['HOME']]))\n"
        "print(said['text'])"
    )
    text = "https://host/work/inputs/a ~/work my/inputs workshop /inputsx"

    result = python(
        work,
        program,
        "/inputs/a",
        "/work",
        inputs={"a": given},
        environment={"FILE": "/inputs/a"},
        stdin=json.dumps({"file": "/inputs/a", "text": text}).encode(),
    )

    contents, folders, unchanged = result.stdout.decode().splitlines()
    assert json.loads(contents) == ["given"] * 4
    assert json.loads(folders) == [str(work)] * 4
    assert unchanged == text


def test_input_that_is_not_text_arrives_as_it_is(work: Path) -> None:
    data = bytes(range(256)) * 100

    assert run(work, "cat", stdin=data).stdout == data


@pytest.mark.parametrize("name", ["nothing", "./nothing", "/work/nothing"])
def test_a_program_that_does_not_exist(work: Path, name: str) -> None:
    with pytest.raises(ToolError, match="there is no program"):
        run(work, name)


def test_a_script_of_the_folder(work: Path) -> None:
    (work / "x").write_text("#!/bin/sh\npwd\n")
    (work / "x").chmod(0o755)

    assert run(work, "./x").stdout.decode().strip() == str(work)
    assert run(work, "/work/x").stdout.decode().strip() == str(work)


def test_its_environment_is_not_ours(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "swordfish")

    found = json.loads(python(work, "import os, json; print(json.dumps(dict(os.environ)))").stdout)

    assert set(found) <= {"PATH", "HOME", "LANG", "TMPDIR", "PWD", "WORK", "INPUTS", "OLDPWD", "_",
                          "SHLVL", "LC_CTYPE"}  # fmt: skip


@pytest.mark.parametrize(
    ("program", "limits", "stopped"),
    [
        ("import time; time.sleep(1000)", Limits(wall=0.3), "wall"),
        ("while True: pass", Limits(cpu=0.5), "cpu"),
        ("while True: print('x' * 1000)", Limits(output=10_000), "output"),
        ("x = b'x' * 150_000_000\nimport time; time.sleep(1000)", Limits(memory=10**8), "memory"),
        ("for n in range(40): open(str(n), 'wb').write(bytes(10**6))", Limits(disk=10**7), "disk"),
        ("for n in range(2000): open(str(n), 'w')", Limits(files=100), "disk"),
        ("import os, time\nwhile os.fork(): time.sleep(0.02)\ntime.sleep(1000)",
         Limits(processes=5), "processes"),
    ],
)  # fmt: skip
def test_it_is_ended_at_its_limit(
    work: Path,
    mark: str,
    program: str,
    limits: Limits,
    stopped: str,
) -> None:
    assert python(work, program, mark, limits=limits).stopped == stopped


def test_what_it_started_ends_with_it(work: Path, mark: str) -> None:
    program = (
        "import os, time\n"
        "if os.fork() == 0: time.sleep(1000)\n"
        "if os.fork() == 0: os.setsid(); time.sleep(1000)\n"
        "print('begun', flush=True); time.sleep(1000)"
    )

    result = python(work, program, mark, limits=Limits(wall=2.0))

    assert (result.stopped, result.stdout) == ("wall", b"begun\n")
    assert survivors(mark) == []


def test_it_can_be_cancelled(work: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()

    assert NoSandbox().run(Job(("true",), work), cancel).stopped == "cancelled"


@pytest.mark.parametrize("lacking", ["a descriptor", "a thread"])
def test_a_machine_that_has_nothing_left_is_told_and_waits_for_no_program(
    work: Path, mark: str, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    """It has stopped itself by then, and would never end."""
    opened, started = os.open, threading.Thread.start

    def open_(path: Any, *how: Any, **more: Any) -> int:
        if path == PROC:
            raise OSError(errno.EMFILE, "Too many open files")
        return opened(path, *how, **more)

    def start(thread: threading.Thread) -> None:
        if thread.name == "agentkit-waiter":
            raise RuntimeError("can't start new thread")
        started(thread)

    told: list[str] = []

    def attempt() -> None:
        try:
            python(work, "pass", mark)
        except (OSError, RuntimeError) as fault:
            told.append(str(fault))

    before = open_descriptors()
    with monkeypatch.context() as patched:
        if lacking == "a thread":
            patched.setattr(threading.Thread, "start", start)
        else:
            patched.setattr(os, "open", open_)
        caller = threading.Thread(target=attempt)
        caller.start()
        caller.join(LIMIT)
    waited = caller.is_alive()
    for left in survivors(mark):
        os.kill(int(left), signal.SIGKILL)
    caller.join()

    assert not waited
    assert ("Too many open files" in told[0]) == (lacking == "a descriptor")
    assert open_descriptors() == before


def test_nothing_of_ours_is_left(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = open_descriptors()

    run(work, "true", inputs={"a": Path(__file__)})

    assert sorted(path.name for path in tmp_path.iterdir()) == ["work"]
    assert open_descriptors() == before
