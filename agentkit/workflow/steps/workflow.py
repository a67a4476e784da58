"""`uses: workflow:NAME`: another workflow, as a run of its own that belongs to this one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentkit.errors import StepFailed, ToolError
from agentkit.workflow.steps.scope import Result, Scope, Services


def perform(name: str, given: Mapping[str, Any], services: Services, scope: Scope) -> Result:
    """Its outputs; a run that was begun earlier is gone on with.

    Raises `ToolError` if one of its steps failed, and what else a run raises.
    """
    place = scope.report.place
    run = child_id(place["run"], place["step"], scope.report.key)
    try:
        return Result(services.child(name, given, run, place["run"], scope.cancel))
    except StepFailed as fault:
        hint = fault.hint or f"agentkit runs show '{run}'"
        raise ToolError(f"the workflow {name} failed: {fault}", hint=hint) from None


def child_id(run: str, step: str, key: str) -> str:
    """The same for the same step of the same run, so that it is found again."""
    return f"{run}.{step}" + (f"[{key}]" if key else "")
