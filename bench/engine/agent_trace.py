"""Three agents work on one objective in turn: planner, worker and critic, with eight tools.

Twenty turns as a run would have them.  What the agents answer is thrown away and replaced by what
the trace makes them say, so that all sides read the same.  Every prompt begins with the objective;
each role has its own history.
"""

from __future__ import annotations

from functools import partial

from bench.engine import texts
from bench.engine.measure import Bench, Row, compare, one_by_one
from bench.engine.sides import llama_server, ours, plain_llama

TITLE = "agent trace: 20 turns, 3 roles, 8 tools"
CONTEXT, SLOTS = 4 * 3200, 4


def run(bench: Bench) -> list[Row]:
    """Seconds for all turns."""
    setup = bench.setup(context=CONTEXT, slots=SLOTS)
    play = partial(one_by_one, requests=texts.trace(max_tokens=24))
    mine, server, plain = bench.alternate(setup, play, (ours, llama_server, plain_llama))
    return [
        compare(TITLE, mine, server, limit=0.85),
        compare(TITLE, mine, plain, limit=0.3, rival="llama_cpp.Llama"),
    ]
