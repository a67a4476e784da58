"""`uses`: call a tool with the arguments of `with`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentkit.errors import ApprovalNeeded, ToolError
from agentkit.outcomes import Failed, NeedsApproval, Retry, Returned
from agentkit.workflow.steps.scope import Result, Scope


def perform(tool: str, arguments: Mapping[str, Any], scope: Scope) -> Result:
    """Call it.

    Raises `ApprovalNeeded` where a person has to allow it first, `ToolError` (or the error behind
    it) for any outcome that is not a value: a workflow has nobody who could make a better call.
    """
    match scope.caller.call(tool, arguments, scope.report, scope.cancel):
        case Returned(value):
            return Result(value)
        case Retry(hint):
            raise ToolError(hint)
        case Failed(reason, cause):
            raise cause or ToolError(reason)
        case NeedsApproval(request, reason):
            raise ApprovalNeeded(request, reason)
