"""Several processes, and ends of every kind: the real command line against a server that waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.models.conftest import FileServer, Home, Make

MB = 1 << 20
SIZE = 20 * MB

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start `agentkit models ...` as a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def run(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "agentkit", "models", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def wait_for_line(stream: IO[str] | None, needle: str) -> str:
    """Read lines until one has the needle in it."""
    assert stream is not None
    seen = []
    for line in stream:
        seen.append(line)
        if needle in line:
            return line
    raise AssertionError(f"{needle!r} was not said; only: {''.join(seen)}")


@pytest.fixture
def body(server: FileServer, home: Home, make: Make) -> bytes:
    """A model of 20 MB that the server lets go of only half."""
    body = make.noise(SIZE)
    url = server.serve("/m.bin", body, hold_after=SIZE // 2)
    home.catalog(m=make.entry(body, {"url": url}))
    return body


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)]
)
def test_a_pull_that_was_stopped_goes_on_where_it_was(
    server: FileServer, home: Home, body: bytes, start: Start, number: int, code: int
) -> None:
    pull = start("pull", "m")
    wait_for_line(pull.stderr, "m: ")
    pull.send_signal(number)
    _, said = pull.communicate(timeout=60)

    assert pull.returncode == code
    (partial,) = home.partials()
    arrived = partial.stat().st_size
    assert 0 < arrived <= SIZE // 2
    if number == signal.SIGINT:
        assert "stopping…" in said
        assert "what has arrived of m is kept" in said
    server.release.set()
    server.log.clear()

    again = start("pull", "m")
    out, said = again.communicate(timeout=60)

    assert (again.returncode, out.strip()) == (0, f"m: 21 MB from url:{server.url}/m.bin"), said
    assert [asked.range for asked in server.gets("/m.bin")] == [f"bytes={arrived}-"]
    found = start("path", "m").communicate(timeout=60)[0].strip()
    assert Path(found).read_bytes() == body
    assert home.partials() == []


def test_two_processes_that_pull_one_model_download_it_once(
    server: FileServer, body: bytes, start: Start
) -> None:
    first = start("pull", "m")
    wait_for_line(first.stderr, "m: ")
    second = start("pull", "m")
    wait_for_line(second.stderr, "another process is pulling m; waiting for it")
    server.release.set()

    ends = [process.communicate(timeout=60) for process in (first, second)]

    assert [process.returncode for process in (first, second)] == [0, 0], ends
    assert ends[0][0] == ends[1][0]
    assert len(server.gets("/m.bin")) == 1


def test_a_process_that_waits_takes_over_when_the_first_one_is_killed(
    server: FileServer, body: bytes, start: Start
) -> None:
    first = start("pull", "m")
    wait_for_line(first.stderr, "m: ")
    second = start("pull", "m")
    wait_for_line(second.stderr, "waiting for it")
    first.kill()
    server.release.set()

    out, said = second.communicate(timeout=60)

    assert second.returncode == 0, said
    assert "m: 21 MB" in out
    assert server.gets("/m.bin")[1].range is not None


def test_two_models_with_the_same_file_download_it_once(
    server: FileServer, home: Home, make: Make, start: Start
) -> None:
    body = make.noise(SIZE)
    url = server.serve("/m.bin", body, hold_after=SIZE // 2)
    home.catalog(one=make.entry(body, {"url": url}), two=make.entry(body, {"url": url}))
    first = start("pull", "one")
    wait_for_line(first.stderr, "one: ")
    second = start("pull", "two")
    wait_for_line(second.stderr, "another process is downloading m.bin; waiting for it")
    server.release.set()

    assert [process.wait(60) for process in (first, second)] == [0, 0]
    assert len(server.gets("/m.bin")) == 1


def test_a_second_ctrl_c_does_not_wait(server: FileServer, body: bytes, start: Start) -> None:
    pull = start("pull", "m")
    wait_for_line(pull.stderr, "m: ")
    pull.send_signal(signal.SIGINT)
    pull.send_signal(signal.SIGINT)

    pull.communicate(timeout=60)

    assert pull.returncode == 130


def test_a_model_that_is_being_pulled_cannot_be_removed(
    server: FileServer, body: bytes, start: Start
) -> None:
    pull = start("pull", "m")
    wait_for_line(pull.stderr, "m: ")

    remove = start("remove", "m")

    assert "is being pulled by another process" in remove.communicate(timeout=60)[1]
    assert remove.returncode == 2
    server.release.set()
    assert pull.wait(60) == 0
