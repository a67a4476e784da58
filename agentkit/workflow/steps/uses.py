"""`uses`: call a tool with the arguments of `with`; `review` decides whether its result will do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agentkit.errors import ApprovalNeeded, ToolError
from agentkit.fitting import first_misfit
from agentkit.outcomes import Failed, NeedsApproval, Retry, Returned
from agentkit.ports import ChatModel
from agentkit.toolbox import Tool
from agentkit.workflow.quality import Check
from agentkit.workflow.report import StepReport
from agentkit.workflow.steps.scope import Result, Scope


def perform(
    tool: str,
    arguments: Mapping[str, Any],
    checks: Sequence[Check],
    schema: Mapping[str, Any] | None,
    chat: Callable[[], ChatModel],
    scope: Scope,
    *,
    own: Tool | None = None,
    parse: Callable[[Any], Any] = lambda value: value,
) -> Result:
    """Call it, and check the result; `chat` gives the model that answers questions about it.

    `own` is a tool that is in no toolbox; `parse` reads its value first.

    Raises `ApprovalNeeded` where a person has to allow it first, `ToolError` (or the error behind
    it) for any outcome that is not a value, and for a value that does not fit the schema or fails a
    check: a workflow has nobody who could make a better call.
    """
    report = _WithTheStep(scope.report)
    match scope.caller.call(tool, arguments, report, scope.cancel, tool=own):
        case Returned(said):
            value = parse(said)
            _fits(value, schema)
            if not checks:
                return Result(value)
            from agentkit.workflow.steps import review

            return Result(value, review.passed(checks, tool, value, chat, scope))
        case Retry(hint):
            raise ToolError(hint)
        case Failed(reason, cause):
            raise cause or ToolError(reason)
        case NeedsApproval(request, reason):
            raise ApprovalNeeded(request, reason)


class _WithTheStep:
    """A report of a call with which its step ends: both ends are written at once.

    Nothing is lost by that: a step of which the end is not on record is done again anyway.
    """

    def __init__(self, report: StepReport) -> None:
        self.called = report.called
        self.progress = report.progress
        self.warned = report.warned
        self.artifact = report.artifact
        self._report = report

    def returned(self, call: str, tool: str, status: str, size: int, outcome: Any) -> None:
        """See `Report.returned`."""
        self._report.returned(call, tool, status, size, outcome, more=True)


def _fits(value: Any, schema: Mapping[str, Any] | None) -> None:
    if schema is None:
        return
    fault = first_misfit(value, schema)
    if fault is not None:
        where = "".join(f"[{part!r}]" for part in fault.absolute_path)
        raise ToolError(f"the result does not fit output_schema{where and ' at ' + where}: "
                        f"{fault.message}")  # fmt: skip
