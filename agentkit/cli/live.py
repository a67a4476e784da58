"""A run as a person sees it: one line for each step, a bar while something takes long.

In a terminal lines are updated in place; piped, each step prints one plain line when it is done.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from agentkit import events as ev
from agentkit.messages import Usage

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


class _Lines:
    """One line for each finished step; items of a `foreach` are summed up."""

    def __init__(self, echo: Callable[[str], None], brief: bool = False) -> None:
        self._echo = echo
        self._brief = brief
        self._usage: dict[str, Usage] = {}
        self._counts: dict[str, list[int]] = {}

    def __call__(self, event: ev.Event) -> None:
        if not self._brief or isinstance(event, ev.StepWarned):
            self._tell(event)

    def _tell(self, event: ev.Event) -> None:
        match event:
            case ev.RunStarted():
                self._echo(f"{event.workflow}  run {event.run}")
            case ev.RunResumed():
                self._echo(f"run {event.run} goes on")
            case ev.ForeachStarted():
                self._counts[event.step] = [event.count, 0, 0]
            case ev.StepWarned():
                self._echo(click.style(f"  ! {event.step}: {event.text}", fg="yellow"))
            case ev.StepFinished() if event.item is not None:
                used = event.usage or Usage()
                self._usage[event.step] = self._usage.get(event.step, Usage()) + used
            case ev.StepSkipped() if event.item is not None:
                self._counts[event.step][1] += 1
            case ev.StepFailed() if event.item is not None and event.status == "failed":
                self._counts[event.step][2] += 1
                where = f"  ✗ {event.step}[{event.item}]  {event.error}"
                self._echo(click.style(where, fg="red"))
            case ev.StepFinished():
                usage = event.usage or self._usage.get(event.step)
                mark = "!" if self._counts.get(event.step, [0, 0, 0])[2] else "✓"
                line = f"  {mark} {event.step:<14} {event.seconds:7.1f} s"
                self._echo(line + self._items(event.step) + _tokens(usage))
            case ev.StepSkipped():
                self._echo(f"  - {event.step:<14} skipped: {event.reason}")
            case ev.StepFailed():
                mark = {"failed": "✗", "cancelled": "■", "parked": "?"}[event.status]
                self._echo(f"  {mark} {event.step:<14} {event.error}")
            case ev.RunFinished():
                line = f"{event.status} in {event.seconds:.1f} s{_tokens(event.usage)}"
                self._echo(line)

    def _items(self, step: str) -> str:
        if step not in self._counts:
            return ""
        count, skipped, failed = self._counts[step]
        parts = [f"{count} items"]
        parts += [f"{skipped} skipped"] if skipped else []
        parts += [f"{failed} failed"] if failed else []
        return "  " + ", ".join(parts)


class _Bars:
    """The lines, and below them what is being worked on."""

    def __init__(self, bars: Progress, lines: _Lines) -> None:
        self._bars = bars
        self._lines = lines
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, event: ev.Event) -> None:
        match event:
            case ev.ForeachStarted():
                self._tasks[event.step] = self._bars.add_task(
                    event.step, total=event.count, note=f"0/{event.count}"
                )
            case ev.StepStarted() if event.step not in self._tasks:
                self._tasks[event.step] = self._bars.add_task(event.step, total=None, note="")
            case ev.StepProgress() if event.item is None:
                done = f"{event.done:.0f}"
                note = f"{done}/{event.total:.0f} {event.unit}" if event.total else done
                task = self._tasks[event.step]
                self._bars.update(task, completed=event.done, total=event.total, note=note)
            case ev.StepFinished() | ev.StepSkipped() | ev.StepFailed() if event.item is not None:
                self._advance(event.step)
            case ev.StepFinished() | ev.StepFailed() | ev.StepSkipped() if event.item is None:
                if event.step in self._tasks:
                    self._bars.remove_task(self._tasks.pop(event.step))
            case ev.RunFinished():
                self._bars.stop()
        self._lines(event)

    def _advance(self, step: str) -> None:
        task = self._tasks[step]
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
