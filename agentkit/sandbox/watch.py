"""Waiting for a program: reading what it writes, looking what it uses, ending it in time.

Programs are ended by SIGKILL, all processes at once: what runs here gets no chance to object.
"""

from __future__ import annotations

import os
import selectors
import time
from dataclasses import dataclass
from typing import Protocol

from agentkit.cancel import CancelToken
from agentkit.jobs import Limits, Stopped
from agentkit.sandbox.usage import Use, exceeded

TICK = 0.05
"""Seconds between two looks."""

PATIENCE = 1.0
"""Seconds that output may still come after the end: somebody may have got away with the pipe."""

BLOCK = 65_536


class Program(Protocol):
    """A program that runs.  The descriptors belong to it."""

    @property
    def stdout(self) -> int:
        """Where its output can be read."""

    @property
    def stderr(self) -> int:
        """Where its errors can be read."""

    @property
    def ended(self) -> int:
        """Can be read from when nothing of it runs any more."""

    def use(self, limits: Limits, *, last: bool = False) -> Use:
        """What it uses now, or what it has left when it has ended."""

    def kill(self) -> None:
        """End it with all its processes, at once.  Idempotent."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How it went: output up to its limit, seconds, and what ended it if not itself."""

    stdout: bytes
    stderr: bytes
    seconds: float
    stopped: Stopped


def watch(program: Program, limits: Limits, cancel: CancelToken) -> Ending:
    """Stay with a program until nothing of it runs any more."""
    return _Watch(program, limits, cancel).run()


class _Watch:
    def __init__(self, program: Program, limits: Limits, cancel: CancelToken) -> None:
        self._program = program
        self._limits = limits
        self._cancel = cancel
        self._began = time.monotonic()
        self._next_look = self._began + TICK
        self._ended: float | None = None
        self._stopped: Stopped = ""
        self._left = limits.output
        self._output = {program.stdout: bytearray(), program.stderr: bytearray()}

    def run(self) -> Ending:
        with selectors.DefaultSelector() as selector:
            for descriptor in (self._program.ended, *self._output):
                selector.register(descriptor, selectors.EVENT_READ)
            while selector.get_map() and not self._given_up():
                for key, _ in selector.select(self._pause()):
                    if not self._take(key.fd):
                        selector.unregister(key.fd)
                if not self._stopped and not self._ended:
                    self._stopped = self._reason()
                    if self._stopped:
                        self._program.kill()
        assert self._ended is not None
        if not self._stopped:  # it may have been quicker than a look
            self._stopped = "output" if self._left < 0 else self._exceeded(last=True)
        return Ending(
            bytes(self._output[self._program.stdout]),
            bytes(self._output[self._program.stderr]),
            self._ended - self._began,
            self._stopped,
        )

    def _take(self, descriptor: int) -> bool:
        """Take what is there; false when no more will come."""
        if descriptor == self._program.ended:
            self._ended = time.monotonic()
            return False
        block = os.read(descriptor, BLOCK)
        self._output[descriptor] += block[: max(0, self._left)]
        self._left -= len(block)
        return bool(block)

    def _reason(self) -> Stopped:
        """Why it has to end now, if it has to."""
        if self._cancel.cancelled:
            return "cancelled"
        if self._left < 0:
            return "output"
        now = time.monotonic()
        if now - self._began >= self._limits.wall:
            return "wall"
        if now < self._next_look:
            return ""
        stopped = self._exceeded()
        self._next_look = time.monotonic() + TICK
        return stopped

    def _exceeded(self, *, last: bool = False) -> Stopped:
        return exceeded(self._program.use(self._limits, last=last), self._limits)

    def _pause(self) -> float:
        if self._ended:
            return PATIENCE
        if self._stopped:
            return TICK
        now = time.monotonic()
        return max(0.0, min(TICK, self._next_look - now, self._began + self._limits.wall - now))

    def _given_up(self) -> bool:
        return self._ended is not None and time.monotonic() >= self._ended + PATIENCE
