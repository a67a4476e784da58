"""`checks` and `strategy` as what they do: from the words of a file to the agent's own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from agentkit.agent import checks as agent
from agentkit.agent import strategies
from agentkit.errors import AgentkitError
from agentkit.workflow import expressions
from agentkit.workflow.quality import ANSWER, Check, Strategy
from agentkit.workflow.steps.scope import Scope

SHOWN = 200
SCRIPT = "run"
"""What scripts of checks are called in permissions: the same as those of steps."""
"""Characters of a result that are shown with what is wrong with it."""


def check(said: Check, scope: Scope, word: str = ANSWER) -> agent.Check | str:
    """One check; a text is a question to the model."""
    folder = scope.caller.folder
    if said.schema_ is not None:
        return agent.FitsSchema(said.schema_)
    if said.expression is not None:
        return agent.Holds(
            said.expression,
            partial(_evaluated, scope.beginning),
            folder,
            scope.facts,
            word,
            said.reason or "",
        )
    if said.script is not None:
        about = {"script": said.script}
        sandbox = partial(scope.caller.sandbox, SCRIPT, about, scope.cancel)
        return agent.Succeeds(said.script, sandbox, folder, scope.cancel)
    return said.question or ""


def checks(
    said: Sequence[Check], scope: Scope, word: str, likely: Callable[[str, str], float]
) -> Iterator[agent.Check]:
    """All of them; `likely` is how sure the model is of a yes to a question about an answer."""
    for one in said:
        made = check(one, scope, word)
        yield agent.Answers(made, likely) if isinstance(made, str) else made


def accept(found: agent.Fault | None, answer: Any, error: type[AgentkitError]) -> None:
    """Raise an error, with the reason and what it was about, if a check failed."""
    if found is not None:
        shown = json.dumps(answer, ensure_ascii=False)
        shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."
        raise error(f"the {found[0]} check failed: {found[1].rstrip('.')}. It was about: {shown}")


def yes_or_no(question: str) -> str:
    """How a model is asked a question about a result."""
    return f"{question}\nAnswer yes or no."


def strategy(said: Strategy, fault: strategies.Check = lambda answer: "") -> strategies.Strategy:
    """How a question is answered; `fault` is what tells a good answer from a bad one."""
    match said.name:
        case "chain_of_thought":
            return strategies.chain_of_thought
        case "self_consistency":
            return partial(strategies.self_consistency, samples=said.samples)
        case "tree_of_thought":
            return partial(
                strategies.tree_of_thought,
                proposals=said.proposals,
                breadth=said.breadth,
                depth=said.depth,
            )
        case "reflect":
            return partial(strategies.reflect, check=fault, attempts=said.attempts)


def _evaluated(
    beginning: expressions.Beginning | None, expression: str, facts: Mapping[str, Any]
) -> Any:
    whole = f"{expressions.OPEN} {expression} {expressions.CLOSE}"
    return expressions.render(whole, facts, beginning)
