"""The OpenAI-compatible API of `agentkit serve`: throughput beside llama-server, and a flood.

    python -m bench.serve throughput [--rounds 3]          1, 4 and 16 clients, each side in turn
    python -m bench.serve flood [--clients 200] [--seconds 60] [--queue 100]

llama-server is that of the package xllamacpp: llama.cpp's own code in a process of its own.  Both
sides have the same model file, threads, slots and tokens of context.  A flood in which a promise is
broken (a 5xx, a 429 without `Retry-After`, a slow `/health`, memory that grows) exits with 1.
See bench/README.md.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import Sequence

from agentkit import machine
from agentkit.config import Settings
from agentkit.runtime import Runtime
from bench.serve import flood
from bench.serve.asking import Sum, rounds
from bench.servers import Setup, agentkit, llama_server

CLIENTS = (1, 4, 16)
EACH = {1: 3, 4: 2, 16: 1}
"""Questions of each client, one after the other."""


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["throughput", "flood"])
    parser.add_argument("--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=machine.physical_cores())
    parser.add_argument("--tokens", type=int, default=64, help="of an answer")
    parser.add_argument("--only", type=int, choices=CLIENTS, help="so many clients")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--queue", type=int, default=100)
    given = parser.parse_args()
    with Runtime(Settings.load()) as runtime:
        path, folder = runtime.store.resolve(given.model), runtime.settings.models_folder
    setup = Setup(given.model, path, folder, threads=given.threads)
    if given.what == "flood":
        with agentkit(setup, queue=given.queue) as side:
            broken = asyncio.run(flood.flood(side, given.clients, given.seconds, sys.stdout))
        sys.exit("; ".join(broken) or None)
    throughput(setup, given.rounds, given.tokens, [given.only] if given.only else CLIENTS)


def throughput(setup: Setup, count: int, tokens: int, numbers: Sequence[int]) -> None:
    """Tokens a second of both sides, and their ratio: more is better for us."""
    print("clients | tokens/s: agentkit, llama-server, ratio | CPU ms for a token: the same")
    for clients in numbers:
        found: dict[str, list[Sum]] = {"ours": [], "theirs": []}
        for _ in range(count):
            for name, opened in (("ours", agentkit), ("theirs", llama_server)):
                with opened(setup) as side:
                    found[name].append(asyncio.run(rounds(side, clients, EACH[clients], tokens)))
        speeds, costs = (
            [statistics.median(getattr(one, kind) for one in sums) for sums in found.values()]
            for kind in ("speed", "cost")
        )
        print(
            f"{clients:>7} | {speeds[0]:6.1f} {speeds[1]:6.1f} {speeds[0] / speeds[1]:5.2f} | "
            f"{1000 * costs[0]:6.1f} {1000 * costs[1]:6.1f} {costs[1] / costs[0]:5.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
