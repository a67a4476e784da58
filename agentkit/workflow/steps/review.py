"""`checks` of a result that no model made: whether it will do, and what asking a model cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agentkit.agent.checks import first_fault
from agentkit.agent.strategies import Asker
from agentkit.errors import ToolError
from agentkit.messages import ChatRequest, Message, Usage
from agentkit.outcomes import Returned
from agentkit.ports import ChatModel
from agentkit.toolbox.answer import counter
from agentkit.toolbox.caller import new_call_id
from agentkit.toolbox.output import show
from agentkit.workflow.quality import OUTPUTS, Check
from agentkit.workflow.steps import quality
from agentkit.workflow.steps.scope import Scope

SHARE = 2
"""A result that a model is asked about may have this part of its context."""


def passed(
    checks: Sequence[Check], tool: str, value: Any, chat: Callable[[], ChatModel], scope: Scope
) -> Usage | None:
    """What it cost to ask a model, None: it was not asked.  Raises `ToolError` for what failed."""
    asked = _Asked(tool, value, chat, scope)
    made = [*quality.checks(checks, scope, OUTPUTS, asked.likely)]
    quality.accept(first_fault(made, value), value, ToolError)
    return asked.usage


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
