"""How much longer a program takes in the sandbox than without.

    python -m bench.sandbox [--runs N]

Prints the median of N runs of each program, bare and sandboxed, taken in turn so that a busy moment
of the machine hits both.  The first round is not counted: it fills the disk cache and makes the
filter of system calls, once per process.  Goal: at most 30 ms more.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from agentkit.jobs import Job
from agentkit.sandbox import BubblewrapSandbox

PROGRAMS = {
    "true": ("true",),
    "python3 -c pass": ("python3", "-c", "pass"),
}

GOAL = 30.0


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=30)
    runs = parser.parse_args().runs
    times: dict[tuple[str, bool], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(runs + 1):
            for name, argv in PROGRAMS.items():
                for sandboxed, run in ((False, bare), (True, in_sandbox)):
                    seconds = timed(run, argv, Path(folder))
                    times.setdefault((name, sandboxed), []).append(seconds)
    print(f"as {'root' if os.geteuid() == 0 else 'an ordinary user'}, medians of {runs} runs, ms")
    print(f"{'':18}   bare  sandboxed  more   goal")
    for name in PROGRAMS:
        alone, kept = (1000 * statistics.median(times[name, how][1:]) for how in (False, True))
        print(f"{name:18} {alone:6.1f} {kept:10.1f} {kept - alone:5.1f} {GOAL:6.0f}")


def timed(run: Callable[[tuple[str, ...], Path], None], argv: tuple[str, ...], work: Path) -> float:
    """Seconds from the start of the program to its end."""
    began = time.perf_counter()
    run(argv, work)
    return time.perf_counter() - began


def bare(argv: tuple[str, ...], work: Path) -> None:
    """Run a program as it is."""
    program = sys.executable if argv[0] == "python3" else argv[0]
    subprocess.run(
        [program, *argv[1:]],
        check=True,
        cwd=work,
        env={"PATH": "/usr/bin:/bin", "HOME": str(work), "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )


def in_sandbox(argv: tuple[str, ...], work: Path) -> None:
    """Run a program in the sandbox."""
    result = BubblewrapSandbox().run(Job(argv, work))
    assert result.exit_code == 0, result


if __name__ == "__main__":
    main()
