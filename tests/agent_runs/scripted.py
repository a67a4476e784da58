"""A chat model that answers by looking at the conversation, and a runtime that lends it.

It counts nothing and keeps nothing: a process that goes on with a run asks the same and is answered
the same as the one that died.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from agentkit.agent.mind import prompts
from agentkit.cancel import CancelToken
from agentkit.config import Settings
from agentkit.errors import ModelMissing
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
from agentkit.ports import ChatModel, Embedder
from agentkit.runtime import Runtime
from agentkit.testing import ScriptedModel
from agentkit.workflow.load import LoadedWorkflow

Call = tuple[str, dict[str, Any]]
"""A tool and its arguments."""

UNVERIFIED = "effect unverified"
REJECTED = "This is not accepted: "
ANSWER = "answer"
TAUGHT = "What earlier attempts taught:"
NAME = "scripted"


# -- what is asked ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """A call that stands in the conversation, and what came of it."""

    tool: str
    arguments: Mapping[str, Any]
    seen: str

    def is_(self, call: Call) -> bool:
        return (self.tool, self.arguments) == call


@dataclass
class Asked:
    """A question of an agent: its phase, what its text was made of, and the conversation."""

    phase: str
    values: Mapping[str, str]
    options: tuple[str, ...] = ()
    begins: str = ""
    """What the text has to begin with."""
    tools: Mapping[str, ToolSchema] = field(default_factory=dict)
    must: bool = False
    """Whether it has to be a call."""
    objective: str = ""
    task: str = ""
    """The one that is being worked on."""
    said: list[str] = field(default_factory=list)
    """What a person or a check said since it began."""
    made: list[Made] = field(default_factory=list)
    """The calls since it began."""

    @property
    def rejected(self) -> bool:
        return any(part.startswith(REJECTED) for part in self.said)

    @property
    def taught(self) -> bool:
        return any(part.startswith(TAUGHT) for part in self.said)


@cache
def _patterns() -> Mapping[str, re.Pattern[str]]:
    """What the last message of each phase looks like."""
    found = {}
    for phase, text in prompts().items():
        pieces = re.split(r"\{(\w+)\}", text)
        literal, names = pieces[::2], pieces[1::2]
        body = re.escape(literal[0])
        for name, after in zip(names, literal[1:], strict=True):
            group = f"(?P<{name}>.*?)" if f"(?P<{name}>" not in body else f"(?P={name})"
            body += group + re.escape(after)
        found[phase] = re.compile(rf"(?:(?P<before>.*)\n\n)?{body}", re.DOTALL)
    return found


def asked(request: ChatRequest) -> Asked:
    """A request of an agent, taken apart."""
    last = request.messages[-1]
    phase, values, rest = "move", dict[str, str](), last.content
    if request.tool_choice == "none":
        phase, values = _phase(last.content)
        rest = values.pop("before")
    elif isinstance(request.tool_choice, OneTool):
        phase = "result"
    found = Asked(phase, values, tools={tool.name: tool for tool in request.tools})
    if isinstance(request.constraint, Choices):
        found.options = request.constraint.options
    if isinstance(request.constraint, Regex):
        found.begins = request.constraint.pattern.partition("(")[0]
    way_out = found.tools.get(ANSWER)
    found.must = request.tool_choice == "required" and not (
        way_out and way_out.allowed is not False
    )
    _read(found, (*request.messages[:-1], Message(last.role, rest, tool_call_id=last.tool_call_id)))
    return found


def _phase(text: str) -> tuple[str, dict[str, str]]:
    for phase, pattern in _patterns().items():
        match = pattern.fullmatch(text)
        if match:
            return phase, match.groupdict("")
    raise AssertionError(f"no phase asks like this: {text!r}")


def _read(found: Asked, messages: Sequence[Message]) -> None:
    calls: dict[str, ToolCall] = {}
    for message in messages:
        calls |= {call.id: call for call in message.tool_calls}
        if message.role == "tool":
            call = calls[message.tool_call_id]
            found.made.append(Made(call.name, json.loads(call.arguments), message.content))
        if message.role != "user":
            continue
        for part in message.content.split("\n\n"):
            word, _, text = part.partition(": ")
            if word == "Objective":
                found.objective = found.task = text
            elif word == "Task":
                found.task, found.said, found.made = text, [], []
            else:
                found.said.append(part)


# -- what is answered ------------------------------------------------------------------------------


@dataclass
class Play:
    """What the model does, as a function of what it is asked.

    `calls` are those of a task, in order; each is made until it is known that it was done.  `look`
    gives the call that shows whether one was done that nobody knows of, and a text to look for.
    """

    calls: Callable[[Asked], Sequence[Call]]
    result: Callable[[Asked], str] = lambda about: f"All of it is written: {about.task}"
    found: Callable[[Asked], bool] = lambda about: True
    more: Callable[[Asked], Sequence[str]] = lambda about: ()
    first: Sequence[str] = ()
    """Beginnings of tasks, in the order in which it wants to do them."""
    look: Callable[[Call], tuple[Call, str]] | None = None
    spare: Callable[[Asked], Call] = lambda about: ("calculate", {"expression": "1 + 1"})
    """The call that is made where there has to be one and all were."""
    answer: Callable[[Asked], Any] = lambda about: f"Done.\n{about.values['done']}"
    slow: Callable[[Asked, CancelToken], None] = lambda about, cancel: None
    """Called before each answer."""

    def says(self, about: Asked) -> Any:
        match about.phase:
            case "move":
                return self._move(about)
            case "alone" | "changing":
                return "no"
            case "found":
                return "yes" if self.found(about) else "no"
            case "complete":
                return "no" if self.more(about) else "yes"
            case "more":
                return {"tasks": [*self.more(about)]}
            case "order":
                return self._next(about)
            case "lesson":
                return f"Look first: {about.values['fault']}"
            case "answer":
                return self.answer(about)
            case "result":
                return _answered(about, self.result(about))
            case "content":
                return about.begins + self._content(about)
        return "yes" if "yes" in about.options else "fine"

    def _move(self, about: Asked) -> Any:
        for call in self.calls(about):
            needed = self._needed(about, call)
            if needed is not None:
                return _call(about, needed)
        if about.must:
            return _call(about, self.spare(about))
        return _answered(about, self.result(about))

    def _content(self, about: Asked) -> str:
        """The argument that is left out of a call, because it is asked for by itself."""
        others = json.loads(about.values["others"])
        for tool, arguments in self.calls(about):
            if tool == about.values["tool"] and others.items() <= arguments.items():
                return str(arguments["content"])
        raise AssertionError(f"nobody wants to call {about.values}")

    def _needed(self, about: Asked, call: Call) -> Call | None:
        """The call itself, the look at what it did, or nothing if it was done."""
        tries = [at for at, made in enumerate(about.made) if made.is_(call)]
        if not tries:
            return call
        if UNVERIFIED not in about.made[tries[-1]].seen:
            return None
        if self.look is None:
            return call
        look, sign = self.look(call)
        looked = [made for made in about.made[tries[-1] :] if made.is_(look)]
        if not looked or UNVERIFIED in looked[-1].seen:
            return look
        return None if sign in looked[-1].seen else call

    def _next(self, about: Asked) -> str:
        texts = dict(line.split(": ", 1) for line in about.values["open"].splitlines())
        wanted = [
            name
            for beginning in self.first
            for name in about.options
            if texts.get(name, "").startswith(beginning)
        ]
        return [*wanted, *about.options][0]


def _call(about: Asked, call: Call) -> ToolCall:
    """With those arguments that can be given now."""
    name, arguments = call
    tool = about.tools.get(name)
    possible = tool.allowed.get("properties") if tool and isinstance(tool.allowed, dict) else None
    given = {key: value for key, value in arguments.items() if possible is None or key in possible}
    return ToolCall("x", name, json.dumps(given))


def _answered(about: Asked, text: str) -> str | ToolCall:
    """In words, or by the tool that is the way out."""
    return ToolCall("x", ANSWER, json.dumps({"text": text})) if ANSWER in about.tools else text


class Player:
    """A `ChatModel` that plays."""

    def __init__(self, play: Play, name: str = NAME, context_tokens: int = 8192) -> None:
        self.name = name
        self.context_tokens = context_tokens
        self.play = play
        self.asked: list[Asked] = []
        """For the eyes of a test; no answer depends on it."""

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> int:
        return ScriptedModel().count_tokens(messages, tools)

    def stream(self, request: ChatRequest, cancel: CancelToken | None = None) -> Iterator[Delta]:
        about = asked(request)
        self.asked.append(about)
        self.play.slow(about, cancel or CancelToken())
        once = ScriptedModel(
            self.play.says(about), name=self.name, context_tokens=self.context_tokens
        )
        yield from once.stream(request, cancel)

    def warm(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> None:
        """Nothing to read ahead."""

    def close(self) -> None:
        """Nothing is held."""


class ScriptedRuntime(Runtime):
    """A runtime of which all chat models play; there are no others."""

    def __init__(
        self,
        play: Play,
        settings: Settings | None = None,
        *,
        functions: Sequence[Callable[..., Any]] = (),
    ) -> None:
        super().__init__(settings)
        self.player = Player(play)
        if functions:
            self.lend(functions)

    def chat(self, name: str | None = None) -> ChatModel:
        del name
        return self.player

    def embedder(self, name: str | None = None) -> Embedder:
        raise ModelMissing(name or "scripted")

    def model_names(self) -> list[str]:
        return [NAME, "other"]

    def _check_models(self, workflow: LoadedWorkflow) -> None:
        """Nothing is loaded."""


def diary(log: Path) -> list[Callable[..., Any]]:
    """Tools that write where no folder of a run is, so that what is done twice is seen."""

    def append_line(text: str) -> str:
        """Add a line to the diary."""
        with log.open("a") as file:
            file.write(text + "\n")
        return "added"

    def read_diary(newest: int = 50) -> str:
        """Show the newest lines of the diary."""
        lines = log.read_text().splitlines() if log.exists() else []
        return "\n".join(["The diary:", *lines[-newest:]])

    return [append_line, read_diary]
