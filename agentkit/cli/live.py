"""A run as a person sees it: one line for each step, a bar while something takes long.

In a terminal lines are updated in place; piped, each step prints one plain line when it is done.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from agentkit import events as ev
from agentkit.messages import Usage
from agentkit.values import dataclass

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Watcher = Callable[[ev.Event], None]


def say(text: str) -> None:
    """A line above what is being worked on: rich stands in for `sys.stderr` while it shows bars."""
    sys.stderr.write(f"  {text}\n")


@dataclass(frozen=True, slots=True)
class Screen:
    """A subscriber; `paused` stops drawing while something else uses the terminal."""

    watch: Watcher
    paused: Callable[[], AbstractContextManager[None]] = nullcontext

    def __call__(self, event: ev.Event) -> None:
        """Show it."""
        self.watch(event)


@contextmanager
def follow(*, as_json: bool = False, brief: bool = False) -> Iterator[Screen]:
    """A subscriber that shows what happens, on stderr (JSON lines: on stdout).

    `brief` leaves out what went well.
    """
    if as_json:
        yield Screen(_print_json)
        return
    if not sys.stderr.isatty():
        yield Screen(_Lines(lambda line: click.echo(line, err=True), brief))
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.text import Text

    bars = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )

    @contextmanager
    def paused() -> Iterator[None]:
        bars.stop()
        try:
            yield
        finally:
            bars.start()

    with bars:
        lines = _Lines(lambda line: bars.console.print(Text.from_ansi(line)), brief)
        yield Screen(_Bars(bars, lines), paused)


def _print_json(event: ev.Event) -> None:
    line = {"kind": event.kind, "run": event.run, "time": event.time, **event.details()}
    click.echo(json.dumps(line, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


Place = tuple[str, str]
"""A run, and one of its steps."""


NOTHING = (0, 0, 0, 0)
"""Of a loop: items, and how many of them were skipped, failed, or kept by earlier runs."""


class _Lines:
    """One line for each finished step; items of a `foreach` are summed up.

    The steps of a run that belongs to another one are called by both names: `report/write`.
    """

    def __init__(self, echo: Callable[[str], None], brief: bool = False) -> None:
        self._echo = echo
        self._brief = brief
        self._run = ""
        self._usage: dict[Place, Usage] = {}
        self._counts: dict[Place, list[int]] = {}
        self._told = ""

    def __call__(self, event: ev.Event) -> None:
        self._run = self._run or event.run
        if self._brief and not isinstance(event, ev.StepWarned):
            return
        if isinstance(event, ev.StepEvent):
            self._step(event, (event.run, event.step))
        elif event.run == self._run:
            self._whole(event)

    def _whole(self, event: ev.Event) -> None:
        match event:
            case ev.RunStarted():
                self._echo(f"{event.workflow}  run {event.run}")
            case ev.RunResumed():
                self._echo(f"run {event.run} goes on")
                for step, why in event.again.items():
                    self._echo(f"  ↻ {step:<14} again: {why}")
                if event.kept:
                    self._echo(f"  = {', '.join(event.kept)}: kept")
            case ev.RunFinished():
                line = f"{event.status} in {event.seconds:.1f} s{_tokens(event.usage)}"
                self._echo(line)

    def _step(self, event: ev.StepEvent, place: Place) -> None:
        name = self._name(event)
        match event:
            case ev.ForeachStarted():
                self._counts[place] = [event.count, 0, 0, 0]
            case ev.StepWarned():
                self._echo(click.style(f"  ! {name}: {event.text}", fg="yellow"))
            case ev.StepRetried():
                again = f"attempt {event.attempt} failed, again in {event.wait:.2g} s"
                self._echo(click.style(f"  ↻ {name}  {again}: {event.error}", fg="yellow"))
            case _ if event.item is not None:
                self._item(event, place, name)
            case ev.StepFinished():
                usage = event.usage or self._usage.get(place)
                mark = "!" if self._counts.get(place, NOTHING)[2] else "✓"
                line = f"  {mark} {name:<14} {event.seconds:7.1f} s"
                kept = f"  kept by run {event.cached}" if event.cached else ""
                self._echo(line + self._items(place) + _tokens(usage) + kept)
            case ev.StepSkipped():
                self._echo(f"  - {name:<14} skipped: {event.reason}")
            case ev.StepFailed():
                mark = {"failed": "✗", "cancelled": "■", "parked": "?"}[event.status]
                self._echo(f"  {mark} {name:<14} {event.error}")

    def _item(self, event: ev.StepEvent, place: Place, name: str) -> None:
        counts = self._counts.get(place, [*NOTHING])  # none: a step of the group in a loop
        match event:
            case ev.StepFinished():
                counts[3] += bool(event.cached)
                used = event.usage or Usage()
                self._usage[place] = self._usage.get(place, Usage()) + used
            case ev.StepSkipped():
                counts[1] += 1
            case ev.StepFailed() if event.status == "failed":
                counts[2] += 1
                if event.error != self._told:  # a group says what its step said
                    self._echo(click.style(f"  ✗ {name}  {event.error}", fg="red"))
                self._told = event.error

    def _name(self, event: ev.StepEvent) -> str:
        inner = event.run.removeprefix(self._run).lstrip(".")
        step = "/".join([*(inner.split(".") if inner else ()), event.step])
        return f"{step}[{event.key}]" if event.key else step

    def _items(self, place: Place) -> str:
        if place not in self._counts:
            return ""
        count, skipped, failed, kept = self._counts[place]
        parts = [f"{count} items"]
        parts += [f"{skipped} skipped"] if skipped else []
        parts += [f"{failed} failed"] if failed else []
        parts += [f"{kept} kept by earlier runs"] if kept else []
        return "  " + ", ".join(parts)


class _Bars:
    """The lines, and below them what is being worked on."""

    def __init__(self, bars: Progress, lines: _Lines) -> None:
        self._bars = bars
        self._lines = lines
        self._run = ""
        self._tasks: dict[Place, TaskID] = {}

    def __call__(self, event: ev.Event) -> None:
        self._run = self._run or event.run
        if isinstance(event, ev.StepEvent):
            self._step(event, (event.run, event.step))
        elif isinstance(event, ev.RunFinished) and event.run == self._run:
            self._bars.stop()
        self._lines(event)

    def _step(self, event: ev.StepEvent, place: Place) -> None:
        match event:
            case ev.ForeachStarted():
                note = f"0/{event.count}"
                self._tasks[place] = self._bars.add_task(event.step, total=event.count, note=note)
            case ev.StepStarted() if place not in self._tasks and event.item is None:
                self._tasks[place] = self._bars.add_task(event.step, total=None, note="")
            case ev.StepProgress() if event.item is None and place in self._tasks:
                done = f"{event.done:.0f}"
                note = f"{done}/{event.total:.0f} {event.unit}" if event.total else done
                task = self._tasks[place]
                self._bars.update(task, completed=event.done, total=event.total, note=note)
            case ev.StepFinished() | ev.StepSkipped() | ev.StepFailed() if place in self._tasks:
                if event.item is not None:
                    self._advance(place)
                else:
                    self._bars.remove_task(self._tasks.pop(place))

    def _advance(self, place: Place) -> None:
        task = self._tasks[place]
        self._bars.advance(task)
        state = self._bars.tasks[self._bars.task_ids.index(task)]
        self._bars.update(task, note=f"{state.completed:.0f}/{state.total:.0f}")


def _tokens(usage: Usage | None) -> str:
    if usage is None or not usage.prompt_tokens:
        return ""
    share = usage.cached_tokens / usage.prompt_tokens
    return (
        f"  {usage.prompt_tokens} tokens read ({share:.0%} from the cache), "
        f"{usage.completion_tokens} written"
    )
