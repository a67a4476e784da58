"""A machine in trouble while a workflow runs, and what comes of the run.

    python -m tests.workflow.troubled FOLDER

stopped   a process is stopped for longer than its lease, another one takes the run over and ends
          it, and the first one goes on: it writes nothing, and no step is done by it any more
two       two processes work on two runs of one journal; neither gets the other's
clock     the clock of the machine jumps by days, forth and back, in the middle of a run
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import signal
import sqlite3
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from agentkit import tool
from agentkit.config import Settings, shipped
from agentkit.errors import UserError
from agentkit.runtime import Runtime
from agentkit.toolbox import Toolbox
from agentkit.toolbox.sources import FolderSource, FunctionSource
from tests.killing import LIMIT, hurry

LEASE = 0.6
"""Seconds; a process gives a sign in a third of it."""

FLOW = """\
name: flow
steps:
  - {id: first, uses: mark, with: {what: first}}
  - id: each
    foreach: {items: [x, y, z], key: "${{ item }}"}
    steps:
      - {id: one, uses: mark, with: {what: "one ${{ item }}"}}
      - {id: held, if: "${{ item == 'y' }}", uses: hold}
      - {id: two, uses: mark, with: {what: "two ${{ item }}"}}
  - {id: let, uses: mark, with: {what: let}, on_error: continue, retry: {delay: 1ms}}
  - {id: last, uses: mark, with: {what: last}}
finally:
  - {id: end, uses: mark, with: {what: end}}
