"""Several processes at once, and processes that are killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Opened

ROOT = Path(__file__).parents[2]

EACH = 40
"""Notes of a writer: the index is written several times by each."""

LIMIT = 180
"""Seconds for a program; each needs a few, and one that waits for ever is to be a failure."""


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output(process: subprocess.Popen[str]) -> str:
    """What it printed, when it is done."""
    try:
        said, errors = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        said, errors = process.communicate()
        pytest.fail(f"not done after {LIMIT} s: {said} {errors}")
    assert process.returncode == 0, errors
    return said


@pytest.mark.parametrize(
    ("work", "least"), [("ingest", 16), ("reembed", 10), ("forget", 10), ("import", 10)]
)
def test_a_kill_at_any_write_leaves_nothing_half_done(
    tmp_path: Path, work: str, least: int
) -> None:
    """Also the index: whatever was left of it, everything is found afterwards."""
    assert int(output(start("tests.memory.killed", work, tmp_path))) >= least


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path, opened: Opened) -> None:
    folder = tmp_path / "memory" / "notes"
    for writer in [start("tests.memory.writer", folder, name, EACH) for name in "abc"]:
        output(writer)
    collection = opened(few=20)
    texts = [f"writer {name} says w{name}{number}" for name in "abc" for number in range(EACH)]
    said = [" ".join(entry.text.split()) for entry in collection.entries()]
    assert sorted(said) == sorted([*texts, "said by all"])
    for text in texts:
        assert collection.search(text, limit=1)[0].text == text
