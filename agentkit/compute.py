"""The cores and the GPU of this machine, lent for one piece of work at a time.

Chat models, Whisper and embedders each spread over all cores, and llama.cpp's threads spin while
they wait: two of them at once take a hundred times as long as one after the other.  Whoever
computes takes a turn for one batch of tokens, one window of audio, one batch of texts.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Compute:
    """First come, first served: a model with much to do cannot starve the others."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the machine, and have it to oneself until the end of the block."""
        with self._guard:
            mine = threading.Event()
            if self._taken:
                self._waiting.append(mine)
            else:
                self._taken = True
                mine.set()
        try:
            mine.wait()
            yield
        finally:
            with self._guard:
                if not mine.is_set():  # interrupted while waiting
                    self._waiting.remove(mine)
                elif self._waiting:
                    self._waiting.popleft().set()
                else:
                    self._taken = False