outputs: {each: "${{ steps.each.outputs }}", last: "${{ steps.last.outputs }}"}
"""


class Place:
    """Where the tools of this process write."""

    at = Path()


@tool
def mark(what: str) -> str:
    """Write down that it was done.

    Args:
        what: What was done.
    """
    with (Place.at / "ledger.txt").open("a") as ledger:
        ledger.write(what + "\n")
    return what.upper()


@tool
def hold() -> str:
    """Say who is here, and wait until that one may go on; nobody else waits."""
    holder, free = Place.at / "holder", Place.at / "free"
    if not holder.exists() and not free.exists():
        holder.write_text(str(os.getpid()))
    while holder.exists() and holder.read_text() == str(os.getpid()) and not free.exists():
        time.sleep(0.01)
    return "held"


@cache
def _toolbox() -> Toolbox:
    functions = FunctionSource()
    functions.add([mark, hold])
    return Toolbox([FolderSource(shipped("tools"), "shipped"), functions])


class Lent(Runtime):
    """With the tools that this process has loaded."""

    @property
    def toolbox(self) -> Toolbox:
        return _toolbox()


def opened(base: Path) -> Runtime:
    Place.at = base
    base.mkdir(parents=True, exist_ok=True)
    (base / "flow.yaml").write_text(FLOW)
    return Lent(Settings(home=base / "home", lease=LEASE))


def begin(base: Path) -> None:
    with opened(base) as runtime:
        runtime.run(runtime.workflow(str(base / "flow.yaml")), {})


def go_on(base: Path) -> None:
    with opened(base) as runtime:
        runtime.resume("last")


CHILDREN: set[int] = set()
"""Those that have not ended yet."""


def forked(work: Callable[[], None], said: Path) -> int:
    """A child that does it, and leaves in a file what it ended with."""
    sys.stdout.flush()
    number = os.fork()
    if number == 0:
        signal.alarm(LIMIT)
        try:
            work()
            said.write_text("done")
        except BaseException as fault:
            chain = [fault, fault.__context__, fault.__cause__]
            kinds = [type(one).__name__ for one in chain if one]
            said.write_text(" ".join(kinds) + "\n" + traceback.format_exc())
        finally:
            os._exit(0)
    CHILDREN.add(number)
    return number


def ended(number: int) -> None:
    os.waitpid(number, 0)
    CHILDREN.discard(number)


def until(there: Path) -> None:
    for _ in range(100 * LIMIT):
        if there.exists() and there.read_text():
            return
        time.sleep(0.01)
    raise TimeoutError(there)


def outcome(base: Path) -> dict[str, Any]:
    with opened(base) as runtime:
        run = runtime.journal.run("last")
        steps = [[one.step, one.key, one.status] for one in runtime.journal.steps(run.id)]
        return {"status": run.status, "outputs": run.outputs, "steps": sorted(steps)}


def refused(runtime: Runtime) -> None:
    """The run of a living process is not taken."""
    with pytest.raises(UserError, match="is at work in another process"):
        runtime.resume("last")


def written(base: Path) -> list[Any]:
    """All that is on record."""
    with sqlite3.connect(base / "home" / "journal.sqlite") as connection:
        tables = ("runs", "steps", "events", "attempts", "calls")
        return [connection.execute(f"SELECT * FROM {one}").fetchall() for one in tables]


def ledger(base: Path) -> list[str]:
    return (base / "ledger.txt").read_text().split("\n")[:-1]


# -- the scenes ------------------------------------------------------------------------------------


def stopped(base: Path, expected: dict[str, Any]) -> None:
    said = base.with_suffix(".first")
    first = forked(lambda: begin(base), said)
    until(base / "holder")
    os.kill(first, signal.SIGSTOP)
    time.sleep(LEASE * 1.5)
    second = base.with_suffix(".second")
    ended(forked(lambda: go_on(base), second))
    assert second.read_text() == "done", second.read_text()
    assert outcome(base) == expected
    before, done = written(base), ledger(base)

    (base / "free").touch()
    os.kill(first, signal.SIGCONT)
    ended(first)
    assert "Fenced" in said.read_text().split("\n")[0], said.read_text()
    assert written(base) == before, "the one that was stopped has written"
    assert ledger(base) == done, "the one that was stopped went on"
    assert sorted(done) == sorted(set(done)), f"done twice: {done}"


def two(base: Path, expected: dict[str, Any]) -> None:
    said = base.with_suffix(".first")
    first = forked(lambda: begin(base), said)
    until(base / "holder")

    def other() -> None:
        with opened(base) as runtime:
            refused(runtime)
            runtime.run(runtime.workflow(str(base / "flow.yaml")), {})

    second = base.with_suffix(".second")
    ended(forked(other, second))
    assert second.read_text() == "done", second.read_text()
    assert outcome(base) == expected
    (base / "free").touch()
    ended(first)
    assert said.read_text() == "done", said.read_text()
    assert sorted(ledger(base)) == sorted(2 * list(dict.fromkeys(ledger(base))))


def clock(base: Path, expected: dict[str, Any]) -> None:
    said = base.with_suffix(".first")

    def jumping() -> None:
        real, days = time.time, itertools.cycle([0, 3, -2, 400])
        time.time = lambda: real() + 86400 * next(days)
        begin(base)

    first = forked(jumping, said)
    until(base / "holder")
    time.sleep(LEASE * 1.5)  # it gives its signs all the while
    with opened(base) as runtime:
        refused(runtime)
    (base / "free").touch()
    ended(first)
    assert said.read_text() == "done", said.read_text()
    assert outcome(base) == expected
    assert len(set(ledger(base))) == len(ledger(base))


def main(folder: Path) -> int:
    """Print what went wrong, scene by scene."""
    os.environ.pop("AGENTKIT_HOME", None)  # each scene has its own
    hurry()
    (folder / "undisturbed").mkdir()
    (folder / "undisturbed" / "free").touch()
    begin(folder / "undisturbed")
    expected = json.loads(json.dumps(outcome(folder / "undisturbed")))
    assert threading.active_count() == 1, "a process with threads cannot be forked"
    gc.freeze()
    faults = 0
    for scene in (stopped, two, clock):
        try:
            scene(folder / scene.__name__, expected)
            print(f"{scene.__name__}: as it should be")
        except BaseException:
            faults += 1
            print(f"{scene.__name__}: {traceback.format_exc()}")
        finally:
            for number in CHILDREN:
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
    return faults


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
