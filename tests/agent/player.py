"""An agent with a model that plays a part: it looks at each question, and answers.

No answer depends on how many questions came before, so the loop may ask more or fewer of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from agentkit import events as ev
from agentkit.agent import strategies
from agentkit.agent.budget import Budget
from agentkit.agent.mind import prompts
from agentkit.agent.run import Order, Result, Surroundings, pursue
from agentkit.agent.state import AgentState, rebuilt
from agentkit.cancel import CancelToken
from agentkit.config import shipped
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
from agentkit.permissions import Effect, Request, Verdict
from agentkit.testing import ScriptedDesk, ScriptedModel, ScriptedServices
from agentkit.toolbox.approvals import Approvals
from agentkit.toolbox.box import Toolbox
from agentkit.toolbox.caller import Caller
from agentkit.toolbox.grants import Grants
from agentkit.toolbox.sources import FolderSource, FunctionSource, Source

Call = tuple[str, dict[str, Any]]
"""A tool and its arguments."""

SYSTEM = "system"
ANSWER = "answer"
"""The tool that is no tool, but the way out."""
PLACE = {"run": "run-1", "step": "agent", "item": None}


# -- what is asked ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """A call that stands in the conversation, and what came of it."""

    tool: str
    arguments: Mapping[str, Any]
    seen: str


@dataclass(frozen=True)
class Asked:
    """A question: its phase, the task, and the calls since the task began."""

    request: ChatRequest
    phase: str
    objective: str
    task: str
    made: tuple[Made, ...]
    rejected: bool
    """Whether a result was sent back since the task began."""

    @property
    def text(self) -> str:
        """All that the model reads."""
        return "\n".join(message.content for message in self.request.messages)

    @property
    def question(self) -> str:
        """The end of it."""
        return self.request.messages[-1].content

    @property
    def must(self) -> bool:
        """Whether an answer is not possible now."""
        if self.request.tool_choice != "required":
            return False
        ways_out = [tool for tool in self.request.tools if tool.name == ANSWER]
        return not ways_out or ways_out[0].allowed is False

    @property
    def offered(self) -> list[str]:
        """The tools that can be called now."""
        tools = self.request.tools
        return [tool.name for tool in tools if tool.allowed is not False and tool.name != ANSWER]

    def allows(self, call: Call) -> bool:
        """Whether the grammar lets this call through."""
        tool = next((one for one in self.request.tools if one.name == call[0]), None)
        if tool is None or tool.allowed is False:
            return False
        schema = tool.allowed or tool.parameters
        return Draft202012Validator(schema).is_valid(_possible(tool, call[1]))


def _possible(tool: ToolSchema, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those arguments that can be given now; long ones are asked for by themselves."""
    schema = tool.allowed or tool.parameters
    return {name: value for name, value in arguments.items() if name in schema["properties"]}


def asked(request: ChatRequest) -> Asked:
    """A request of an agent, taken apart."""
    objective = task = ""
    made: list[Made] = []
    rejected = False
    calls: dict[str, ToolCall] = {}
    for message in kept(request):
        calls |= {call.id: call for call in message.tool_calls}
        if message.role == "tool":
            call = calls[message.tool_call_id]
            made.append(Made(call.name, json.loads(call.arguments), message.content))
        for part in message.content.split("\n\n") if message.role == "user" else ():
            word, _, text = part.partition(": ")
            if word == "Objective":
                objective = task = text
            elif word == "Task":
                task, made, rejected = text, [], False
            rejected = rejected or word == "This is not accepted"
    return Asked(request, _phase(request), objective, task, tuple(made), rejected)


def _phase(request: ChatRequest) -> str:
    if isinstance(request.tool_choice, OneTool):
        return "result"
    if request.tool_choice != "none":
        return "move"
    last = request.messages[-1].content
    if last == strategies.ANSWER or last.endswith(strategies.THINK):
        return "answer" if last == strategies.ANSWER else "thought"
    found = [name for name, pattern in _patterns().items() if pattern.search(last)]
    assert found, f"no phase asks like this: {last!r}"
    return found[0]


