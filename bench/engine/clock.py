"""How much time llama.cpp itself takes, as far as our engine calls it from this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

WATCHED = ("llama_decode", "llama_synchronize", "llama_get_logits", "llama_get_logits_ith")
"""The functions that compute, or wait for what is being computed."""


@dataclass(slots=True)
class Clock:
    """When llama.cpp computed: begin and end of each call, by `time.perf_counter()`."""

    decodes: list[tuple[float, float]] = field(default_factory=list)
    waits: list[tuple[float, float]] = field(default_factory=list)

    def between(self, began: float, ended: float) -> tuple[int, float]:
        """Decodes that end within a span of time, and the seconds of it that llama.cpp took."""
        decodes = sum(began < end <= ended for _, end in self.decodes)
        if not decodes:
            raise RuntimeError("the engine does not call llama.cpp where the clock watches it")
        spans = self.decodes + self.waits
        return decodes, sum(max(0.0, min(end, ended) - max(begin, began)) for begin, end in spans)

    def longest(self, began: float, ended: float) -> float:
        """Seconds of the longest decode within a span of time."""
        return max(end - begin for begin, end in self.decodes if began <= begin and end <= ended)


@contextmanager
def watching() -> Iterator[Clock]:
    """Watch llama.cpp until the end of the block; models must be loaded within."""
    import llama_cpp

    clock = Clock()
    originals = {name: getattr(llama_cpp, name) for name in WATCHED}
    for name, function in originals.items():
        spans = clock.decodes if name == "llama_decode" else clock.waits
        setattr(llama_cpp, name, timed(function, spans))
    try:
        yield clock
    finally:
        for name, function in originals.items():
            setattr(llama_cpp, name, function)


def timed(function: Callable[..., Any], spans: list[tuple[float, float]]) -> Callable[..., Any]:
    """The same function, which also notes when it was busy."""

    def watched(*arguments: Any) -> Any:
        began = time.perf_counter()
        result = function(*arguments)
        spans.append((began, time.perf_counter()))
        return result

    return watched
