"""A program that runs apart from everything: what it gets, what it may use, what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Literal

from agentkit.values import dataclass

WORK = "/work"
"""The writable folder, as the program sees it; also its home and where it starts."""

INPUTS = "/inputs"
"""Where files that were handed in lie, as the program sees them; they cannot be changed."""

Stopped = Literal["", "wall", "cpu", "memory", "processes", "output", "disk", "cancelled"]
"""The limit that ended a program, or somebody who asked; empty: it ended by itself."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a program may use.  Seconds, bytes and counts.

    They hold for the program and its children together, but for `open_files` (each process) and
    `file` (the size of each file).  `memory` includes what lies in `/tmp` and `/dev/shm`; `disk`
    and `files` are what may be added to the work folder, `output` what may be written to stdout and
    stderr.  A process more or a file too large is refused to the program; the others end it.
    """

    wall: float = 60.0
    cpu: float = 60.0
    memory: int = 1_000_000_000
    processes: int = 64
    open_files: int = 256
    file: int = 200_000_000
    files: int = 10_000
    disk: int = 500_000_000
    output: int = 2_000_000


@dataclass(frozen=True, slots=True)
class Apart:
    """How a program works beside others of the same folder: in a copy of its own.

    The copy lies in `place` while it works; what it changed there is brought back at its end.
    `changed` says by path which of the others, by `name`, brought it back last: it is shared by all
    programs of the folder, and kept by the sandbox.
    """

    place: Path
    name: str
    changed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """A program to run.

    `argv[0]` is looked up in the sandbox: `python3` is the Python that agentkit runs on.  `work` is
    the one folder of the host that it may write to; it appears as `WORK`, to one program at a time.
    `inputs` maps names to files or folders of the host, which appear read-only as `INPUTS/name`.
    `environment` is all that the program finds in its environment besides PATH, HOME, LANG, TMPDIR
    and PWD.  `apart` lets it begin while others work in the folder, where that can be had.
    """

    argv: tuple[str, ...]
    work: Path
    inputs: Mapping[str, Path] = field(default_factory=dict)
    stdin: bytes = b""
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()
    apart: Apart | None = None


@dataclass(frozen=True, slots=True)
class JobResult:
    """What came of it.

    `exit_code` is negative for the number of the signal that ended the program.  `changed` are the
    files in the work folder that the program made or changed, relative to it, sorted; `removed` is
    what it left there and nobody should stumble over: links that lead out of the folder, pipes,
    sockets.  Output that went beyond the limit is cut off at the end.

    Of a program that worked apart, `conflicts` are the paths that another one changed meanwhile,
    too, and the name of that one, if it is known: then nothing was brought back.  `alone` is why a
    program that could have worked apart had to wait for the others.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes
    seconds: float
    stopped: Stopped = ""
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    conflicts: Mapping[str, str] = field(default_factory=dict)
    alone: str = ""
