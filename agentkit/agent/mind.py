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
from typing import Any, get_args

from agentkit.agent import written
from agentkit.agent.state import AgentState
from agentkit.agent.strategies import Asker, Strategy
from agentkit.agent.tasks import Kind
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
    Regex,
    Sampling,
    ToolSchema,
    Usage,
)
from agentkit.ports import ChatModel
from agentkit.yamlfile import load

DONE = "done"
"""The choice that is no task."""

CHANGE: Kind = "change"

QUESTION = re.compile(
    r"(?:how|what|when|where|which|who|whom|whose|why)\b[^?]*\?\s*$", re.IGNORECASE
)
"""A task that is one question, and no request in the form of one."""

ANSWER = ToolSchema(
    "answer",
    "End the task with its result: what was done or what the tools have shown.",
    {
        "type": "object",
        "properties": {"text": {"type": "string", "maxLength": 600}},
        "required": ["text"],
    },
)
"""The way out, as a tool like any other: a model that has to call something says no more than it
has to.
"""

OTHERWISE = Sampling(temperature=0.7, top_p=0.95)
"""How a program is written anew that did not work: greedily, it would be the same again."""

FENCES = {
    "code": "```python\nimport csv, json, os, re\nfrom pathlib import Path\n\n"
    "files = sorted(path for path in Path().rglob('[!.]*') if path.is_file())\n",
    "content": "```\n",
}
"""Arguments that are written outside of JSON, and what they begin with."""

LINES = r"([^\n]*\n){0,80}[^\n]*"
"""What is written outside of JSON: a model that repeats itself comes to an end."""

LONGEST_FAULT = 200
"""Characters of what was wrong that stand in the next question."""

CALL_TOKENS = 700
RESULT_TOKENS = 300
RESERVE = CALL_TOKENS
"""Tokens of the context that are always kept for an answer."""


class Garbled(ModelError):
    """An answer that cannot be read; the message says why, to the model."""


class OutOfTime(ModelError):
    """A question that was not answered within the time that was left."""


@cache
def prompts() -> Mapping[str, str]:
    """The texts of `prompts.yaml`."""
    text = files("agentkit.agent").joinpath("prompts.yaml").read_text(encoding="utf-8")
    return {name: str(value).strip() for name, value in load(text, "prompts.yaml").data.items()}


