"""`approve`: a person decides.

The question goes on record, and where nobody answers at once the run is parked and holds nothing;
the answer is found when it goes on.
"""

from __future__ import annotations

from agentkit.durations import shown
from agentkit.errors import TimedOut, ToolError, UserError
from agentkit.workflow.spec import Approve
from agentkit.workflow.steps.scope import Result, Scope

NAME = "approve"
"""Who asks, on record."""


def perform(approve: Approve, scope: Scope) -> Result:
    """Ask, or find the answer.

    The outputs are the `answer` and whether that means it is `approved`.  Raises `ApprovalNeeded`
    while nobody has answered, `TimedOut` if nobody did in time, `ToolError` for a no.
    """
    if not approve.text.strip():
        raise UserError("a person is asked something, and this question is empty")
    report, place = scope.report, scope.report.place
    report.started("approve", {"text": approve.text, "choices": approve.choices})
    about = {"step": place["step"], "item": scope.report.key}
    try:
        answer = scope.caller.approvals.text(
            NAME, approve.text, approve.choices, scope.cancel, about, approve.timeout
        )
    except TimedOut as late:
        if approve.on_timeout == "fail":
            assert approve.timeout is not None
            raise TimedOut(f"nobody answered within {shown(approve.timeout)}") from late
        answer = approve.choices[0 if approve.on_timeout == "approve" else -1]
    approved = answer != approve.choices[-1]
    if not approved and approve.on_reject == "fail":
        raise ToolError(f"a person said {answer!r}")
    return Result({"answer": answer, "approved": approved})
