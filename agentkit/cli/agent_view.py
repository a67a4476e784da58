"""An agent as a person watches it: the list of tasks, the step it is at, what it has spent.

The state is the agent's own: the sum of its events.  What models and tools said is shown as text,
without the control characters that a terminal would obey.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agentkit import events as ev
from agentkit.cli.live import Screen

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

MARKS = {"open": "·", "running": "▸", "done": "✓", "failed": "✗", "dropped": "-"}
COLOURS = {"running": "cyan", "done": "green", "failed": "red", "dropped": "dim", "open": "dim"}

TASKS = 8
"""The newest ones are shown."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+")


@dataclass
class Picture:
    """What is shown of an agent."""

    budget: Mapping[str, Any] = field(default_factory=dict)
    tasks: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Status and text by id."""
    step: str = ""
    seen: str = ""
    finished: int = 0
    steps: int = 0
    tokens: int = 0

    def hear(self, event: ev.Event) -> None:
        """Take an event in."""
        match event:
            case ev.AgentStarted():
                self.budget = event.budget
            case ev.TaskAdded():
                self.tasks[event.task] = "open", event.text
            case ev.TaskStarted():
                self._mark(event.task, "running")
                self.step = "thinks" if event.attempt == 1 else f"attempt {event.attempt}"
            case ev.ActStarted():
                self.step = f"{event.tool}({_short(event.arguments)})"
                self.seen = ""
            case ev.ActFinished():
                self.steps += 1
                self.seen = f"{event.status}: {_line(event.observation)}"
            case ev.CheckFailed():
                self.seen = f"rejected: {_line(event.fault)}"
            case ev.LessonLearned():
                self.seen = f"learned: {_line(event.lesson)}"
            case ev.NoteGiven():
                self.seen = f"note: {_line(event.text)}"
            case ev.TaskFinished():
                self._mark(event.task, event.status)
                self.finished += 1
                self.step, self.seen = "", _line(event.result)
            case ev.ModelAsked():
                used = event.usage
                self.tokens += used.prompt_tokens - used.cached_tokens + used.completion_tokens

    def _mark(self, task: str, status: str) -> None:
        self.tasks[task] = status, self.tasks.get(task, ("", task))[1]

    def __rich_console__(self, console: Console, options: Any) -> Iterator[RenderableType]:
        from rich.text import Text

        width = options.max_width
        hidden = len(self.tasks) - TASKS
        if hidden > 0:
            yield Text(f"  {hidden} more above", style="dim")
        for name, (status, text) in list(self.tasks.items())[-TASKS:]:
            line = Text(f"  {MARKS[status]} ", style=COLOURS[status])
            line.append(f"{name} ", style="dim")
            line.append(_cut(_line(text), width - 8), style="bold" if status == "running" else "")
            yield line
            if status == "running":
                for said in (self.step, self.seen):
                    if said:
                        yield Text("      " + _cut(_line(said), width - 7), style="dim")
        yield Text("  " + self._spent(), style="dim")

    def _spent(self) -> str:
        parts = [
            f"{value:,}/{self.budget[name]:,} {name}" if name in self.budget else f"{value} {name}"
            for name, value in (
                ("tasks", self.finished),
                ("steps", self.steps),
                ("tokens", self.tokens),
            )
        ]
        return " · ".join(parts)


@contextmanager
def watch() -> Iterator[Screen]:
    """A subscriber that draws on stderr, while it lasts."""
    from rich.console import Console
    from rich.live import Live

    picture = Picture()
    live: Live = Live(picture, console=Console(stderr=True), refresh_per_second=4, transient=True)

    def hear(event: ev.Event) -> None:
        picture.hear(event)
        if isinstance(event, ev.TaskFinished):
            mark = MARKS[event.status]
            text = picture.tasks[event.task][1]
            live.console.print(f"  {mark} {_cut(_line(text), 90)}", markup=False, highlight=False)

    @contextmanager
    def paused() -> Iterator[None]:
        live.stop()
        try:
            yield
        finally:
            live.start()

    with live:
        yield Screen(hear, paused)


def _short(arguments: Mapping[str, Any]) -> str:
    parts = (f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())
    return _cut(_line(", ".join(parts)), 120)


def _line(text: str) -> str:
    return " ".join(_CONTROL.sub(" ", text).split())


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: max(0, most - 1)] + "…"
