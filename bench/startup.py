"""How long agentkit takes before it does anything, beside a bare Python.

    python -m bench.startup [--runs N]

Prints the median of N starts of each command, taken in turn so that a busy moment of the machine
hits all of them alike.  The first round is not counted: it fills the disk cache, compiles what is
not compiled, and makes the journal.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent

WORKFLOW = ROOT / "workflows" / "meeting-notes.yaml"

ONE = Path(__file__).with_name("one_step.yaml")

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import agentkit": ["-c", "import agentkit"],
    "agentkit --help": ["-m", "agentkit", "--help"],
    "agentkit --version": ["-m", "agentkit", "--version"],
    "agentkit runs list": ["-m", "agentkit", "runs", "list"],
    "agentkit check meeting-notes": ["-m", "agentkit", "check", str(WORKFLOW)],
    "agentkit run, one step": ["-m", "agentkit", "run", str(ONE)],
}


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as home:
        for _ in range(runs + 1):
            for name, arguments in COMMANDS.items():
                seconds[name].append(start(arguments, home))
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    bare = medians["python -c pass"]
    print(f"{'':30}  median    min  x bare Python   ({runs} runs)")
    for name, median in medians.items():
        print(f"{name:30} {median:6.3f}s {min(seconds[name][1:]):6.3f}s {median / bare:9.1f}")


def start(arguments: list[str], home: str) -> float:
    """Seconds from the start of the process to its end."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        check=True,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": home, "AGENTKIT_HOME": home},
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
