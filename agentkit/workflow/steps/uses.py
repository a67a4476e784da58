"""`uses`: call a tool with the arguments of `with`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agentkit.errors import ToolError
from agentkit.workflow.steps.scope import Result, Scope


def perform(tool: str, arguments: Mapping[str, Any], scope: Scope) -> Result:
    """Call it.  Raises `ToolError` also for a result that is not plain data."""
    outputs = scope.services.toolbox.call(tool, arguments, scope)
    try:
        return Result(json.loads(json.dumps(outputs)))
    except (TypeError, ValueError) as error:
        raise ToolError(f"tool {tool!r} gave back what is not plain data: {error}") from None
