"""Whether it is up, whether it takes work, and numbers."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from agentkit import __version__
from agentkit.inventory import ServiceInfo
from agentkit.web.service import Here

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """It answers."""

    status: Literal["ok"] = "ok"


@router.get("/health")
async def health() -> Health:
    """Up.  Needs no token."""
    return Health()


@router.get("/ready", responses={503: {"description": "It stops, or its journal cannot be read."}})
def ready(here: Here, response: Response) -> Annotated[dict[str, bool], "ready"]:
    """Takes work.  Needs no token."""
    is_ready = not here.stopping
    if is_ready:
        here.runtime.journal.count()  # a journal that cannot be read is a 503 with its reason
    response.status_code = 200 if is_ready else 503
    return {"ready": is_ready}


@router.get("/metrics", response_class=Response)
async def metrics(here: Here) -> Response:
    """Numbers in Prometheus' text format."""
    return Response(here.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/api/service")
def about(here: Here) -> ServiceInfo:
    """What runs here."""
    return ServiceInfo(__version__, here.began, tuple(here.background.at_work()))
