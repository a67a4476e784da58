"""An objective that a person typed, as the workflow with one step that it is.

So a run of it is journaled, parked, resumed and shown like any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from agentkit.values import dataclass
from agentkit.workflow.agents import TOOLS

COMMAND = "agentkit agent"
"""What such a run has as its source, where others have a file."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person says about an agent; what is left out is as `agentkit agent --help` says."""

    tools: Sequence[str] = TOOLS
    model: str | None = None
    budget: Mapping[str, int] = field(default_factory=dict)
    checks: Sequence[Mapping[str, Any]] = ()
    strategy: str | Mapping[str, Any] | None = None
    reflection: bool = True
    memory: bool = True


def definition(wish: Wish) -> str:
    """The agent's file that the wish would be.  The objective is an input: it is no template."""
    about: dict[str, Any] = {
        "name": "agent",
        "inputs": {"objective": {}, "folder": {"type": "folder", "required": False}},
        "objective": "${{ inputs.objective }}",
        "tools": list(wish.tools),
        "budget": dict(wish.budget),
        "checks": [dict(check) for check in wish.checks],
        "reflection": wish.reflection,
        "memory": wish.memory,
    }
    if wish.model is not None:
        about["model"] = wish.model
    if wish.strategy is not None:
        about["strategy"] = wish.strategy if isinstance(wish.strategy, str) else dict(wish.strategy)
    return json.dumps(about, indent=2, ensure_ascii=False)


def given(objective: str, folder: Path | None) -> dict[str, Any]:
    """The inputs of its run."""
    inputs: dict[str, Any] = {"objective": objective}
    if folder is not None:
        inputs["folder"] = str(folder)
    return inputs
