"""What exists outside the file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import field
from pathlib import Path

from agentkit.toolbox import Tool
from agentkit.values import dataclass
from agentkit.workflow.spec import Workflow

Others = Mapping[str, Workflow | None]
"""Workflows by name; None for one that is there and has problems of its own."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Tools, models, other workflows, queues of settings, and the folder of the file itself."""

    tools: Mapping[str, Tool]
    models: Collection[str]
    others: Others = field(default_factory=dict)
    queues: Collection[str] = ()
    folder: Path = Path()
    files: Mapping[str, str] | None = None
    """What the files that it names said when a run began; None: they are read."""
    sees: Callable[[str | None], bool] = lambda model: True
    """Whether a model may look at pictures; None: the one of the role."""
