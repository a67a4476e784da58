"""A chat model that makes each call until it knows that it was done, and a runtime that lends it.

It keeps nothing: a process that goes on with a run asks the same, and is answered the same as the
one that died.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentkit.cancel import CancelToken
from agentkit.config import Settings
from agentkit.errors import ModelMissing
from agentkit.messages import ToolCall
from agentkit.ports import ChatModel, Embedder
from agentkit.runtime import Runtime
from tests.agent.asked import Answering, Asked, Call

__all__ = ["NAME", "UNVERIFIED", "Asked", "Call", "Play", "Player", "ScriptedRuntime", "diary"]

UNVERIFIED = "effect unverified"
NAME = "scripted"


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
            case "alone":
                return "no"
            case "kind":
                return "compute"
            case "answers":
                return "yes"
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
                return about.answered(self.result(about))
            case "content":
                return about.begins + self._content(about)
        return next(iter(about.options), "fine")  # yes comes before no

    def _move(self, about: Asked) -> Any:
        for call in self.calls(about):
            needed = self._needed(about, call)
            if needed is not None:
                return _call(about, needed)
        if about.must:
            return _call(about, self.spare(about))
        return about.answered(self.result(about))

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
    given = about.possible(name, arguments) if name in about.tools else arguments
    return ToolCall("x", name, json.dumps(given))


class Player(Answering):
    """A model that plays."""

    def __init__(self, play: Play) -> None:
        super().__init__(NAME)
        self.play = play

    def says(self, about: Asked, cancel: CancelToken) -> Any:
        self.play.slow(about, cancel)
        return self.play.says(about)


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
        self._models.names = lambda: [NAME, "other"]  # type: ignore[method-assign]
        self._models.check = lambda needed: None  # type: ignore[method-assign]
        self.player = Player(play)
        if functions:
            self.lend(functions)

    def chat(self, name: str | None = None) -> ChatModel:
        del name
        return self.player

    def embedder(self, name: str | None = None) -> Embedder:
        raise ModelMissing(name or "scripted")


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
