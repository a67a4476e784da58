"""`uses`: call a tool with the arguments of `with`; `checks` decide whether its result will do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentkit.agent.checks import first_fault
from agentkit.agent.strategies import Asker
from agentkit.errors import ApprovalNeeded, ToolError
from agentkit.fitting import first_misfit
from agentkit.messages import ChatRequest, Message, Usage
from agentkit.outcomes import Failed, NeedsApproval, Retry, Returned
from agentkit.ports import ChatModel
from agentkit.toolbox import Tool
from agentkit.toolbox.answer import counter
from agentkit.toolbox.caller import new_call_id
from agentkit.toolbox.output import show
from agentkit.workflow.quality import OUTPUTS, Check
from agentkit.workflow.report import StepReport
from agentkit.workflow.steps import quality
from agentkit.workflow.steps.scope import Result, Scope

SHARE = 2
"""A result that a model is asked about may have this part of its context."""


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
            asked = _Asked(tool, value, chat, scope)
            made = [*quality.checks(checks, scope, OUTPUTS, asked.likely)]
            quality.accept(first_fault(made, value), value, ToolError)
            return Result(value, asked.usage)
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


@dataclass
class _Asked:
    """A model that is asked about a result, and what that cost; None: it was not asked."""

    tool: str
    value: Any
    chat: Callable[[], ChatModel]
    scope: Scope
    usage: Usage | None = None

    def likely(self, question: str, said: str) -> float:
        model = self.chat()
        shown = show(
            Returned(self.value),
            self.tool,
            new_call_id(),
            budget=model.context_tokens // SHARE,
            count=counter(model),
            folder=self.scope.caller.outputs.parent,
            can_page=False,
        )
        asker = Asker(model, ChatRequest((Message("user", shown.text),)), self.scope.cancel)
        sure = asker.likely(quality.yes_or_no(question))
        self.usage = (self.usage or Usage()) + asker.usage
        return sure
