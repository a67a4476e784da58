"""One stream alone, then one that runs while sixteen others arrive at the same moment.

Sharing cannot help here: apart from the template's own opening no two prompts begin alike.  What
counts is that nothing is lost against llama.cpp's own loop, and that whoever reads along is never
left waiting for longer than one piece of somebody's prompt takes.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, zip_longest

from agentkit.messages import ChatRequest, Message
from bench.engine import texts
from bench.engine.clock import watching
from bench.engine.measure import Bench, Outcome, Row, compare, one_by_one
from bench.engine.sides import Side

CONTEXT, SLOTS = 8 * 768, 8

TALES = [
    "Tell me a long story about a lighthouse keeper who finds a door in the rock.",
    "Write a long letter of a ship's cook to his sister, about a storm off Cape Horn.",
    "Describe in many details how bread was baked in a village three hundred years ago.",
]

SHORT = [
    "Write a long poem in prose about the first snow in a harbour town.",
    "Explain at length how a bicycle stays upright.",
    "Describe a night market in all its colours, smells and voices.",
    "Tell me everything that happens to a drop of rain until it reaches the sea.",
    "Explain at length why old violins are so expensive.",
    "Write the beginning of a detective novel that takes place in a library.",
    "Describe how a glass bottle is made, from the sand to the shelf.",
    "Explain at length to a child why the moon changes its shape.",
    "Write a speech for the opening of a new bridge.",
    "Describe a long day in the life of a postwoman in the mountains.",
]

UNTIL_BURST = 8
"""Pieces of the running stream that are read before the others arrive."""

START_SECONDS = 60
"""How long the running stream may take to get so far; then its own error is of interest."""


@dataclass(frozen=True, slots=True)
class Burst(Outcome):
    """`pause` is the longest time between two pieces of the running stream, in seconds."""

    pause: float
    began: float
    ended: float


def run(bench: Bench) -> list[Row]:
    """Three rows: one stream, the burst, and the pause of the stream that runs meanwhile."""
    return [alone(bench), *burst(bench)]


# -- one stream ----------------------------------------------------------------------------------


def alone(bench: Bench) -> Row:
    """Seconds for three tales, one after the other."""
    requests = [long_answer(text, max_tokens=128) for text in TALES]
    setup = bench.setup(context=CONTEXT, slots=SLOTS)
    mine, server = bench.alternate(setup, partial(one_by_one, requests=requests))
    speeds = [one[-1].total("written") / one[-1].seconds for one in (mine, server)]
    note = "{:.1f} / {:.1f} tokens/s".format(*speeds)
    return compare("3 single streams of 128 tokens", mine, server, limit=1.05, notes=[note])


def long_answer(text: str, *, max_tokens: int) -> ChatRequest:
    """A question that calls for a long answer, so that only `max_tokens` ends it."""
    return ChatRequest((Message("user", text),), max_tokens=max_tokens)


# -- a burst -------------------------------------------------------------------------------------


def burst(bench: Bench) -> list[Row]:
    """Seconds from the burst until all is answered, and the longest pause of who reads along."""
    setup = bench.setup(context=CONTEXT, slots=SLOTS)
    with watching() as clock:
        mine, server = bench.alternate(setup, flood)
    piece = max(clock.longest(one.began, one.ended) for one in mine)
    pauses = Row(
        "longest pause of that stream",
        "s",
        tuple(one.pause for one in mine),
        tuple(one.pause for one in server),
        "llama-server",
        piece * 1.1,
        "ours",
        (f"limit: one prompt piece, that is our longest decode ({piece:.2f} s) and a tenth more",),
    )
    return [compare("burst of 16 beside a stream", mine, server, limit=1.0), pauses]


def flood(side: Side) -> Burst:
    """Start a stream, wait until it runs, and send all the others at once."""
    running = threading.Event()

    def heard(pieces: int) -> None:
        if pieces == UNTIL_BURST:
            running.set()

    with ThreadPoolExecutor(1 + len(BURST)) as pool:
        stream = pool.submit(side.ask, long_answer(TALES[0], max_tokens=160), heard)
        running.wait(START_SECONDS)
        began = time.perf_counter()
        others = list(pool.map(side.ask, BURST))
        first = stream.result()
    ended = time.perf_counter()
    pause = max(late - early for early, late in pairwise(first.pieces) if late > began)
    return Burst(ended - began, (first, *others), pause, began, ended)


def summary(section: str) -> ChatRequest:
    """A question with a prompt of some length, which begins like no other."""
    return long_answer(f"{section}\n\nTell all of this again in your own words.", max_tokens=24)


LONG = [summary(section) for section in texts.sections("handbook.md")]
BRIEF = [long_answer(text, max_tokens=48) for text in SHORT]
BURST = [request for pair in zip_longest(BRIEF, LONG) for request in pair if request]
