"""What the engine of workflows costs: a durable step, a start, memory; beside Prefect.

    python -m bench.workflow [--steps 200] [--items 1000] [--many 10000] [--files 1000]
        [--megabytes 100] [--prefect PYTHON]

A step calls a tool that gives back what it got, so that what is measured is the engine:
expressions, the gate of tools, the journal (what is finished is on the disk before the run goes on:
one sync for a step).  TMPDIR says on which disk.

PYTHON is the interpreter of an environment in which Prefect is installed; its flow calls as many
tasks of the same kind, with its own database and the server that it starts for itself.  Both are
timed twice: from the shell, as a person would run them, and within a process that is warm; and the
seconds of CPU of the first are told, which do not depend on what else the machine does.  What
Prefect has written need not have reached the disk: its SQLite has `synchronous=NORMAL`.
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
from agentkit.events import Event, StepFinished
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

if len(sys.argv) > 2:  # within a process that is warm
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
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--megabytes", type=int, default=100)
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
        copies(folder, given.files, given.megabytes, given.rounds)
        begun = statistics.median(start(folder) for _ in range(given.rounds))
        print(f"{'start from the shell, one step':34} {begun:8.2f} s")
        before = memory()
        run(folder, loop(given.many, 1))
        print(f"{f'memory after {given.many} items more':34} {(memory() - before) / 1e6:+8.1f} MB")
        if given.prefect:
            theirs = prefect(given.prefect, given.steps, folder)
            say(f"Prefect: {given.steps} tasks, warm", theirs, theirs / given.steps)
            print(f"{'ours / theirs':34} {chain / theirs:8.3f}")
            beside_prefect(given.prefect, given.steps, folder)


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
    """Seconds of one run, without its step `fill` if it has one."""
    path = folder / f"{workflow['name']}.yaml"
    path.write_text(json.dumps(workflow))
    with Runtime(Settings(home=folder / "home")) as runtime:
        runtime.lend([same])
        loaded = runtime.workflow(str(path))
        began = time.perf_counter()

        def listen(event: Event) -> None:
            nonlocal began
            if isinstance(event, StepFinished) and event.step == "fill":
                began = time.perf_counter()

        runtime.run(loaded, {}, subscribers=(listen,))
        return time.perf_counter() - began


def copies(folder: Path, files: int, megabytes: int, rounds: int) -> None:
    """Scripts over a folder with much in it: beside each other, each in a copy; and in a row.

    They only sleep, or do nothing: what is left is what the copies cost, and what they gain.
    """
    size = megabytes * 1_000_000 // files
    print(f"8 scripts in a folder of {files} files, {megabytes} MB; best of {rounds}")
    for what, script in (("nothing", "true"), ("2 s", "sleep 2")):
        took = {
            parallel: min(
                run(folder, scripts(8, parallel, files, size, script)) for _ in range(rounds)
            )
            for parallel in (1, 4)
        }
        say(f"  that do {what}, in a row", took[1], took[1] / 8)
        say("  four at a time, each in a copy", took[4], took[4] / 8)
        print(f"{'  ratio':34} {took[4] / took[1]:8.3f}", flush=True)


def scripts(count: int, parallel: int, files: int, size: int, script: str) -> dict[str, Any]:
    """A step that fills the folder, and so many scripts that read it."""
    fill = (
        "import os\n"
        f"for n in range({files}):\n"
        "    os.makedirs(f'd{n // 100}', exist_ok=True)\n"
        f"    open(f'd{{n // 100}}/{{n}}', 'wb').write(os.urandom({size}))\n"
    )
    foreach = {"items": f"${{{{ range({count}) | list }}}}", "max_parallel": parallel}
    each = {"id": "each", "foreach": foreach, "run": {"bash": script}}
    return {"name": "scripts", "steps": [{"id": "fill", "run": {"python": fill}}, each]}


def start(folder: Path) -> float:
    """Seconds of `agentkit run` with one step that computes nothing."""
    path = folder / "one.yaml"
    path.write_text("name: one\nsteps:\n  - {id: a, uses: calculate, with: {expression: 1 + 1}}\n")
    return timed([sys.executable, "-m", "agentkit", "run", str(path)], folder)[0]


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds of a command, and those that it computed."""
    began, before = time.perf_counter(), os.times()
    subprocess.run(command, check=True, capture_output=True, env=surroundings(folder))
    took, after = time.perf_counter() - began, os.times()
    used = after.children_user + after.children_system
    return took, used - before.children_user - before.children_system


def surroundings(folder: Path) -> dict[str, str]:
    """The environment of both: homes of their own, and time for Prefect's server to start."""
    return {
        **os.environ,
        "AGENTKIT_HOME": str(folder / "home"),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
    }


def beside_prefect(python: str, count: int, folder: Path) -> None:
    """As many steps from the shell, ours and theirs."""
    path = folder / "chain.yaml"
    chain = steps(count)
    for step in chain["steps"]:
        step |= {"uses": "calculate", "with": {"expression": "1 + 1"}}
    path.write_text(json.dumps(chain))
    script = folder / "many.py"
    ours, our_cpu = timed([sys.executable, "-m", "agentkit", "run", str(path)], folder)
    theirs, their_cpu = timed([python, str(script), str(count)], folder)
    print(f"{'from the shell, ours':34} {ours:8.2f} s {our_cpu:8.2f} s of CPU")
    print(f"{'from the shell, Prefect':34} {theirs:8.2f} s {their_cpu:8.2f} s of CPU")
    print(f"{'ours / theirs':34} {ours / theirs:8.3f}   {our_cpu / their_cpu:8.3f}")


def memory() -> int:
    """Bytes that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def prefect(python: str, count: int, folder: Path) -> float:
    """Seconds of a flow of Prefect with so many tasks, in a process that has called one before."""
    script = folder / "many.py"
    script.write_text(PREFECT)
    done = subprocess.run(
        [python, str(script), str(count), "warm"], check=True, capture_output=True, text=True,
        env=surroundings(folder),
    )  # fmt: skip
    return float(done.stdout.strip().splitlines()[-1])


if __name__ == "__main__":
    main()
