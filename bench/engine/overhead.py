"""What our own Python costs for each token, on a small model, where it weighs most.

Of the time between the first piece of an answer and its end, what llama.cpp spends in decodes is
taken off.  What is left, sampling and mask included, is shared out among the decodes, so that
tokens that the grammar forces, several in one decode, do not flatter the figure.
"""

from __future__ import annotations

from typing import Any

from agentkit.messages import ChatRequest, JsonSchema, Message
from bench.engine.clock import Clock, watching
from bench.engine.measure import HELLO, Bench, Row
from bench.engine.sides import Reply, ours

REPORT: dict[str, Any] = {
    "type": "object",
    "properties": {
        name: {"type": "string", "minLength": 80, "maxLength": 200}
        for name in ("background", "method", "result", "doubts")
    },
    "required": ["background", "method", "result", "doubts"],
    "additionalProperties": False,
}

TASK = Message("user", "Report, as JSON, on an experiment with tomato plants and music.")

PLAIN = ChatRequest((TASK,), max_tokens=128)
CONSTRAINED = ChatRequest((TASK,), max_tokens=128, constraint=JsonSchema(REPORT))


def run(bench: Bench) -> list[Row]:
    """Milliseconds of a plain token and of a constrained one."""
    setup = bench.setup(context=2048, slots=8, small=True)
    plain, constrained = [], []
    for _ in range(bench.rounds):
        with watching() as clock, ours(setup) as side:
            side.ask(HELLO)
            plain.append(own(clock, side.ask(PLAIN)))
            constrained.append(own(clock, side.ask(CONSTRAINED)))
    note = f"{setup.model.name}, without llama.cpp's own decodes"
    return [
        Row("our own part of a token", "ms", tuple(plain), (), "", 1.5, "ours", (note,)),
        Row("of a constrained token", "ms", tuple(constrained), (), "", 2.0, "ours", (note,)),
    ]


def own(clock: Clock, reply: Reply) -> float:
    """Milliseconds for each decode of an answer that are not llama.cpp's."""
    began = reply.pieces[0]
    decodes, within = clock.between(began, reply.ended)
    return 1000 * (reply.ended - began - within) / decodes
