"""What a service tells of what it has, and no record holds: workflows, models, due times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import Any

from agentkit.values import dataclass


@dataclass(frozen=True, slots=True)
class WorkflowInput:
    """What has to be given, or may be."""

    type: str
    required: bool
    description: str = ""
    default: Any = None


@dataclass(frozen=True, slots=True)
class WorkflowInfo:
    """A workflow as a caller sees it."""

    name: str
    description: str = ""
    inputs: Mapping[str, WorkflowInput] = field(default_factory=dict)
    steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that can be named; `size` in bytes, None while it is not known."""

    name: str
    role: str | None
    summary: str
    size: int | None
    installed: bool
    fault: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory; bytes and seconds.  `users` counts those who ask it now."""

    key: str
    ram: int
    vram: int
    users: int
    idle: float


@dataclass(frozen=True, slots=True)
class Due:
    """A time at which something starts."""

    time: datetime
    workflow: str
    trigger: str


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """The service itself; `runs` are those that are under way."""

    version: str
    began: datetime
    runs: tuple[str, ...]
