"""The questions that an agent asks its model: each one small, bound to a grammar, at the end of the
same conversation.

A model of 1.5 billion parameters fails at a big form and does well at small questions whose answers
lead from evidence to verdict.  What does not exist cannot be chosen, what was refused is not
offered.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    ToolSchema,
    Usage,
)
from agentkit.ports import ChatModel
from agentkit.yamlfile import load

DONE = "done"
"""The choice that is no task."""

PYTHON = "run_python"

CODE = re.compile(r"```(?:python|py)\n(.*?)(?:\n```|\Z)", re.DOTALL)
"""A program in Markdown."""

CALL_TOKENS = 700
RESULT_TOKENS = 300
RESERVE = CALL_TOKENS
"""Tokens of the context that are always kept for an answer."""


class Garbled(ModelError):
    """An answer that cannot be read; the message says why, to the model."""


@cache
def prompts() -> Mapping[str, str]:
    """The texts of `prompts.yaml`."""
    text = files("agentkit.agent").joinpath("prompts.yaml").read_text(encoding="utf-8")
    return {name: str(value).strip() for name, value in load(text, "prompts.yaml").data.items()}


@dataclass(frozen=True, slots=True)
class Move:
    """What the model does next: a call, with what it said before, or an answer in words."""

    said: str
    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Mind:
    """One model, one set of tools, one conversation.

    `costs` collects phase and usage of each question until somebody takes them.  Without `bound`
    no grammar binds the answers, without `shared` each phase begins with its own instruction: both
    are for comparison only.
    """

    model: ChatModel
    tools: tuple[ToolSchema, ...]
    cancel: CancelToken
    bound: bool = True
    shared: bool = True
    costs: list[tuple[str, Usage]] = field(default_factory=list)

    def size(self, state: AgentState) -> int:
        """Tokens of the conversation so far."""
        return self.model.count_tokens(messages(state, prompts()["system"]), self.tools)

    @property
    def room(self) -> int:
        """Tokens that the conversation may have."""
        return self.model.context_tokens - RESERVE

    def move(
        self, state: AgentState, schemas: Mapping[str, ToolSchema | None], *, must: bool
    ) -> Move:
        """The next call, or an answer instead, unless there `must` be a call.

        A tool without a schema cannot be called now.  Raises `Garbled`.
        """
        tools = tuple(
            replace(tool, allowed=False) if (now := schemas.get(tool.name)) is None else now
            for tool in self.tools
        )
        if not self.bound:
            tools = self.tools
        done = self._ask(
            "move",
            state,
            "",
            tools=tools,
            tool_choice="required" if must and self.bound else "auto",
            max_tokens=CALL_TOKENS,
            parallel_tool_calls=False,
        )
        if not done.tool_calls:
            return _as_call(done.text, schemas) or Move(done.text.strip())
        call = done.tool_calls[0]
        if done.finish_reason == "length":
            raise Garbled(f"the call was cut off after {CALL_TOKENS} tokens: write less in one")
        if schemas.get(call.name) is None:
            raise Garbled(f"{call.name} cannot be called now")
        return Move(done.text.strip(), call.name, _parsed(call.arguments))

    def result(self, state: AgentState, task: str) -> str:
        """The result of a task, in words."""
        ask = prompts()["result"].format(task=task)
        return self._ask("result", state, ask, max_tokens=RESULT_TOKENS).text.strip()

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
        if not self.bound:
            return float(done.text.strip().lower().startswith("yes"))
        sure = math.exp(sum(token.allowed_logprob for token in done.logprobs))
        return sure if done.text == "yes" else 1 - sure

    def tasks(self, state: AgentState, most: int, **values: Any) -> list[str]:
        """Tasks that the model proposes; maybe none."""
        listed = {"type": "array", "items": _text(120), "maxItems": most}
        said = self._data(state, "more", _object(tasks=listed), most=most, **values)
        tasks = said.get("tasks")
        return [str(text) for text in tasks] if isinstance(tasks, list) else []

    def order(self, state: AgentState, names: Sequence[str], **values: Any) -> list[str]:
        """The names in the order in which they should be done; those after a `done` are left out.

        Each is offered while it has not been said, so that it is a permutation.
        """
        left, said = list(names), list[str]()
        while left:
            ask = prompts()["order"].format(said=", ".join(said) or "nothing yet", **values)
            options = (*left, DONE)
            done = self._ask("order", state, ask, constraint=Choices(options), max_tokens=8)
            if done.text not in left:
                break
            left.remove(done.text)
            said.append(done.text)
        return said

    def words(self, state: AgentState, prompt: str, **values: Any) -> str:
        """An answer in words."""
        ask = prompts()[prompt].format(**values)
        return self._ask(prompt, state, ask, max_tokens=RESULT_TOKENS).text.strip()

    def answer(self, state: AgentState, schema: Mapping[str, Any] | None, **told: Any) -> str:
        """The final answer: words, or JSON of a schema."""
        if schema is None:
            return self.words(state, "answer", **told)
        return json.dumps(self._data(state, "answer", dict(schema), **told), ensure_ascii=False)

    # -- asking ----------------------------------------------------------------------------------

    def _data(self, state: AgentState, prompt: str, schema: Any, **values: Any) -> dict[str, Any]:
        ask = prompts()[prompt].format(**values)
        if not self.bound:
            ask += "\nAnswer with JSON only: " + json.dumps(schema["properties"])
        done = self._ask(prompt, state, ask, constraint=JsonSchema(schema), max_tokens=CALL_TOKENS)
        if done.finish_reason == "length":
            raise Garbled(f"it was cut off after {CALL_TOKENS} tokens")
        return _parsed(done.text)

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
        system = prompts()["system"]
        told = messages(state, system if self.shared else f"{phase}: {ask}\n\n{system}")
        if ask and told[-1].role == "user":  # some templates refuse two turns of a person in a row
            told = (*told[:-1], Message("user", f"{told[-1].content}\n\n{ask}"))
        elif ask:
            told = (*told, Message("user", ask))
        request = ChatRequest(
            told,
            tools=tools or self.tools,
            constraint=constraint if self.bound else None,
            **more,
        )
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
        self.costs.append((phase, completion.usage))
        return completion


def _as_call(text: str, schemas: Mapping[str, ToolSchema | None]) -> Move | None:
    """A program in an answer is meant to be run: models of code write calls like that."""
    block = CODE.search(text)
    if block is None or schemas.get(PYTHON) is None:
        return None
    return Move(text[: block.start()].strip(), PYTHON, {"code": block[1].strip()})


def _parsed(text: str) -> dict[str, Any]:
    """The JSON object in a text; a grammar makes it the whole of it."""
    begin, end = text.find("{"), text.rfind("}")
    try:
        data = json.loads(text[begin : end + 1])
    except ValueError as error:
        raise Garbled(f"it is not JSON ({error})") from None
    if not isinstance(data, dict):
        raise Garbled("it is no JSON object")
    return data


def _text(most: int) -> dict[str, Any]:
    return {"type": "string", "maxLength": most}


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
