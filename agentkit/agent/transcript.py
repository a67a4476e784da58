"""The state as a conversation: what every question of an agent begins with.

    system      who the agent is (the same for all agents)
    user        the objective
    ...         tasks, calls, results, notes: only ever appended to
    user        the question of this phase: not kept

So that no token is read twice, nothing before the end changes from question to question.  When the
context fills, observations are shown in short, from the oldest on and many at once, because each
time costs reading what comes after them again; if that is not enough, only the results are left of
finished tasks.  A failed attempt leaves its lesson, not its steps.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from agentkit.agent.state import AgentState, Turn
from agentkit.messages import Message, ToolCall

SHORT = 160
"""Characters that are left of an observation that is shown in short."""

FULL = 0.85
"""Share of the room at which observations are shortened,"""
EASED = 0.6
"""and to which."""

LABELS = {
    "task": "Task",
    "note": "Note from the person",
    "fault": "This is not accepted",
}
"""What the turns of a person begin with."""

KEPT = 2
"""The newest observations are never shortened."""


def messages(state: AgentState, system: str) -> tuple[Message, ...]:
    """The conversation so far."""
    told = [Message("system", system), Message("user", f"Objective: {state.objective}")]
    over = [task.id for task in state.tasks.tasks if task.over]
    folded = set(over[: state.short_tasks])
    acts = 0
    for turn in state.turns:
        acts += turn.act is not None
        if _superseded(turn, state) or (turn.act and turn.task in folded):
            continue
        if turn.kind == "task" and turn.text == state.objective:
            continue  # it was said already
        told += _turn(turn, short=acts <= state.short_observations)
    return tuple(_merged(told))


def eased(state: AgentState, size: Callable[[AgentState], int], room: int) -> AgentState | None:
    """The state with as much shown in short as it takes to fit; None: it fits as it is.

    `size` counts the tokens of the conversation of a state.  What comes back is the best that can
    be done, and may still be too long.
    """
    if size(state) <= room * FULL:
        return None
    most = max(0, len(state.acts()) - KEPT)
    for tasks in range(state.short_tasks, state.spent.tasks + 1):
        shorter = replace(state, short_tasks=tasks)
        low, high = state.short_observations, most
        while low < high:
            middle = (low + high) // 2
            if size(replace(shorter, short_observations=middle)) <= room * EASED:
                high = middle
            else:
                low = middle + 1
        best = replace(shorter, short_observations=max(low, state.short_observations))
        if size(best) <= room * FULL:
            break
    same = (best.short_observations, best.short_tasks) == (
        state.short_observations,
        state.short_tasks,
    )
    return None if same else best


def _superseded(turn: Turn, state: AgentState) -> bool:
    """Whether a turn belongs to an attempt that was followed by another one."""
    return bool(turn.task) and turn.attempt < state.tasks[turn.task].attempts


def _turn(turn: Turn, *, short: bool) -> list[Message]:
    if turn.act is not None:
        step = turn.act.step
        arguments = json.dumps(step.arguments, ensure_ascii=False)
        call = ToolCall(turn.act.call, step.tool, arguments)
        text = _short(step.text) if short else step.text
        return [
            Message("assistant", "", tool_calls=(call,)),
            Message("tool", text, tool_call_id=call.id),
        ]
    if turn.kind == "result":
        return [Message("assistant", turn.text)]
    return [Message("user", f"{LABELS[turn.kind]}: {turn.text}")]


def _merged(told: Sequence[Message]) -> list[Message]:
    """Without two turns of a person in a row: some templates refuse them."""
    merged: list[Message] = []
    for message in told:
        if merged and message.role == merged[-1].role == "user":
            merged[-1] = Message("user", f"{merged[-1].content}\n\n{message.content}")
        else:
            merged.append(message)
    return merged


def _short(text: str) -> str:
    return text if len(text) <= SHORT else f"{text[: SHORT - 40]} [...] {text[-30:]}"
