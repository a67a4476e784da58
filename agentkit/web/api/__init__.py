"""Our own API: runs and what happens in them, workflows, questions, memory, models.

health     whether it is up, and numbers
workflows  what can be run
runs       begun, looked at, spoken to
events     what happens in a run, as it happens
artifacts  files that runs made
approvals  questions to a person
memory     texts that are remembered
models     what is on this machine, and in its memory
schedules  what will be run when
transcripts recordings of this machine, written down
told       work that says how far it is
"""

from __future__ import annotations

from fastapi import APIRouter

from agentkit.web.api import (
    approvals,
    artifacts,
    events,
    health,
    memory,
    models,
    runs,
    schedules,
    transcripts,
    workflows,
)

ROUTERS: tuple[APIRouter, ...] = (
    health.router,
    workflows.router,
    runs.router,
    events.router,
    artifacts.router,
    approvals.router,
    schedules.router,
    memory.router,
    transcripts.router,
    models.router,
)
