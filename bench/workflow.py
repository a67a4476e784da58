"""What the engine of workflows costs: a durable step, a start, memory; beside Prefect.

    python -m bench.workflow [--steps 200] [--items 1000] [--many 10000] [--prefect PYTHON]

A step calls a tool that gives back what it got, so that what is measured is the engine:
expressions, the gate of tools, the journal (each event on disk before the run goes on).  PYTHON is
the interpreter of an environment in which Prefect is installed; its flow calls as many tasks of the
same kind, with its own journal, and is timed within its process, after the imports.  TMPDIR says on
which disk: half of a step's time is the disk's own (two syncs).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from agentkit import tool
from agentkit.config import Settings
from agentkit.runtime import Runtime

PREFECT = """\
import sys, time
from prefect import flow, task

@task
def same(x):
    return x

@flow
def many(n):
    for x in range(n):
        same(x)

many(1)
began = time.perf_counter()
many(int(sys.argv[1]))
print(time.perf_counter() - began)
"""


@tool
def same(value: int) -> int:
    """Give back what came in.

    Args:
        value: Anything.
    """
    return value


def main() -> None:
    """Measure one after the other, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prefect", metavar="PYTHON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        chain = statistics.median(run(folder, steps(given.steps)) for _ in range(given.rounds))
        say(f"{given.steps} steps in a row", chain, chain / given.steps)
        each = statistics.median(run(folder, loop(given.items, 1)) for _ in range(given.rounds))
        say(f"{given.items} items of a foreach", each, each / given.items)
        beside = run(folder, loop(given.items, 4))
        say("the same, four at a time", beside, beside / given.items)
        begun = statistics.median(start(folder) for _ in range(given.rounds))
        print(f"{'start from the shell, one step':34} {begun:8.2f} s")
        before = memory()
        run(folder, loop(given.many, 1))
        print(f"{f'memory after {given.many} items more':34} {(memory() - before) / 1e6:+8.1f} MB")
        if given.prefect:
            theirs = prefect(given.prefect, given.steps, folder)
            say(f"Prefect: {given.steps} tasks", theirs, theirs / given.steps)
            print(f"{'ours / theirs':34} {chain / theirs:8.3f}")


def say(what: str, seconds: float, each: float) -> None:
    """A line of the table."""
    print(f"{what:34} {seconds:8.2f} s {each * 1000:8.2f} ms each", flush=True)


def steps(count: int) -> dict[str, Any]:
    """A chain."""
    return {
        "name": "chain",
        "steps": [
            {"id": f"s{number}", "uses": "same", "with": {"value": number}}
            for number in range(count)
        ],
    }


def loop(count: int, parallel: int) -> dict[str, Any]:
    """A step for each of so many items."""
    foreach = {"items": f"${{{{ range({count}) | list }}}}", "max_parallel": parallel}
    step = {"id": "each", "foreach": foreach, "uses": "same", "with": {"value": "${{ item }}"}}
    return {"name": "loop", "steps": [step]}


def run(folder: Path, workflow: dict[str, Any]) -> float:
    """Seconds of one run, from its first event to its last."""
    path = folder / f"{workflow['name']}.yaml"
    path.write_text(json.dumps(workflow))
    with Runtime(Settings(home=folder / "home")) as runtime:
        runtime.lend([same])
        loaded = runtime.workflow(str(path))
        began = time.perf_counter()
        runtime.run(loaded, {})
        return time.perf_counter() - began


def start(folder: Path) -> float:
    """Seconds of `agentkit run` with one step that computes nothing."""
    path = folder / "one.yaml"
    path.write_text("name: one\nsteps:\n  - {id: a, uses: calculate, with: {expression: 1 + 1}}\n")
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "agentkit", "run", str(path)],
        check=True, capture_output=True, env={**os.environ, "AGENTKIT_HOME": str(folder / "home")},
    )  # fmt: skip
    return time.perf_counter() - began


def memory() -> int:
    """Bytes that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def prefect(python: str, count: int, folder: Path) -> float:
    """Seconds of a flow of Prefect with so many tasks."""
    script = folder / "many.py"
    script.write_text(PREFECT)
    done = subprocess.run(
        [python, str(script), str(count)], check=True, capture_output=True, text=True,
        env={**os.environ, "PREFECT_HOME": str(folder / "prefect"),
             "PREFECT_LOGGING_LEVEL": "ERROR"},
    )  # fmt: skip
    return float(done.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    main()
