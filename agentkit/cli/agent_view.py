"""An agent as a person watches it: the list of tasks, the step it is at, what it has spent.

The state is the agent's own: the sum of its events.  What models and tools said is shown as text,
without the control characters that a terminal would obey.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
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

LIMITS = ("tasks", "steps", "tokens", "seconds")
"""What is counted against a budget."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+")


@dataclass
class Picture:
    """What is shown of an agent.

    Seconds are those in which it works: what lies before a resumption is none, and between two
    events the clock goes on.
    """

    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    budget: Mapping[str, Any] = field(default_factory=dict)
    tasks: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Status and text by id."""
    step: str = ""
    seen: str = ""
    finished: int = 0
    steps: int = 0
    tokens: int = 0
    seconds: float = 0.0
    last: datetime | None = None
    """When it was last heard of; None while it does not work."""

    def hear(self, event: ev.Event) -> None:
        """Take an event in."""
        if isinstance(event, ev.AgentEvent):
            self.seconds = self._seconds(event.time)
            self.last = event.time
        match event:
            case ev.AgentStarted():
                self._begin(event.budget)
            case ev.AgentFinished():
                self.last = None
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

    def wait(self) -> None:
        """It does not work until it is heard of again."""
        self.last = None

    def _begin(self, budget: Mapping[str, Any]) -> None:
        """From nothing: the service tells of a run that goes on from its beginning."""
        self.budget, self.tasks, self.step, self.seen = budget, {}, "", ""
        self.finished = self.steps = self.tokens = 0
        self.seconds = 0.0

    def _seconds(self, until: datetime) -> float:
        passed = 0.0 if self.last is None else (until - self.last).total_seconds()
        return self.seconds + max(0.0, passed)

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
        seconds = int(self._seconds(self.clock()))
        spent = zip(LIMITS, (self.finished, self.steps, self.tokens, seconds), strict=True)
        return " · ".join(
            f"{value:,}/{self.budget[name]:,} {name}" if name in self.budget else f"{value} {name}"
            for name, value in spent
        )


@contextmanager
def watch(told: Iterable[ev.Event] = ()) -> Iterator[Screen]:
    """A subscriber that draws on stderr, while it lasts; `told` is what happened before."""
    from rich.console import Console
    from rich.live import Live

    picture = Picture()
    for event in told:
        picture.hear(event)
    picture.wait()
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
