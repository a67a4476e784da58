"""A model's answer, with the tool calls that it makes on the way.

One question, a bounded number of turns, no plan and no memory: what a prompt of a workflow needs.
The history is only appended to, so that no prompt is read twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from agentkit.cancel import CancelToken
from agentkit.errors import ApprovalNeeded, Cancelled, ModelError
from agentkit.messages import ChatRequest, Completion, Message, ToolCall, Usage
from agentkit.outcomes import NeedsApproval
from agentkit.ports import ChatModel
from agentkit.toolbox.caller import Caller, new_call_id
from agentkit.toolbox.context import Report
from agentkit.toolbox.output import show
from agentkit.values import dataclass

MAX_TURNS = 8
"""Turns with calls; after so many, the model has to answer."""

SHARE = 4
"""A result gets this part of the context at most, and the answer is left as much."""

MARKS = 100
"""Tokens of the marks around a result, and of the line that says that it was cut."""

LEAST = MARKS + 16
"""Tokens for a result with its marks; where there is room for fewer, the model has to answer."""

PAGER = "read_more"


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

    Tools that the request does not offer are not there, whatever the model writes.  Raises
    `ApprovalNeeded` when a call waits for a person, `Cancelled`, `ModelError` for a model that
    calls and calls, and what the model raises.
    """
    caller = replace(caller, offered=tuple(tool.name for tool in request.tools))
    messages, usage, room = request.messages, Usage(), model.context_tokens
    for turn in range(max_turns + 1):
        last = turn == max_turns or room < LEAST
        asked = replace(request, messages=messages)
        if last:
            asked = replace(asked, tool_choice="none")
        elif turn:
            asked = replace(asked, tool_choice="auto")  # a forced call would be forced for ever
        completion = _complete(model, asked, cancel)
        usage += completion.usage
        if last and completion.tool_calls and not completion.text.strip():
            raise ModelError(f"{model.name} calls tools and gives no answer, after {turn} turns")
        if last or not completion.tool_calls:
            return Answer(completion, usage, (*messages, completion.message))
        room = _room(model, asked, completion)
        results = _Results(model, caller, report, cancel, room).of(completion.tool_calls)
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


def _room(model: ChatModel, asked: ChatRequest, completion: Completion) -> int:
    """Tokens that the results of a turn may have together: half of what is left.

    The other half is for the turns that follow, so that there is always a next half.
    """
    usage = completion.usage
    prompt = usage.prompt_tokens or model.count_tokens(asked.messages, asked.tools)
    reserved = asked.max_tokens or model.context_tokens // SHARE
    return (model.context_tokens - prompt - usage.completion_tokens - reserved) // 2


@dataclass(frozen=True, slots=True)
class _Results:
    """The calls of one turn, made one after the other."""

    model: ChatModel
    caller: Caller
    report: Report
    cancel: CancelToken
    room: int

    def of(self, calls: Sequence[ToolCall]) -> list[Message]:
        """The outcomes as turns of the conversation; a call that is there twice is made once."""
        made: set[str] = set()
        results = []
        for call in calls:
            same = _what(call)
            again = f"{call.name} was called with these arguments above: that is its result, too."
            told = again if same in made else self._told(call, self.room // len(calls))
            made.add(same)
            results.append(Message("tool", told, tool_call_id=call.id))
        return results

    def _told(self, call: ToolCall, room: int) -> str:
        self.cancel.check()
        number = new_call_id()
        outcome = self.caller.call(call.name, call.arguments, self.report, self.cancel, call=number)
        if isinstance(outcome, NeedsApproval):
            raise ApprovalNeeded(outcome.request, outcome.reason)
        if room < LEAST:
            return f"{outcome.status}; there is no room left to show more of it"
        shown = show(
            outcome,
            call.name,
            number,
            budget=min(self.model.context_tokens // SHARE, room) - MARKS,
            count=counter(self.model),
            folder=self.caller.outputs.parent,
            can_page=PAGER in (self.caller.offered or ()),
        )
        if shown.spilled:
            self.report.artifact(shown.spilled, self.caller.outputs.parent)
        return shown.text


def _what(call: ToolCall) -> str:
    """The same for calls that ask for the same, in whatever order and with whatever blanks."""
    try:
        return json.dumps([call.name, json.loads(call.arguments)], sort_keys=True)
    except (ValueError, RecursionError):
        return json.dumps([call.name, call.arguments])


def counter(model: ChatModel) -> Callable[[str], int]:
    """Tokens of a text alone, as this model counts them."""
    empty = model.count_tokens((Message("user", ""),))
    return lambda text: model.count_tokens((Message("user", text),)) - empty
