"""Several processes at once, and processes that are killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Opened

ROOT = Path(__file__).parents[2]


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("work", "least"), [("ingest", 40), ("reembed", 15), ("forget", 10), ("import", 15)]
)
def test_a_kill_at_any_write_leaves_nothing_half_done(
    tmp_path: Path, work: str, least: int
) -> None:
    """Also the index: whatever was left of it, everything is found afterwards."""
    process = start("tests.memory.killed", work, tmp_path)
    said, errors = process.communicate()
    assert process.returncode == 0, errors
    assert int(said) >= least


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path, opened: Opened) -> None:
    folder = tmp_path / "memory" / "notes"
    writers = [start("tests.memory.writer", folder, name, 60) for name in "abc"]
    for writer in writers:
        _, errors = writer.communicate()
        assert writer.returncode == 0, errors
    collection = opened(few=20)
    texts = [f"writer {name} says w{name}{number}" for name in "abc" for number in range(60)]
    assert sorted(entry.text for entry in collection.entries()) == sorted([*texts, "said by all"])
    for text in texts:
        assert collection.search(text, limit=1)[0].text == text
