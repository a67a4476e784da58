"""What an agent asks its model, taken apart; and a model that answers by looking at it.

This is the one place among the tests that knows how questions look and where they stand.  What is
answered is up to `Player`s: those of `tests/agent` and of `tests/agent_runs`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from agentkit.agent import strategies
from agentkit.agent.mind import LINES, prompts
from agentkit.cancel import CancelToken
from agentkit.messages import (
    ChatRequest,
    Choices,
    Delta,
    Message,
    OneTool,
    Regex,
    ToolCall,
    ToolSchema,
)
from agentkit.testing import ScriptedModel

Call = tuple[str, dict[str, Any]]
"""A tool and its arguments."""

ANSWER = "answer"
"""The tool that is no tool, but the way out."""

REJECTED = "This is not accepted: "
TAUGHT = "What earlier attempts taught:"


@dataclass(frozen=True)
class Made:
    """A call that stands in the conversation, and what came of it."""

    tool: str
    arguments: Mapping[str, Any]
    seen: str

    def is_(self, call: Call) -> bool:
        return (self.tool, self.arguments) == call


@dataclass(frozen=True)
class Asked:
    """A question: its phase, what its text was made of, and the conversation before it."""

    request: ChatRequest
    phase: str
    values: Mapping[str, str]
    objective: str
    task: str
    """The one that is being worked on."""
    said: list[str]
    """What a person or a check said since it began."""
    made: list[Made]
    """The calls since it began."""

    @property
    def text(self) -> str:
        """All that the model reads."""
        return "\n".join(message.content for message in self.request.messages)

    @property
    def question(self) -> str:
        """The end of it."""
        return self.request.messages[-1].content

    @property
    def rejected(self) -> bool:
        """Whether a result was sent back since the task began."""
        return any(part.startswith(REJECTED) for part in self.said)

    @property
    def taught(self) -> bool:
        return any(part.startswith(TAUGHT) for part in self.said)

    @property
    def options(self) -> tuple[str, ...]:
        """What there is to choose from."""
        constraint = self.request.constraint
        return constraint.options if isinstance(constraint, Choices) else ()

    @property
    def begins(self) -> str:
        """What the text has to begin with."""
        constraint = self.request.constraint
        form = constraint.pattern.removesuffix(LINES) if isinstance(constraint, Regex) else ""
        return re.sub(r"\\(.)", r"\1", form)

    @property
    def tools(self) -> dict[str, ToolSchema]:
        """All, whether they can be called now or not; also the way out."""
        return {tool.name: tool for tool in self.request.tools}

    @property
    def must(self) -> bool:
        """Whether an answer is not possible now."""
        way_out = self.tools.get(ANSWER)
        return self.request.tool_choice == "required" and not (
            way_out and way_out.allowed is not False
        )

    @property
    def offered(self) -> list[str]:
        """The tools that can be called now."""
        tools = self.request.tools
        return [tool.name for tool in tools if tool.allowed is not False and tool.name != ANSWER]

    def allows(self, call: Call) -> bool:
        """Whether the grammar lets this call through."""
        tool = self.tools.get(call[0])
        if tool is None or tool.allowed is False:
            return False
        schema = tool.allowed or tool.parameters
        return Draft202012Validator(schema).is_valid(self.possible(*call))

    def possible(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Those arguments that can be given now; long ones are asked for by themselves."""
        known = self.tools[tool]
        schema = known.allowed or known.parameters
        return {name: value for name, value in arguments.items() if name in schema["properties"]}

    def answered(self, text: str) -> str | ToolCall:
        """In words, or by the tool that is the way out."""
        return call(ANSWER, text=text) if ANSWER in self.tools else text


def call(tool: str, **arguments: Any) -> ToolCall:
    return ToolCall("x", tool, json.dumps(arguments))


# -- taking apart ----------------------------------------------------------------------------------


