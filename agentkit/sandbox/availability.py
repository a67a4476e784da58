"""Whether programs can be kept apart on this machine: it is tried, not guessed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from agentkit.errors import MachineError
from agentkit.jobs import Job
from agentkit.sandbox.bubblewrap import BubblewrapSandbox


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether it works; if not, why, and what to do about it."""

    works: bool
    reason: str = ""
    hint: str = ""


def availability() -> Availability:
    """Run something in a sandbox and see."""
    with tempfile.TemporaryDirectory(prefix="agentkit-") as folder:
        try:
            result = BubblewrapSandbox().run(Job(("python3", "-c", "pass"), Path(folder)))
        except MachineError as error:
            return Availability(False, error.message, error.hint or "")
    if result.exit_code:
        said = result.stderr.decode("utf-8", "replace").strip()
        return Availability(False, f"Python does not run in the sandbox: {said}")
    return Availability(True)
