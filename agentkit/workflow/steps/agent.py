"""`agent`: a task loop works towards an objective."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from agentkit.agent.budget import Budget
from agentkit.agent.checks import Check, first_fault
from agentkit.agent.run import REPORT, Order, Part, Surroundings, pursue
from agentkit.errors import UserError
from agentkit.ports import ChatModel
from agentkit.workflow.agents import Agent
from agentkit.workflow.steps import quality
from agentkit.workflow.steps.scope import Result, Scope, Services


def record(agent: Agent, model: ChatModel) -> dict[str, Any]:
    """What the journal keeps of an objective."""
    return {"model": model.name, **agent.model_dump(exclude={"model"}, by_alias=True)}


def perform(agent: Agent, model: ChatModel, services: Services, scope: Scope) -> Result:
    """Work on it, or go on where an earlier part of the same run was.

    The outputs are the answer (data where a check is a schema), why it ended, the name of the
    report, and what it took.  Raises what `agentkit.agent.run.pursue` raises.
    """
    if not agent.objective.strip():
        raise UserError("an agent needs an objective, and this one is empty")
    place = scope.report.place
    past = services.past(place["run"], place["step"], scope.report.key)
    caller = replace(scope.caller, offered=tuple(agent.tools))
    done = pursue(
        _order(agent, scope),
        Surroundings(
            model,
            caller,
            scope.report,
            scope.cancel,
            services.embedder,
            letters=lambda: services.letters(place["run"]),
            told=past.told,
            calls=past.calls,
        ),
    )
    has_schema = any(check.schema_ is not None for check in agent.checks)
    outputs = {
        "answer": _data(done.answer) if has_schema else done.answer,
        "reason": done.reason,
        "report": REPORT,
        "tasks": done.tasks,
        "steps": done.steps,
        "seconds": round(done.seconds, 1),
    }
    return Result(outputs, done.usage)


def _order(agent: Agent, scope: Scope) -> Order:
    schemas = [check.schema_ for check in agent.checks if check.schema_ is not None]
    left_out: list[Part] = []
    left_out += [] if agent.reflection else ["reflection"]
    left_out += [] if agent.memory else ["memory"]
    checks = tuple(quality.check(check, scope) for check in agent.checks)
    fault = _fault([check for check in checks if not isinstance(check, str)], data=bool(schemas))
    return Order(
        agent.objective,
        tuple(agent.tools),
        Budget(**agent.budget.model_dump()),
        checks,
        schemas[0] if schemas else None,
        None if agent.strategy is None else quality.strategy(agent.strategy, fault),
        frozenset(left_out) | scope.without,
    )


def _fault(checks: Sequence[Check], *, data: bool) -> Callable[[str], str]:
    """What code finds wrong with a final answer; questions about it are asked in the agent's own
    conversation, afterwards.
    """

    def fault(text: str) -> str:
        try:
            answer = json.loads(text) if data else text.strip()
        except ValueError as error:
            return f"the answer is not JSON ({error})"
        found = first_fault(checks, answer)
        return found[1] if found else ""

    return fault


def _data(answer: str) -> Any:
    """The answer as data, as far as it got."""
    try:
        return json.loads(answer)
    except ValueError:
        return answer
