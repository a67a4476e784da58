"""Twelve customers write to the support of a shop in turn, and the context has room for four.

More than half of each prompt, the rules of the house, is the same for all of them.  It should be
read once, and a customer's own part should not have to be read again each time.
"""

from __future__ import annotations

from functools import partial

from bench.engine import texts
from bench.engine.measure import Bench, Row, compare, one_by_one

TITLE = "12 conversations, room for 4"
CONTEXT, SLOTS = 4 * 896, 4


def run(bench: Bench) -> list[Row]:
    """Seconds for three questions of each customer: all first ones, all second ones, all third."""
    conversations = texts.conversations(max_tokens=12)
    requests = [request for turn in zip(*conversations, strict=True) for request in turn]
    setup = bench.setup(context=CONTEXT, slots=SLOTS)
    ours, server = bench.alternate(setup, partial(one_by_one, requests=requests))
    return [compare(TITLE, ours, server, limit=0.6)]
