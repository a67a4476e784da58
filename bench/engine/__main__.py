"""agentkit's engine beside llama-server, built from the same source: ratios and their limits.

    python -m bench.engine --server llama-server [--only 1,3] [--rounds N] [--json FILE]

See bench/README.md for the seven scenarios, and bench/build_llama_server.sh for the server.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path

from agentkit import machine
from agentkit.config import Settings
from agentkit.runtime import Runtime
from bench.engine import (
    agent_trace,
    fan_out,
    overhead,
    report,
    restart,
    streams,
    taking_turns,
    tool_calls,
)
from bench.engine.measure import Bench, Row

SCENARIOS: dict[int, Callable[[Bench], list[Row]]] = {
    1: fan_out.run,
    2: tool_calls.run,
    3: agent_trace.run,
    4: taking_turns.run,
    5: restart.run,
    6: streams.run,
    7: overhead.run,
}


def main() -> None:
    """Play the scenarios and print each row as soon as it is measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server", type=program, default="llama-server", help="program or path")
    parser.add_argument("--model", type=model, default="qwen2.5-coder-1.5b", help="name or path")
    parser.add_argument("--small", type=model, default="qwen2.5-coder-0.5b", help="for scenario 7")
    parser.add_argument("--only", type=numbers, default=list(SCENARIOS), help="such as 1,3")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=machine.physical_cores())
    parser.add_argument("--json", type=Path, help="a file for all figures of all rounds")
    given = parser.parse_args()
    bench = Bench(given.model, given.small, given.server, given.threads, given.rounds)
    print("\n".join([*report.head(bench), report.table_head()]), flush=True)
    rows = []
    for number in given.only:
        for row in SCENARIOS[number](bench):
            rows.append((number, row))
            print("\n".join(report.lines(number, row)), flush=True)
    if given.json:
        given.json.write_text(report.as_json(bench, rows), encoding="utf-8")


def program(name: str) -> Path:
    """Where a program is."""
    found = shutil.which(name)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"no program {name!r}; bench/build_llama_server.sh makes it"
        )
    return Path(found)


def model(name: str) -> Path:
    """A file, or a model of the store."""
    path = Path(name)
    return path if path.is_file() else Runtime(Settings.load()).store.resolve(name)


def numbers(text: str) -> list[int]:
    """`1,3` as numbers of scenarios."""
    chosen = [int(part) for part in text.split(",")]
    if unknown := set(chosen) - set(SCENARIOS):
        raise argparse.ArgumentTypeError(f"no scenario {min(unknown)}; there are 1 to 7")
    return chosen


if __name__ == "__main__":
    main()
