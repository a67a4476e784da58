"""/v1/models: those that can be asked now."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from agentkit.errors import ModelMissing, UnknownName
from agentkit.runtime import Runtime
from agentkit.web.openai.refusals import Route
from agentkit.web.service import Here

router = APIRouter(tags=["openai"], route_class=Route)


@router.get("/v1/models")
def listed(here: Here) -> dict[str, Any]:
    """Those of this machine, and the remotes of settings."""
    made = int(here.began.timestamp())
    return {"object": "list", "data": [_model(*one, made) for one in _known(here.runtime).items()]}


@router.get("/v1/models/{name}")
def one(name: str, here: Here) -> dict[str, Any]:
    """One of them."""
    known = _known(here.runtime)
    if name not in known:
        if name in here.runtime.model_names():
            raise ModelMissing(name)
        raise UnknownName("model", name, known, hint="GET /v1/models")
    return _model(name, known[name], int(here.began.timestamp()))


def _known(runtime: Runtime) -> dict[str, str]:
    """Names, and who has the model."""
    here = {one.name: "agentkit" for one in runtime.store.entries() if one.installed}
    return here | dict.fromkeys(runtime.settings.remotes, "remote")


def _model(name: str, owner: str, made: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": made, "owned_by": owner}
