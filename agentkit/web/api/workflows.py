"""What can be run."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from agentkit.errors import UnknownName
from agentkit.runtime import Runtime
from agentkit.web.service import Here

router = APIRouter(prefix="/api/workflows", tags=["workflows"])


class WorkflowInput(BaseModel):
    """What has to be given, or may be."""

    type: str
    description: str = ""
    required: bool
    default: Any = None


class WorkflowInfo(BaseModel):
    """A workflow as a caller sees it."""

    name: str
    description: str
    inputs: dict[str, WorkflowInput]
    steps: list[str]


@router.get("")
def names(here: Here) -> list[str]:
    """The names of all workflows and agents."""
    return here.runtime.workflow_names()


@router.get("/{name}")
def workflow(name: str, here: Here) -> WorkflowInfo:
    """One of them, checked."""
    spec = here.runtime.workflow(known(name, here.runtime)).spec
    inputs = {
        key: WorkflowInput(
            type=one.type,
            description=one.description,
            required=not one.optional,
            default=one.default,
        )
        for key, one in spec.inputs.items()
    }
    steps = [step.id for step in spec.steps]
    return WorkflowInfo(name=name, description=spec.description, inputs=inputs, steps=steps)


def known(name: str, runtime: Runtime) -> str:
    """The name of a workflow, and no path.  Raises `UnknownName`."""
    names = runtime.workflow_names()
    if name not in names:
        raise UnknownName("workflow", name, names, hint="agentkit run --help")
    return name
