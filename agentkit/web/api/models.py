"""Models: what is on this machine, and in its memory."""

from __future__ import annotations

from fastapi import APIRouter

from agentkit.inventory import Loaded, ModelInfo
from agentkit.web.service import Here

router = APIRouter(prefix="/api/models", tags=["models"])


@router.get("")
def models(here: Here) -> list[ModelInfo]:
    """Those of this machine, and those that could be brought here."""
    return [
        ModelInfo(
            name=one.name,
            role=one.role,
            summary=one.summary,
            size=one.size,
            installed=one.installed,
            fault=one.fault,
        )
        for one in here.runtime.store.entries()
    ]


@router.get("/loaded")
def loaded(here: Here) -> list[Loaded]:
    """Those in memory."""
    return [
        Loaded(key=one.key, ram=one.ram, vram=one.vram, users=one.users, idle=one.idle)
        for one in here.runtime.pool.holdings()
    ]


@router.post("/unload")
def unload(here: Here) -> list[Loaded]:
    """Give the memory of idle models back; what is left."""
    for one in here.runtime.pool.holdings():
        if not one.users:
            here.runtime.pool.drop(one.key)
    return loaded(here)
