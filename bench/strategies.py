"""What a strategy is worth: the same short problems, answered with each of them.

    python -m bench.strategies [--model NAME] [--only plain,self_consistency] [--problems 12]

Every problem has one number as its answer, which the checker knows.  `plain` asks for it at once,
bound to an integer, as a step without a strategy does.  Times are whole, prefill included; nothing
of one player is in the cache of the next, because each has a new model.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from agentkit.agent.strategies import (
    Asker,
    Solution,
    chain_of_thought,
    reflect,
    self_consistency,
    tree_of_thought,
)
from agentkit.cancel import CancelToken
from agentkit.messages import ChatRequest, JsonSchema, Message
from agentkit.runtime import Runtime

SCHEMA = {
    "type": "object",
    "properties": {"number": {"type": "integer"}},
    "required": ["number"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """A question with a number as its answer."""

    text: str
    number: int


PROBLEMS = (
    Problem("A box holds 12 eggs. Nina buys 5 boxes and breaks 7 eggs. How many are whole?", 53),
    Problem("Tom is 9. His sister is 4 years older. Their father is 3 times as old as she. How old "
            "is the father?", 39),
    Problem("A train leaves at 14:40 and arrives at 17:05. How many minutes does it take?", 145),
    Problem("A shop sells a lamp for 80 euros, with 25 percent off this week, and 3 euros for "
            "shipping. What does it cost in euros?", 63),
    Problem("We are 14. Two thirds of the 24 others who were asked come as well. How many are we "
            "then?", 30),
    Problem("A tank holds 200 litres. 15 litres flow in each minute and 5 flow out. It has 60 now. "
            "After how many minutes is it full?", 14),
    Problem("Anna has twice as many books as Ben. Together they have 48. How many has Anna?", 32),
    Problem("A rope of 90 metres is cut into pieces of 7 metres. How many metres are left?", 6),
    Problem("Bread costs 3 euros, cheese 5. Max buys 4 breads and some cheeses for 37 euros in "
            "all. How many cheeses?", 5),
    Problem("The meeting was on a Monday, the next one is 17 days later. How many days after the "
            "following Monday is that?", 10),
    Problem("A garden is 12 metres long and 8 wide. A path of 1 metre runs around it, outside. How "
            "many square metres has the path?", 44),
    Problem("Five friends shake hands, each with each once. How many handshakes are there?", 10),
    Problem("A page has 30 lines of 60 letters. How many letters do 4 pages have if the last one "
            "is half full?", 6300),
    Problem("Lea reads 20 pages on Monday, and each day 5 more than on the day before. How many in "
            "all from Monday to Thursday?", 110),
    Problem("A bus has 32 people. At each of 3 stops 7 get off and 4 get on. How many are there "
            "then?", 23),
    Problem("Half of a number, plus 11, is 30. What is the number?", 38),
    Problem("A printer does 18 pages in a minute. How many seconds for 45 pages?", 150),
    Problem("Of 120 parcels 15 percent are late, and a third of those are lost. How many are "
            "lost?", 6),
    Problem("A recipe for 4 needs 300 grams of flour. How many grams for 10?", 750),
    Problem("Paul saves 8 euros a week. He has 20 and wants a bicycle for 132. How many weeks does "
            "he need?", 14),
)  # fmt: skip

Player = Callable[[Asker, Problem], Solution]


def _checked(asker: Asker, problem: Problem) -> Solution:
    """Reflection with a check that says no more than that it is wrong."""

    def fault(answer: str) -> str:
        return "" if json.loads(answer)["number"] == problem.number else "the number is wrong"

    return reflect(asker, fault)


PLAYERS: dict[str, Player] = {
    "plain": lambda asker, problem: Solution(asker.answer()),
    "chain_of_thought": lambda asker, problem: chain_of_thought(asker),
    "self_consistency": lambda asker, problem: self_consistency(asker),
    "tree_of_thought": lambda asker, problem: tree_of_thought(asker),
    "reflect (told that it is wrong)": _checked,
}


def main() -> None:
    """Print a table: how many are right, seconds, tokens written and read for each problem."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model")
    parser.add_argument("--only", default=",".join(PLAYERS))
    parser.add_argument("--problems", type=int, default=len(PROBLEMS))
    options = parser.parse_args()
    problems = PROBLEMS[: options.problems]
    print(f"{'':34}{'right':>8}{'s each':>9}{'written':>9}{'read':>7}{'cached':>8}")
    for name in options.only.split(","):
        with Runtime() as runtime:
            ask = partial(_asked, runtime, options.model, PLAYERS[name])
            results = [ask(problem) for problem in problems]
        right, seconds, written, read, cached = (
            sum(column) for column in zip(*results, strict=True)
        )
        count = len(problems)
        print(
            f"{name:34}{f'{right}/{count}':>8}{seconds / count:>9.1f}{written / count:>9.0f}"
            f"{read / count:>7.0f}{cached / count:>8.0f}",
            flush=True,
        )


def _asked(
    runtime: Runtime, model: str | None, player: Player, problem: Problem
) -> tuple[int, float, int, int, int]:
    request = ChatRequest(
        (Message("user", problem.text),), max_tokens=40, constraint=JsonSchema(SCHEMA)
    )
    asker = Asker(runtime.chat(model), request, CancelToken())
    began = time.perf_counter()
    solution = player(asker, problem)
    seconds = time.perf_counter() - began
    try:
        right = json.loads(solution.completion.text)["number"] == problem.number
    except ValueError:
        right = False  # cut off
    usage = asker.usage
    read = usage.prompt_tokens - usage.cached_tokens
    return int(right), seconds, usage.completion_tokens, read, usage.cached_tokens


if __name__ == "__main__":
    main()
