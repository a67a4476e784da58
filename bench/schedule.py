"""What it costs to look after very many schedules: one look, with nothing due, and with all due.

    python -m bench.schedule [--count 5000]

Planning is pure and measured alone; `due at once` is midnight, when every one of them is.  Reading
the files is what a start of the service takes, once.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import combinations, islice
from pathlib import Path
from zoneinfo import ZoneInfo

from agentkit.config import Settings
from agentkit.runtime import Runtime, Scheduling
from agentkit.runtime.scheduling import set_apart
from agentkit.schedule.planner import Entry, Standing, plan
from agentkit.schedule.triggers import cron
from agentkit.testing import FrozenClock

START = datetime(2026, 11, 28, 11, 59, 30, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
TRIES = 9


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000)
    count = parser.parse_args().count
    several = combinations(range(1, 60), 3)
    spread = standing(f"{n % 60} {n // 60 % 24} * * *" for n in range(count))
    alike = standing("0 13 * * *" for _ in range(count))
    apart = standing(f"0,{a},{b},{c} 13 * * *" for a, b, c in islice(several, count))
    set_apart()  # as the service does when it has read the files
    print(f"{count} schedules, plan() alone, milliseconds of a core")
    timed("nothing due", lambda: plan(spread, START + timedelta(seconds=1)))
    timed("one minute's share due", lambda: plan(spread, START + timedelta(seconds=31)))
    timed("all due at once, all alike", lambda: plan(alike, START + timedelta(seconds=31)))
    timed(
        "all due at once, none alike", lambda: plan(forgetful(apart), START + timedelta(seconds=31))
    )
    with tempfile.TemporaryDirectory() as folder:
        whole(Path(folder), count)


def standing(crons: Iterable[str]) -> list[Standing]:
    """As files give them: those that say the same share one value."""
    return [Standing.of(Entry(f"w{n}", cron(text, BERLIN)), START) for n, text in enumerate(crons)]


def forgetful(several: list[Standing]) -> list[Standing]:
    """The same, which know no answer yet."""
    for one in several:
        vars(one.entry.times).pop("_last", None)
    return several


def whole(home: Path, count: int) -> None:
    """Files, journal and planner together; nothing is started."""
    (home / "workflows").mkdir()
    for n in range(count):
        cron = f"{n % 60} {n // 60 % 24} * * *"
        (home / "workflows" / f"w{n}.yaml").write_text(
            f'name: w{n}\ntriggers: [{{cron: "{cron}", timezone: Europe/Berlin}}]\n'
            "steps: [{id: a, uses: now}]\n"
        )
    clock = FrozenClock(START)
    with Runtime(Settings(home=home)) as runtime:
        scheduling = Scheduling(runtime, lambda *_, **__: None, clock)
        began = time.process_time()
        scheduling.look()
        print(f"{'first look: all files read':<34}{time.process_time() - began:8.1f} s")

        def later() -> None:
            clock.advance(seconds=0.5)
            scheduling.look()

        timed("a whole look, nothing due", later)
        scheduling.stop()


def timed(what: str, work: Callable[[], object]) -> None:
    """The median and the worst of some tries."""
    took = []
    for _ in range(TRIES):
        began = time.process_time()
        work()
        took.append(1000 * (time.process_time() - began))
    print(f"{what:<34}{statistics.median(took):8.1f}   worst {max(took):.1f}")


if __name__ == "__main__":
    main()
