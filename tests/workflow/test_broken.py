"""What `agentkit check` says about workflows with mistakes, word for word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

BROKEN = Path(__file__).parent / "broken"
FILES = sorted(BROKEN.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_messages(file: Path, agentkit: Callable[..., Result], update_golden: bool) -> None:
    result = agentkit("check", file.name, folder=BROKEN)
    golden = file.with_suffix(".txt")
    if update_golden:
        golden.write_text(result.output, encoding="utf-8")
    assert result.output == golden.read_text(encoding="utf-8")
    assert result.exit_code == 1
