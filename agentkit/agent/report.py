"""What an agent leaves for a person: an answer, what was done, and what each claim rests on."""

from __future__ import annotations

import json

from agentkit.agent.budget import StopReason
from agentkit.agent.state import Act, AgentState

WHY: dict[StopReason, str] = {
    "done": "The objective was worked through to its end.",
    "nothing_left": "No task is left, but not all of them succeeded.",
    "tasks": "It stopped at the limit of tasks: this is what there is so far.",
    "steps": "It stopped at the limit of steps: this is what there is so far.",
    "tokens": "It stopped at the limit of tokens: this is what there is so far.",
    "seconds": "It stopped at the limit of time: this is what there is so far.",
    "stuck": "It stopped because it went round in circles: this is what there is so far.",
    "context": "It stopped because the model's context is full: this is what there is so far.",
    "needs_approval": "It waits for a person's answer.",
    "paused": "It was paused.",
    "cancelled": "It was cancelled: this is what there is so far.",
    "failed": "It failed: this is what there is so far.",
}

MARKS = {"done": "x", "failed": "!", "dropped": "-"}


def write_report(state: AgentState, reason: StopReason, answer: str) -> str:
    """Markdown; what tools and model said stands in it as text."""
    lines = [f"# {_line(state.objective)}", "", answer.strip(), "", f"*{WHY[reason]}*"]
    lines += ["", "## What was done", ""]
    for task in state.tasks.tasks:
        sources = "".join(f" [{_source(state, call)}]" for call in task.evidence[-3:])
        result = f": {_line(task.result)}" if task.result else ""
        lines.append(f"- [{MARKS.get(task.status, ' ')}] {_line(task.text)}{result}{sources}")
    acts = state.acts()
    if acts:
        lines += ["", "## Sources", ""]
        lines += [f"{n}. `{_call(act)}` {act.step.status}" for n, act in enumerate(acts, 1)]
    return "\n".join(lines) + "\n"


def _source(state: AgentState, call: str) -> str:
    return str(next(n for n, act in enumerate(state.acts(), 1) if act.call == call))


def _call(act: Act) -> str:
    arguments = ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}"
        for name, value in act.step.arguments.items()
    )
    return _line(f"{act.step.tool}({arguments})").replace("`", "'")[:200]


def _line(text: str) -> str:
    return " ".join(text.split())
