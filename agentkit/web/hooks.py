"""Webhooks: requests without a token of ours, each signed with a secret of its own workflow."""

from __future__ import annotations

import anyio.to_thread
from fastapi import APIRouter, Request
from pydantic import BaseModel

from agentkit.runtime import Scheduling


class Started(BaseModel):
    """The run that a webhook starts."""

    run: str


def router(scheduling: Scheduling) -> APIRouter:
    """`POST /hooks/NAME`."""
    made = APIRouter(tags=["hooks"])

    @made.post("/hooks/{workflow}", status_code=202)
    async def hook(workflow: str, request: Request) -> Started:
        """Start a workflow that has a webhook among its triggers.

        Signed as Standard Webhooks or GitHub do it.  401: the signature does not fit, or is old;
        409: it was delivered before.
        """
        body, headers = await request.body(), dict(request.headers)
        run = await anyio.to_thread.run_sync(scheduling.hook, workflow, headers, body)
        return Started(run=run)

    return made
