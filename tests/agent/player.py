"""An agent with a model that plays a part, and a stage: folder, tools, a person, a diary."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from agentkit import events as ev
from agentkit.agent.budget import Budget
from agentkit.agent.run import Order, Result, Surroundings, pursue
from agentkit.agent.state import AgentState, rebuilt
from agentkit.cancel import CancelToken
from agentkit.config import shipped
from agentkit.messages import Regex, ToolCall
from agentkit.permissions import Effect, Request, Verdict
from agentkit.testing import ScriptedDesk, ScriptedServices
from agentkit.toolbox.approvals import Approvals
from agentkit.toolbox.box import Toolbox
from agentkit.toolbox.caller import Caller
from agentkit.toolbox.grants import Grants
from agentkit.toolbox.sources import FolderSource, FunctionSource, Source

from .asked import Answering, Asked, Call, call, continues, stem

__all__ = [
    "PLACE",
    "Asked",
    "Died",
    "Player",
    "Stage",
    "after",
    "call",
    "continues",
    "stem",
    "stubborn",
]

PLACE = {"run": "run-1", "step": "agent", "item": None}


# -- what is answered ------------------------------------------------------------------------------


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
    "kind": "look",
    "found": "yes",
    "about": "yes",
    "answers": "yes",
    "newest": "It was not found.",
    "complete": "yes",
    "check": "yes",
    "more": {"tasks": []},
    "lesson": "Look more closely.",
    "result": "It was not found.",
    "answer": "All of it was worked through.",
    "thought": "That follows from it.",
}


class Player(Answering):
    """Its answer to a phase is a value, or a function of what was asked."""

    def __init__(
        self, move: Any = "It is done.", *, context_tokens: int = 8192, **answers: Any
    ) -> None:
        super().__init__("player", context_tokens)
        self.answers = {**ANSWERS, "move": move, **answers}
        self._wanted: Mapping[str, Any] = {}

    def says(self, about: Asked, cancel: CancelToken) -> Any:
        if isinstance(about.request.constraint, Regex):  # what was left out of the last call
            return about.begins + str(self._wanted[about.phase])
        if about.phase in self.answers:
            said = self.answers[about.phase]
            said = said(about) if callable(said) else said
            return self._formed(about, said) if about.phase in ("move", "result") else said
        if about.options:  # "order", and what may be asked one day
            return "no" if "no" in about.options else about.options[0]
        raise AssertionError(f"nothing is said to a question of the phase {about.phase!r}")

    def _formed(self, about: Asked, said: Any) -> Any:
        """A call with what it can have now; words by the tool that is the way out."""
        if isinstance(said, str) and not about.must:
            return about.answered(said)
        if isinstance(said, ToolCall) and said.name in about.tools:
            with suppress(ValueError, AttributeError):  # what is no JSON object goes as it is
                self._wanted = json.loads(said.arguments)
                given = about.possible(said.name, self._wanted)
                return replace(said, arguments=json.dumps(given))
        return said


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
