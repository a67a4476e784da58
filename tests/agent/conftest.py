"""A stage for agents: an empty folder, the shipped tools, and nobody who answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from .player import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    for name in ("work", "own"):
        (tmp_path / name).mkdir()
    return Stage(tmp_path / "work", tmp_path / "own")
