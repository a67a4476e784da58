"""A service to which nobody has ever spoken does what it is there for."""

from __future__ import annotations

import time
from pathlib import Path

from agentkit.config import Settings
from agentkit.journal import Journal

from .conftest import LIMIT, Start

TICK = "name: tick\ntriggers: [{every: 1s}]\nsteps: [{id: a, uses: say, with: {text: tick}}]\n"


def test_what_is_due_begins_before_any_client_connects_goose_10765(
    home: Path, serve: Start
) -> None:
    (home / "workflows" / "tick.yaml").write_text(TICK)
    serve()

    journal = Journal(Settings.load().journal_file)
    try:
        end = time.monotonic() + LIMIT
        while not any(run.status == "succeeded" for run in journal.runs()):
            assert time.monotonic() < end, "nothing began"
            time.sleep(0.1)
        assert {run.workflow for run in journal.runs()} == {"tick"}
    finally:
        journal.close()
