"""A model's answer, with the tool calls that it makes on the way.

One question, a bounded number of turns, no plan and no memory: what a prompt of a workflow needs.
The history is only appended to, so that no prompt is read twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from agentkit.cancel import CancelToken
from agentkit.errors import ApprovalNeeded, Cancelled, ModelError
from agentkit.messages import ChatRequest, Completion, Message, ToolCall, Usage
from agentkit.outcomes import NeedsApproval
from agentkit.ports import ChatModel
from agentkit.toolbox.caller import Caller, new_call_id
from agentkit.toolbox.context import Report
from agentkit.toolbox.output import show

MAX_TURNS = 8
"""Turns with calls; after so many, the model has to answer."""

SHARE = 4
"""A result gets this part of the context."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The last completion, what all turns cost together, and the conversation up to it."""

    completion: Completion
    usage: Usage
    messages: tuple[Message, ...]


def answer(
    model: ChatModel,
    request: ChatRequest,
    caller: Caller,
    report: Report,
    cancel: CancelToken,
    *,
    max_turns: int = MAX_TURNS,
) -> Answer:
    """Ask, make the calls that the model asks for, and ask again until it answers.

    Raises `ApprovalNeeded` when a call waits for a person, `Cancelled`, and what the model raises.
    """
    messages, usage = request.messages, Usage()
    for turn in range(max_turns + 1):
        last = turn == max_turns
        asked = replace(request, messages=messages)
        if last:
            asked = replace(asked, tool_choice="none")
        elif turn:
            asked = replace(asked, tool_choice="auto")  # a forced call would be forced for ever
        completion = _complete(model, asked, cancel)
        usage += completion.usage
        if last or not completion.tool_calls:
            return Answer(completion, usage, (*messages, completion.message))
        results = _results(model, completion.tool_calls, caller, report, cancel)
        messages = (*messages, completion.message, *results)
    raise AssertionError("the last turn returns")


def _complete(model: ChatModel, request: ChatRequest, cancel: CancelToken) -> Completion:
    completion: Completion | None = None
    for delta in model.stream(request, cancel):
        completion = delta.completion or completion
    if completion is None:
        raise ModelError(f"{model.name} ended a stream without a completion")
    if completion.finish_reason == "cancelled":
        cancel.check()
        raise Cancelled
    return completion


def _results(
    model: ChatModel,
    calls: Sequence[ToolCall],
    caller: Caller,
    report: Report,
    cancel: CancelToken,
) -> list[Message]:
    """The outcomes as turns of the conversation; a call that stands there twice is made once."""
    told: dict[tuple[str, str], str] = {}
    results = []
    for call in calls:
        same = (call.name, call.arguments)
        if same not in told:
            told[same] = _told(model, call, caller, report, cancel)
        results.append(Message("tool", told[same], tool_call_id=call.id))
    return results


def _told(
    model: ChatModel, call: ToolCall, caller: Caller, report: Report, cancel: CancelToken
) -> str:
    cancel.check()
    number = new_call_id()
    outcome = caller.call(call.name, call.arguments, report, cancel, call=number)
    if isinstance(outcome, NeedsApproval):
        raise ApprovalNeeded(outcome.request, outcome.reason)
    shown = show(
        outcome,
        call.name,
        number,
        budget=model.context_tokens // SHARE,
        count=counter(model),
        folder=caller.folder,
    )
    if shown.spilled:
        report.artifact(shown.spilled, caller.folder)
    return shown.text


def counter(model: ChatModel) -> Callable[[str], int]:
    """Tokens of a text alone, as this model counts them."""
    empty = model.count_tokens((Message("user", ""),))
    return lambda text: model.count_tokens((Message("user", text),)) - empty