def kept(request: ChatRequest) -> Iterator[Message]:
    """The conversation without the question at its end."""
    *before, last = request.messages
    yield from before
    phase = _phase(request)
    if phase not in _patterns():
        yield last
    else:
        yield replace(last, content=_patterns()[phase].sub("", last.content))


def stem(request: ChatRequest) -> list[Message]:
    """What is kept of a request: all but the question at its end."""
    *before, last = kept(request)
    text = last.content.rstrip()
    return [*before, replace(last, content=text)] if text or last.tool_calls else before


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


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    """How the question of each phase looks."""
    return {
        phase: re.compile(
            "".join(
                ".*?" if piece.startswith("{") else re.escape(piece)
                for piece in re.split(r"(\{\w+\})", text)
            )
            + r"\Z",
            re.DOTALL,
        )
        for phase, text in prompts().items()
        if phase != SYSTEM
    }


# -- what is answered ------------------------------------------------------------------------------


def call(tool: str, **arguments: Any) -> ToolCall:
    return ToolCall("x", tool, json.dumps(arguments))


def after(*calls: Call, answer: Any = "It is done.") -> Callable[[Asked], Any]:
    """The calls that were not made since the task began, then the answer."""

    def move(about: Asked) -> Any:
        made = [(one.tool, one.arguments) for one in about.made]
        for tool, arguments in calls:
            if (tool, arguments) not in made:
                return call(tool, **arguments)
        if about.must:
            return call("list_files" if "list_files" in about.offered else about.offered[0])
        return answer(about) if callable(answer) else answer

    return move


def stubborn(tool: str, **arguments: Any) -> Callable[[Asked], Any]:
    """The same call as long as the grammar has this tool; then another one, or words."""

    def move(about: Asked) -> Any:
        if tool in about.offered:
            return call(tool, **arguments)
        return call(about.offered[0]) if about.must else "It is as it is."

    return move


ANSWERS: Mapping[str, Any] = {
    "alone": "no",
    "changing": "no",
    "found": "yes",
    "complete": "yes",
    "check": "yes",
    "more": {"tasks": []},
    "lesson": "Look more closely.",
    "result": "It was not found.",
    "answer": "All of it was worked through.",
    "thought": "That follows from it.",
}