def asked(request: ChatRequest) -> Asked:
    """A request of an agent, taken apart."""
    phase, values, _ = _question(request)
    objective = task = ""
    said: list[str] = []
    made: list[Made] = []
    calls: dict[str, ToolCall] = {}
    for message in kept(request):
        calls |= {call.id: call for call in message.tool_calls}
        if message.role == "tool":
            done = calls[message.tool_call_id]
            made.append(Made(done.name, json.loads(done.arguments), message.content))
        for part in message.content.split("\n\n") if message.role == "user" else ():
            word, _, text = part.partition(": ")
            if word == "Objective":
                objective = task = text
            elif word == "Task":
                task, said, made = text, [], []
            elif part:
                said.append(part)
    return Asked(request, phase, values, objective, task, said, made)


def kept(request: ChatRequest) -> Iterator[Message]:
    """The conversation without the question at its end."""
    *before, last = request.messages
    yield from before
    yield replace(last, content=_question(request)[2])


def stem(request: ChatRequest) -> list[Message]:
    """What is kept of a request: all but the question at its end."""
    *before, last = kept(request)
    return [*before, last] if last.content or last.tool_calls else before


def continues(before: ChatRequest, later: ChatRequest) -> bool:
    """Whether not a word of what is kept has changed; the last turn may have grown."""
    *same, last = stem(before)
    messages = later.messages
    grown = messages[len(same)]
    return (
        list(messages[: len(same)]) == same
        and replace(grown, content="") == replace(last, content="")
        and grown.content.startswith(last.content)
    )


def _question(request: ChatRequest) -> tuple[str, dict[str, str], str]:
    """The phase, what the question was made of, and what stands before it in its message."""
    last = request.messages[-1].content
    if request.tool_choice != "none":
        phase = "result" if isinstance(request.tool_choice, OneTool) else "move"
        match = _patterns()[phase].fullmatch(last)
        assert match, f"no step ends like this: {last!r}"
        return phase, {}, match["before"] or ""
    if last == strategies.ANSWER or last.endswith(strategies.THINK):
        return "answer" if last == strategies.ANSWER else "thought", {}, last
    longest_first = sorted(_patterns().items(), key=lambda item: -len(item[1].pattern))
    for phase, pattern in longest_first:  # the end of some is all of another
        match = pattern.fullmatch(last)
        if match:
            values = match.groupdict("")
            return phase, values, values.pop("before")
    raise AssertionError(f"no phase asks like this: {last!r}")


@cache
def _patterns() -> Mapping[str, re.Pattern[str]]:
    """What the last message of each phase looks like."""
    found = {}
    for phase, text in prompts().items():
        pieces = re.split(r"\{(\w+)\}", text)
        body = "".join(
            f"(?P<{piece}>.*?)" if at % 2 else re.escape(piece) for at, piece in enumerate(pieces)
        )
        found[phase] = re.compile(rf"(?:(?P<before>.*)\n\n)?{body}", re.DOTALL)
    return found


# -- answering -------------------------------------------------------------------------------------


class Answering:
    """A `ChatModel` that answers by looking at the question.

    It counts nothing: the loop may ask more or fewer of them, and a process that goes on with a run
    is answered the same as the one that died.
    """

    def __init__(self, name: str, context_tokens: int = 8192) -> None:
        self.name = name
        self.context_tokens = context_tokens
        self.asked: list[Asked] = []
        """For the eyes of a test; no answer depends on it."""

    def says(self, about: Asked, cancel: CancelToken) -> Any:
        """An answer as `ScriptedModel` takes it."""
        raise NotImplementedError

    @property
    def requests(self) -> list[ChatRequest]:
        return [about.request for about in self.asked]

    def phases(self, phase: str) -> list[Asked]:
        return [about for about in self.asked if about.phase == phase]

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
        return ScriptedModel().count_tokens(messages, tools)

    def stream(self, request: ChatRequest, cancel: CancelToken | None = None) -> Iterator[Delta]:
        about = asked(request)
        self.asked.append(about)
        said = self.says(about, cancel or CancelToken())
        once = ScriptedModel(said, name=self.name, context_tokens=self.context_tokens)
        return once.stream(request, cancel)

    def warm(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> None:
        """Nothing to read ahead."""

    def close(self) -> None:
        """Nothing is held."""
