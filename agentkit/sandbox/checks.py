"""A job as it was asked for, checked before anything is started: every fault is the caller's."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from agentkit.errors import ToolError
from agentkit.jobs import Job

MOST_WORDS = 8_000
"""Bubblewrap takes 9,000 on its command line, ours among them; a variable or an input is three."""

LONGEST = 131_000
"""Bytes in one argument or variable: the kernel takes no more."""


def checked(job: Job) -> Job:
    """The job with its inputs where they really are.  Raises `ToolError` for what cannot be."""
    if not job.argv or not job.argv[0]:
        raise ToolError("there is no program to run")
    if len(job.argv) + 3 * len(job.environment) + 3 * len(job.inputs) > MOST_WORDS:
        raise ToolError(
            f"{len(job.argv)} arguments, {len(job.environment)} variables and {len(job.inputs)} "
            "inputs are too many: hand them over in a file, on stdin, or in a folder"
        )
    for name in job.environment:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise ToolError(f"{name!r} is no name for a variable: letters, digits and _ are")
    for word in (*job.argv, *(f"{name}={value}" for name, value in job.environment.items())):
        _check_word(word)
    for limit in _limits(job):
        if limit <= 0:
            raise ToolError(f"a limit of {limit} leaves nothing: {job.limits}")
    return replace(job, inputs={name: _found(name, path) for name, path in job.inputs.items()})


def _check_word(word: str) -> None:
    try:
        size = len(word.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        raise ToolError(f"{word[:40]!r} has characters that no program can be given") from None
    if "\0" in word:
        raise ToolError(f"{word[:40]!r} has a zero byte, which no argument can have")
    if size > LONGEST:
        raise ToolError(
            f"{word[:40]!r}... is {size} bytes long, and {LONGEST} is the most: "
            "hand it over in a file, or on stdin"
        )


def _limits(job: Job) -> Iterator[float]:
    limits = job.limits
    yield from (limits.wall, limits.cpu, limits.memory, limits.processes, limits.open_files)


def _found(name: str, path: Path) -> Path:
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise ToolError(f"{name!r} is no name for an input: it has to be a plain file name")
    try:
        place = path.resolve(strict=True)
        mode = place.stat().st_mode
    except (OSError, RuntimeError) as error:
        raise ToolError(f"the input {name!r} cannot be found: {error}") from None
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ToolError(f"the input {name!r} is neither a file nor a folder: {path}")
    return place
