"""Servers that are started for a test, and a look afterwards at what they left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agentkit.config import ServerSettings
from agentkit.toolservers import McpServer

PROGRAMS = Path(__file__).parent / "programs"

Start = Callable[..., McpServer]


def command(program: str, *arguments: str) -> list[str]:
    return [sys.executable, str(PROGRAMS), program, *arguments]


def children() -> set[int]:
    """The processes that this one started and that are there, zombies included."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        if int(text.rpartition(")")[2].split()[1]) == os.getpid():
            found.add(int(stat.parent.name))
    return found


@contextmanager
def running(program: str, *arguments: str, **environment: str) -> Iterator[str]:
    """A program that says one line when it is ready, ended with the block."""
    process = subprocess.Popen(
        command(program, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def start() -> Iterator[Start]:
    """`start("liar")` for a program, `start(url=...)` for an address; closed after the test, and
    then there is no thread and no process left."""
    before, threads = children(), set(threading.enumerate())
    servers: list[McpServer] = []

    def make(program: str = "", *arguments: str, timeout: float = 20.0, **more: Any) -> McpServer:
        if program:
            more["command"] = command(program, *arguments)
        servers.append(McpServer(program or "away", ServerSettings(timeout=timeout, **more)))
        return servers[-1]

    yield make
    for server in servers:
        server.close()
    for thread in set(threading.enumerate()) - threads:
        thread.join(timeout=10)  # a server of this test may still be saying goodbye
    assert set(threading.enumerate()) - threads == set()
    assert children() - before == set()