@dataclass(frozen=True, slots=True)
class Move:
    """What the model does next: a call, or (without a tool) an answer."""

    answer: str = ""
    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Mind:
    """One model, one set of tools (and the way out), one conversation.

    `strategy` is how the final answer is found, None: by asking for it.  `patience` is how many
    seconds a question may take now.  `costs` collects phase and usage of each question until
    somebody takes them.  Every question raises `OutOfTime`.  Without `bound`
    no grammar binds the answers, without `shared` each phase begins with its own instruction: both
    are for comparison only.
    """

    model: ChatModel
    tools: tuple[ToolSchema, ...]
    cancel: CancelToken
    bound: bool = True
    shared: bool = True
    strategy: Strategy | None = None
    patience: float | None = None
    costs: list[tuple[str, Usage]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tools = (ANSWER, *self.tools)

    def size(self, state: AgentState) -> int:
        """Tokens of the conversation so far."""
        return self.model.count_tokens(messages(state, prompts()["system"]), self.tools)

    @property
    def room(self) -> int:
        """Tokens that the conversation may have."""
        return self.model.context_tokens - RESERVE

    def move(
        self,
        state: AgentState,
        schemas: Mapping[str, ToolSchema | None],
        *,
        must: bool,
        missing: Sequence[str] = (),
    ) -> Move:
        """The next call, or the answer instead, unless there `must` be a call.

        A tool without a schema cannot be called now; `missing` are files that are to be made.
        Raises `Garbled`.
        """
        now = {**schemas, ANSWER.name: None if must else ANSWER}
        tools = tuple(
            replace(tool, allowed=False) if (at := now.get(tool.name)) is None else _brief(at)
            for tool in self.tools
        )
        done = self._ask(
            "move",
            state,
            prompts()["move"].format(task=_task(state)),
            tools=tools,
            tool_choice="required",
            max_tokens=CALL_TOKENS,
            parallel_tool_calls=False,
        )
        if done.finish_reason == "length":
            raise Garbled(f"the call was cut off after {CALL_TOKENS} tokens: write less in one")
        if not done.tool_calls:
            return Move(done.text.strip())
        call = done.tool_calls[0]
        arguments = _parsed(call.arguments)
        if call.name == ANSWER.name:
            return Move(str(arguments.get("text", "")).strip())
        schema = schemas.get(call.name)
        if schema is None:
            raise Garbled(f"{call.name} cannot be called now")
        arguments = _without_defaults(schema, arguments)
        if self.bound:
            for name in _long(schema):
                arguments[name] = self._written(state, call.name, name, arguments, missing)
        return Move("", call.name, arguments)

    def result(self, state: AgentState) -> str:
        """The result of a task, when there is to be no other call."""
        done = self._ask(
            "result",
            state,
            prompts()["result"].format(task=_task(state)),
            tools=self.tools,
            tool_choice=OneTool(ANSWER.name),
            max_tokens=RESULT_TOKENS,
        )
        if not done.tool_calls or done.finish_reason == "length":
            return done.text.strip()
        return str(_parsed(done.tool_calls[0].arguments).get("text", "")).strip()

    def _written(
        self,
        state: AgentState,
        tool: str,
        name: str,
        arguments: Mapping[str, Any],
        missing: Sequence[str],
    ) -> str:
        """A long argument, outside of JSON: a model writes programs and files better as such."""
        others = json.dumps(dict(arguments), ensure_ascii=False)
        fault = _last_fault(state, tool)
        told = f"\nThe last one did not work: {fault}. Write another one." if fault else ""
        tables = "; of a CSV file take csv.DictReader" if _about_tables(state) else ""
        end = prompts()["file" if missing else "print"].format(file=missing[0] if missing else "")
        about = {"tool": tool, "others": others, "tables": tables, "end": end, "fault": told}
        ask = prompts()[name].format(task=_task(state), **about)
        fence = FENCES[name]
        done = self._ask(
            name,
            state,
            ask,
            constraint=Regex(re.escape(fence).replace("\\\n", "\n") + LINES),
            stop=("\n```",),
            max_tokens=CALL_TOKENS,
            sampling=OTHERWISE if fault else Sampling(),
        )
        text = done.text.removeprefix(fence.splitlines(keepends=True)[0])
        if name == "code":
            if written.repeats(text):
                raise Garbled("it repeats the same lines again and again")
        else:
            text = written.once(text) if written.repeats(text) else text
            path, tools = str(arguments.get("path", "")), [one.name for one in self.tools]
            if wrong := written.fault(text, path, tools):
                raise Garbled(wrong)
        if done.finish_reason != "length":
            return text
        if name == "code":
            raise Garbled(
                f"the program was cut off after {CALL_TOKENS} tokens: write a shorter one"
            )
        return text[: text.rfind("\n") + 1] or text  # what there is of a file is worth having

    def likely(
        self,
        state: AgentState | None,
        prompt: str,
        options: tuple[str, str] = ("yes", "no"),
        **values: Any,
    ) -> float:
        """The probability of the first option, from 0 to 1; without a state, of itself."""
        done = self._ask(
            prompt,
            state,
            prompts()[prompt].format(**values),
            constraint=Choices(options),
            max_tokens=4,
            top_logprobs=0,
        )
        if not self.bound:
            return float(done.text.strip().lower().startswith(options[0]))
        sure = math.exp(sum(token.allowed_logprob for token in done.logprobs))
        return sure if done.text == options[0] else 1 - sure

    def kind(self, state: AgentState, task: str) -> Kind:
        """What has to be done for a task; nothing is changed for a question."""
        ask = prompts()["kind"].format(task=task)
        kinds = [kind for kind in get_args(Kind) if kind != CHANGE or not QUESTION.match(task)]
        done = self._ask("kind", state, ask, constraint=Choices(tuple(kinds)), max_tokens=4)
        said = done.text.strip().lower()
        return next((kind for kind in kinds if said.startswith(kind)), "look")

    def tasks(self, state: AgentState, most: int, **values: Any) -> list[str]:
        """Tasks that the model proposes, maybe none; the name of a tool is no task."""
        listed = {"type": "array", "items": _text(120), "maxItems": most}
        said = self._data(state, "more", _object(tasks=listed), most=most, **values)
        tasks, names = said.get("tasks"), {tool.name for tool in self.tools}
        return [str(one) for one in tasks if one not in names] if isinstance(tasks, list) else []

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

    def words(self, state: AgentState | None, prompt: str, **values: Any) -> str:
        """An answer in words; without a state, to a question by itself."""
        ask = prompts()[prompt].format(**values)
        return self._ask(prompt, state, ask, max_tokens=RESULT_TOKENS).text.strip()

    def answer(self, state: AgentState, schema: Mapping[str, Any] | None, **told: Any) -> str:
        """The final answer: words, or JSON of a schema."""
        if self.strategy is not None:
            return self._thought_out(self.strategy, state, schema, **told)
        if schema is None:
            return self.words(state, "answer", **told)
        return json.dumps(self._data(state, "answer", dict(schema), **told), ensure_ascii=False)

    def _thought_out(
        self, strategy: Strategy, state: AgentState, schema: Mapping[str, Any] | None, **told: Any
    ) -> str:
        request = ChatRequest(
            self._told("answer", state, prompts()["answer"].format(**told)),
            RESULT_TOKENS if schema is None else CALL_TOKENS,
            constraint=JsonSchema(dict(schema)) if schema is not None and self.bound else None,
            timeout=self.patience,
            tools=self.tools,
        )
        asker = Asker(self.model, request, self.cancel)
        done = strategy(asker).completion
        self.costs.append(("answer", asker.usage))
        if done.finish_reason == "deadline":
            raise OutOfTime("there was no time left for an answer")
        if schema is None:
            return done.text.strip()
        if done.finish_reason == "length":
            raise Garbled(f"it was cut off after {CALL_TOKENS} tokens")
        return json.dumps(_parsed(done.text), ensure_ascii=False)

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
        state: AgentState | None,
        ask: str,
        *,
        tools: tuple[ToolSchema, ...] | None = None,
        constraint: Constraint | None = None,
        **more: Any,
    ) -> Completion:
        request = ChatRequest(
            self._told(phase, state, ask) if state else (Message("user", ask),),
            tools=tools or self.tools if state else (),
            constraint=constraint if self.bound else None,
            timeout=self.patience,
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
        if completion.finish_reason == "deadline":
            raise OutOfTime(f"there was no time left for an answer ({phase})")
        return completion

    def _told(self, phase: str, state: AgentState, ask: str) -> tuple[Message, ...]:
        """The conversation so far, and a question at its end."""
        system = prompts()["system"]
        told = messages(state, system if self.shared else f"{phase}: {ask}\n\n{system}")
        if ask and told[-1].role == "user":  # some templates refuse two turns of a person in a row
            return (*told[:-1], Message("user", f"{told[-1].content}\n\n{ask}"))
        return (*told, Message("user", ask)) if ask else told


def _task(state: AgentState) -> str:
    """What is being worked on.

    It stands at the end of a step's prompt, too: between it and its first mention lie a thousand
    tokens of what tools gave, and small models lose sight of it.
    """
    return state.current.text if state.current else state.objective


def _about_tables(state: AgentState) -> bool:
    """Whether a table was spoken of: who hears of one where none is looks for its columns."""
    seen = (act.step.text for act in state.acts())
    return any(".csv" in text for text in (state.objective, *seen))


def _last_fault(state: AgentState, tool: str) -> str:
    """What was wrong with the last call, if it was of this tool: the last line of what it said; or
    what was objected to what it had done.
    """
    acts, last = state.acts(), state.turns[-1] if state.turns else None
    if last and last.kind == "fault" and any(act.step.tool == tool for act in acts):
        return last.text[:LONGEST_FAULT]
    if not acts or acts[-1].step.tool != tool or acts[-1].step.status == "returned":
        return ""
    said = [line for line in acts[-1].step.text.splitlines() if not line.startswith("end-")]
    return said[-1][:LONGEST_FAULT] if said else "it failed"


def _long(tool: ToolSchema) -> list[str]:
    """The arguments of a tool that are written outside of JSON."""
    properties = tool.parameters.get("properties", {})
    return [name for name in FENCES if properties.get(name, {}).get("type") == "string"]


def _without_defaults(tool: ToolSchema, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A call in its shortest form, in which it is known again."""
    properties, nothing = tool.parameters.get("properties", {}), object()
    return {
        name: value
        for name, value in arguments.items()
        if value != properties.get(name, {}).get("default", nothing)
    }


def _brief(tool: ToolSchema) -> ToolSchema:
    """A tool without its long arguments, for the call itself."""
    allowed = dict(tool.allowed or tool.parameters)
    allowed["properties"] = {
        name: about for name, about in allowed.get("properties", {}).items() if name not in FENCES
    }
    allowed["required"] = [name for name in allowed.get("required", []) if name not in FENCES]
    return replace(tool, allowed=allowed) if _long(tool) else tool


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
