"""Eight people ask about one document at the same moment, and nobody has read it before.

The document should be read once, not eight times.
"""

from __future__ import annotations

from functools import partial

from agentkit.messages import ChatRequest, Message
from bench.engine import texts
from bench.engine.measure import Bench, Row, at_once, compare

TITLE = "fan-out: 8 questions, 1 document"
CONTEXT, SLOTS = 8 * 1792, 8


def run(bench: Bench) -> list[Row]:
    """Seconds until the last of the answers is complete."""
    document = Message("system", f"Answer from this handbook.\n\n{texts.text('handbook.md')}")
    requests = [
        ChatRequest((document, Message("user", question)), max_tokens=40)
        for question in texts.lines("questions.txt")
    ]
    setup = bench.setup(context=CONTEXT, slots=SLOTS)
    ours, server = bench.alternate(setup, partial(at_once, requests=requests))
    return [compare(TITLE, ours, server, limit=0.2)]
