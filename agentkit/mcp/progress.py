"""Events of a run as a number that grows, which is all that clients are shown of a run.

A tool tells how far it is in units of its own.  A workflow counts its finished steps, and the part
that is done of the step at work.
"""

from __future__ import annotations

from collections.abc import Callable

from agentkit import events as ev

Tell = Callable[[float, float | None, str], None]
"""`tell(done, total, what)`: `done` grows from one to the next."""


class Gauge:
    """A subscriber; `steps` is how many a workflow has, None: it is a single tool."""

    def __init__(self, tell: Tell, steps: int | None = None) -> None:
        self._tell = tell
        self._steps = steps
        self._finished = 0
        self._told = 0.0

    def __call__(self, event: ev.Event) -> None:
        """Tell what it means."""
        match event:
            case ev.StepProgress(step=step, done=done, total=total, unit=unit):
                of = f" of {total:g}" if total else ""
                if self._steps is None:
                    self._say(done, total, f"{done:g}{of} {unit}")
                else:
                    part = min(done / total, 0.99) if total else 0.0
                    self._say(self._finished + part, self._steps, f"{step}: {done:g}{of} {unit}")
            case ev.StepFinished(item=None) | ev.StepSkipped(item=None) if self._steps is not None:
                self._finished += 1
                self._say(self._finished, self._steps, f"{event.step}: done")

    def _say(self, done: float, total: float | None, what: str) -> None:
        if done > self._told:
            self._told = done
            self._tell(done, total, what)
