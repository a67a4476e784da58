"""The state as a conversation: what every question of an agent begins with.

    system      who the agent is (the same for all agents)
    user        the objective
    ...         tasks, calls, results, notes: only ever appended to
    user        the question of this phase: not kept

So that no token is read twice, nothing before the end changes from question to question.  When the
context fills, observations are shown in short, from the oldest on and many at once, because each
time costs reading what comes after them again; if that is not enough, only the results are left of
finished tasks, and in the end these in short, too.  A failed attempt leaves its lesson, not its
steps.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from agentkit.agent.state import AgentState, Turn
from agentkit.messages import Message, ToolCall

SHORT = 160
"""Characters that are left of an observation that is shown in short."""

SHORTER = (480, SHORT, 60)
"""Characters that are left of a result in a list of results, as room gets scarce."""

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
    folded, brief = set(over[: state.short_tasks]), set(over[: state.short_results])
    acts = 0
    for turn in state.turns:
        acts += turn.act is not None
        if _superseded(turn, state) or (turn.act and turn.task in folded):
            continue
        if turn.kind == "task" and turn.text == state.objective:
            continue  # it was said already
        short = acts <= state.short_observations if turn.act else turn.task in brief
        told += _turn(turn, short=short)
    return tuple(_merged(told))


def eased(
    state: AgentState, size: Callable[[AgentState], int], room: int, full: float = FULL
) -> AgentState | None:
    """The state with as much shown in short as it takes to fit; None: it fits as it is.

    `size` counts the tokens of the conversation of a state, `full` is the share of the room that it
    may have.  What comes back is the best that can be done, and may still be too long.
    """
    if size(state) <= room * full:
        return None
    most = max(0, len(state.acts()) - KEPT)
    for shorter in _shorter(state):
        low, high = state.short_observations, most
        while low < high:
            middle = (low + high) // 2
            if size(replace(shorter, short_observations=middle)) <= room * EASED:
                high = middle
            else:
                low = middle + 1
        best = replace(shorter, short_observations=max(low, state.short_observations))
        if size(best) <= room * full:
            break
    return None if best == state else best


def _shorter(state: AgentState) -> Iterator[AgentState]:
    """The state with less and less of its finished tasks, from the oldest on."""
    for tasks in range(state.short_tasks, state.spent.tasks + 1):
        yield replace(state, short_tasks=tasks)
    for results in range(state.short_results + 1, state.spent.tasks + 1):
        yield replace(state, short_tasks=state.spent.tasks, short_results=results)


def listed(done: Sequence[tuple[str, str]], fits: Callable[[str], bool]) -> str:
    """Tasks and their results, for a question: long results in short, from the oldest on, until
    all of it fits, or no more can be done.
    """
    lines = [f"- {task}: {result}" for task, result in done]
    for length in SHORTER:
        for number, (task, result) in enumerate(done):
            if fits("\n".join(lines)):
                break
            lines[number] = f"- {_short(task, length)}: {_short(result, length)}"
    return "\n".join(lines)


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
    told = _short(turn.text) if short else turn.text
    if turn.kind == "result":
        return [Message("assistant", told)]
    return [Message("user", f"{LABELS[turn.kind]}: {told}")]


def _merged(told: Sequence[Message]) -> list[Message]:
    """Without two turns of a person in a row: some templates refuse them."""
    merged: list[Message] = []
    for message in told:
        if merged and message.role == merged[-1].role == "user":
            merged[-1] = Message("user", f"{merged[-1].content}\n\n{message.content}")
        else:
            merged.append(message)
    return merged


def _short(text: str, length: int = SHORT) -> str:
    """Its head and its tail."""
    head, tail = length * 3 // 4, length * 3 // 16
    return text if len(text) <= length else f"{text[:head]} [...] {text[-tail:]}"