class Player:
    """A `ChatModel` whose answer to a phase is a value, or a function of what was asked."""

    def __init__(
        self, move: Any = "It is done.", *, context_tokens: int = 8192, **answers: Any
    ) -> None:
        self.name = "player"
        self.context_tokens = context_tokens
        self.answers = {**ANSWERS, "move": move, **answers}
        self._wanted: Mapping[str, Any] = {}
        self.asked: list[Asked] = []
        """For the eyes of a test."""

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
        once = ScriptedModel(self._says(about), name=self.name, context_tokens=self.context_tokens)
        return once.stream(request, cancel)

    def warm(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> None:
        """Nothing to read ahead."""

    def close(self) -> None:
        """Nothing is held."""

    def _says(self, about: Asked) -> Any:
        constraint = about.request.constraint
        if isinstance(constraint, Regex):
            return self._written(about, constraint)
        if about.phase in self.answers:
            said = self.answers[about.phase]
            said = said(about) if callable(said) else said
            return self._formed(about, said) if about.phase in ("move", "result") else said
        if isinstance(constraint, Choices):  # "order", and what may be asked one day
            return "no" if "no" in constraint.options else constraint.options[0]
        raise AssertionError(f"nothing is said to a question of the phase {about.phase!r}")

    def _formed(self, about: Asked, said: Any) -> Any:
        """A call with what it can have now; words by the tool that is the way out."""
        tools = {tool.name: tool for tool in about.request.tools}
        if isinstance(said, str) and ANSWER in tools and not about.must:
            return call(ANSWER, text=said)
        if isinstance(said, ToolCall) and said.name in tools:
            with suppress(ValueError, AttributeError):  # what is no JSON object goes as it is
                self._wanted = json.loads(said.arguments)
                given = _possible(tools[said.name], self._wanted)
                return replace(said, arguments=json.dumps(given))
        return said

    def _written(self, about: Asked, form: Regex) -> str:
        """The argument that was left out of the last call."""
        begin = re.sub(r"\\(.)", r"\1", form.pattern.removesuffix(r"(.|\n)*"))
        return begin + str(self._wanted[about.phase])


# -- the stage -------------------------------------------------------------------------------------


class Died(BaseException):
    """The process is gone."""


@dataclass
class Diary:
    """What reports on calls and events; `dies_at` is the number of the write that never happens."""

    events: list[ev.AgentEvent] = field(default_factory=list)
    calls: dict[str, tuple[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    dies_at: int | None = None
    writes: int = 0
    place: dict[str, Any] = field(default_factory=lambda: dict(PLACE))

    def _write(self) -> None:
        self.writes += 1
        if self.writes == self.dies_at:
            raise Died

    def tell(self, event: ev.Event) -> None:
        """As it comes out of a journal."""
        self._write()
        told = json.loads(json.dumps(event.details()))
        self.events.append(ev.agent_event(event.kind, event.run, event.time, told))

    def called(self, call: str, tool: str, arguments: Any) -> None:
        self._write()
        self.calls[call] = ("running", None)

    def returned(self, call: str, tool: str, status: str, size: int, outcome: Any) -> None:
        self._write()
        self.calls[call] = (status, outcome)

    def progress(self, done: float, total: float | None, unit: str) -> None:
        pass

    def warned(self, text: str) -> None:
        self.warnings.append(text)

    def artifact(self, path: Path, folder: Path) -> None:
        pass


@cache
def _shipped() -> FolderSource:
    return FolderSource(shipped("tools"), "shipped")


@dataclass
class Person:
    """Answers questions; without an answer nobody is there."""

    answer: str | None = None
    asked: list[Request] = field(default_factory=list)

    def __call__(self, request: Request, cancel: CancelToken) -> str | None:
        self.asked.append(request)
        return self.answer


@dataclass
class Stage:
    """A folder, tools and a person: all that an agent needs but its model."""

    folder: Path
    home: Path
    diary: Diary = field(default_factory=Diary)
    services: ScriptedServices = field(default_factory=ScriptedServices)
    person: Person = field(default_factory=Person)
    desk: ScriptedDesk = field(default_factory=ScriptedDesk)
    effects: dict[Effect, Verdict] = field(default_factory=dict)
    functions: list[Callable[..., Any]] = field(default_factory=list)
    cancel: CancelToken = field(default_factory=CancelToken)
    embedder: Callable[[], Any] | None = None

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def caller(self, tools: Iterable[str] | None = None) -> Caller:
        given = FunctionSource()
        given.add(self.functions)
        sources: list[Source | Path] = [_shipped(), given]
        return Caller(
            Toolbox(sources),
            Grants(
                own=(self.home.resolve(),),
                own_write=(self.folder.resolve(),),
                effects=self.effects,
            ),
            Approvals(self.desk, self.person, "run-1"),
            self.services,
            self.folder,
            None if tools is None else tuple(tools),
            self.home,
        )

    def pursue(
        self,
        player: Player,
        objective: str,
        tools: Sequence[str] = ("list_files", "read_file"),
        **order: Any,
    ) -> Result:
        """Begin, or go on where the diary ends."""
        budget = order.pop("budget", Budget())
        around = Surroundings(
            player,
            self.caller(tools),
            self.diary,
            self.cancel,
            self.embedder or (lambda: self.services.embedder()),
            letters=lambda: self.services.letters("run-1"),
            told=tuple(self.diary.events),
            calls=dict(self.diary.calls),
        )
        return pursue(Order(objective, tuple(tools), budget, **order), around)

    def told(self, kind: type[ev.AgentEvent]) -> list[Any]:
        """The events of a kind."""
        return [event for event in self.diary.events if isinstance(event, kind)]

    def made(self, tool: str | None = None) -> list[ev.ActStarted]:
        """The calls that were tried."""
        return [act for act in self.told(ev.ActStarted) if tool in (None, act.tool)]

    def acted(self, tool: str) -> list[ev.ActFinished]:
        """What came of the calls of a tool."""
        ids = {act.call for act in self.made(tool)}
        return [act for act in self.told(ev.ActFinished) if act.call in ids]

    def state(self) -> AgentState:
        return rebuilt(self.diary.events)

    @property
    def report(self) -> str:
        return (self.home / "report.md").read_text(encoding="utf-8")
