"""What can be run."""

from __future__ import annotations

from fastapi import APIRouter

from agentkit.errors import UnknownName
from agentkit.inventory import WorkflowInfo, WorkflowInput
from agentkit.runtime import Runtime
from agentkit.web.service import Here

router = APIRouter(prefix="/api/workflows", tags=["workflows"])


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
    steps = tuple(step.id for step in spec.steps)
    return WorkflowInfo(name=name, description=spec.description, inputs=inputs, steps=steps)


def known(name: str, runtime: Runtime) -> str:
    """The name of a workflow, and no path.  Raises `UnknownName`."""
    names = runtime.workflow_names()
    if name not in names:
        raise UnknownName("workflow", name, names, hint="agentkit run --help")
    return name
