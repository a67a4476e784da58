"""The questions that an agent asks its model: each one small, bound to a grammar, at the end of the
same conversation.

A model of 1.5 billion parameters fails at a big form and does well at small questions whose answers
lead from evidence to verdict.  What does not exist cannot be chosen, what was refused is not offered.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from agentkit.agent.state import AgentState
from agentkit.agent.transcript import messages
from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, ModelError
from agentkit.messages import (
    ChatRequest,
    Choices,
    Completion,
    Constraint,
    JsonSchema,
    Message,
    OneTool,
    Sampling,
    ToolSchema,
    Usage,
)
from agentkit.ports import ChatModel
from agentkit.yamlfile import load

FINISH = "finish"
"""The choice that is no tool."""

CALL_TOKENS = 700
RESULT_TOKENS = 300
RESERVE = CALL_TOKENS
"""Tokens of the context that are always kept for an answer."""

OTHERWISE = Sampling(temperature=0.8, top_p=0.95)
"""How a call is drawn when the likeliest one was there before."""

Paid = Callable[[str, Usage], None]
"""Is told what each question cost."""


@cache
def prompts() -> Mapping[str, str]:
    """The texts of `prompts.yaml`."""
    text = files("agentkit.agent").joinpath("prompts.yaml").read_text(encoding="utf-8")
    return {name: str(value).strip() for name, value in load(text, "prompts.yaml").data.items()}


@dataclass(frozen=True, slots=True)
class Choice:
    """What comes next, and what the model said before it chose."""

    tool: str
    known: str
    missing: str


@dataclass
class Mind:
    """One model, one set of tools, one conversation."""

    model: ChatModel
    tools: tuple[ToolSchema, ...]
    cancel: CancelToken
    paid: Paid

    def size(self, state: AgentState) -> int:
        """Tokens of the conversation so far."""
        return self.model.count_tokens(messages(state, prompts()["system"]), self.tools)

    @property
    def room(self) -> int:
        """Tokens that the conversation may have."""
        return self.model.context_tokens - RESERVE

    def choose(self, state: AgentState, task: str, tools: Sequence[str], *, finish: bool) -> Choice:
        """What the results show, what is missing, and the tool that comes next."""
        options = [*tools, *([FINISH] if finish else [])]
        schema = _object(known=_text(160), missing=_text(120), next={"enum": options})
        said = self._data(state, "next", schema, task=task)
        return Choice(said["next"], said["known"], said["missing"])

    def call(
        self, state: AgentState, task: str, schema: ToolSchema, *, again: bool = False
    ) -> dict[str, Any]:
        """The arguments of a call; `again` asks for another one than the likeliest."""
        ask = prompts()["call"].format(tool=schema.name, task=task)
        if again:
            ask += "\n" + prompts()["warned"]
        offered = tuple(schema if one.name == schema.name else one for one in self.tools)
        done = self._ask(
            "call",
            state,
            ask,
            tools=offered,
            tool_choice=OneTool(schema.name),
            max_tokens=CALL_TOKENS,
            sampling=OTHERWISE if again else Sampling(),
        )
        if not done.tool_calls or done.finish_reason == "length":
            raise ModelError(f"the call of {schema.name} was cut off after {CALL_TOKENS} tokens")
        arguments: dict[str, Any] = json.loads(done.tool_calls[0].arguments)
        return arguments

    def result(self, state: AgentState, task: str) -> tuple[str, float]:
        """The result of a task, and how sure the model is that the tools have shown it."""
        ask = prompts()["result"].format(task=task)
        done = self._ask("result", state, ask, max_tokens=RESULT_TOKENS)
        text = done.text.strip()
        return text, self.likely(state, "found", task=task, result=text)

    def likely(self, state: AgentState, prompt: str, **values: Any) -> float:
        """The probability of a yes, from 0 to 1."""
        done = self._ask(
            prompt,
            state,
            prompts()[prompt].format(**values),
            constraint=Choices(("yes", "no")),
            max_tokens=4,
            top_logprobs=0,
        )
        sure = math.exp(sum(token.allowed_logprob for token in done.logprobs))
        return sure if done.text == "yes" else 1 - sure

    def tasks(self, state: AgentState, prompt: str, most: int, **values: Any) -> list[str]:
        """Tasks that the model proposes; maybe none."""
        least = 1 if prompt == "plan" else 0
        listed = {"type": "array", "items": _text(120), "minItems": least, "maxItems": most}
        return list(self._data(state, prompt, _object(tasks=listed), most=most, **values)["tasks"])

    def order(self, state: AgentState, names: Sequence[str], **values: Any) -> list[str]:
        """A permutation of the names: each is offered while it has not been said."""
        left, said = list(names), list[str]()
        ask = prompts()["order"].format(**values)
        while len(left) > 1:
            begun = f"{ask}\nThe order so far: {', '.join(said) or 'nothing yet'}. Which is next?"
            done = self._ask("order", state, begun, constraint=Choices(tuple(left)), max_tokens=8)
            left.remove(done.text)
            said.append(done.text)
        return [*said, *left]

    def words(self, state: AgentState, prompt: str, **values: Any) -> str:
        """An answer in words."""
        ask = prompts()[prompt].format(**values)
        return self._ask(prompt, state, ask, max_tokens=RESULT_TOKENS).text.strip()

    # -- asking ----------------------------------------------------------------------------------

    def _data(self, state: AgentState, prompt: str, schema: Any, **values: Any) -> dict[str, Any]:
        ask = prompts()[prompt].format(**values)
        done = self._ask(prompt, state, ask, constraint=JsonSchema(schema), max_tokens=CALL_TOKENS)
        if done.finish_reason == "length":
            raise ModelError(f"the answer to {prompt!r} was cut off after {CALL_TOKENS} tokens")
        data: dict[str, Any] = json.loads(done.text)
        return data

    def _ask(
        self,
        phase: str,
        state: AgentState,
        ask: str,
        *,
        tools: tuple[ToolSchema, ...] | None = None,
        constraint: Constraint | None = None,
        **more: Any,
    ) -> Completion:
        told = (*messages(state, prompts()["system"]), Message("user", ask))
        if told[-2].role == "user":  # some templates refuse two turns of a person in a row
            joined = Message("user", f"{told[-2].content}\n\n{ask}")
            told = (*told[:-2], joined)
        request = ChatRequest(told, tools=tools or self.tools, constraint=constraint, **more)
        if tools is None:
            request = replace(request, tool_choice="none")
        completion: Completion | None = None
        for delta in self.model.stream(request, self.cancel):
            completion = delta.completion or completion
        if completion is None:
            raise ModelError(f"{self.model.name} ended a stream without a completion")
        if completion.finish_reason == "cancelled":
            self.cancel.check()
            raise Cancelled
        self.paid(phase, completion.usage)
        return completion


def _text(most: int) -> dict[str, Any]:
    return {"type": "string", "maxLength": most}


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
