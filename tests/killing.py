"""Processes that are killed at a write to the journal, as often as there are writes.

The process that starts them has imported all, keeps nothing open and has no threads, so that
children are cheap.
"""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from agentkit.errors import AgentkitError
from agentkit.journal import database, file
from agentkit.journal.database import Connection, Database

ROOT = Path(__file__).parents[1]

PAIRS = 12
"""Runs that are killed twice."""

KILLS = ("before", "after")
"""At each write; what is not one of them comes at every seventh."""

SPARSE = 7

LIMIT = 60
"""Seconds that a child may take, on a machine with other things to do."""


class Fuse:
    """Kills the process before or after its n-th transaction, or brings its journal in trouble.

    `full`: from then on nothing can be written to the disk; `locked`: somebody else has the journal
    and does not give it back.
    """

    def __init__(self, when: str, count: int) -> None:
        self.when, self.left = when, count

    def light(self) -> None:
        transaction = Database.write
        if self.when == "locked":
            file.BUSY_SECONDS = database.AWAY_SECONDS = 0

        @contextmanager
        def write(database: Database, **how: bool) -> Iterator[Connection]:
            self.left -= 1
            if self.left == 0 and self.when == "before":
                kill()
            if self.left == 0 and self.when == "full":
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            if self.left == 0 and self.when == "locked":
                self._lock(Path(database.name))
            with transaction(database, **how) as connection:
                yield connection
            if self.left == 0 and self.when == "after":
                kill()

        setattr(Database, "write", write)  # noqa: B010  mypy minds the other way

    def _lock(self, journal: Path) -> None:
        self.other = sqlite3.connect(journal, isolation_level=None, check_same_thread=False)
        self.other.execute("BEGIN IMMEDIATE")


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hurry() -> None:
    """A kill loses nothing that the kernel has: the disk need not be waited for."""
    file.LASTING = file.PASSING = "OFF"


class Failure(Exception):
    """What a kill has led to, in a sentence."""


def child(work: Callable[[], None], what: str, said: Path) -> bool:
    """Whether it came through; False: it was killed as it should be.

    `said` takes the traceback of one that failed.
    """
    sys.stdout.flush()
    number = os.fork()
    if number == 0:
        signal.alarm(LIMIT)
        try:
            work()
            os._exit(0)
        except BaseException:
            said.write_text(traceback.format_exc())
            os._exit(1)
    _, status = os.waitpid(number, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    if os.WIFSIGNALED(status):
        raise Failure(f"{what}: it hangs, {signal.Signals(os.WTERMSIG(status)).name}")
    if os.WEXITSTATUS(status):
        raise Failure(f"{what}: {said.read_text()[-1500:]}")
    return True


# -- runs that are killed --------------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """What is played.

    `warm_up` plays it undisturbed and keeps the outcome as expected.json; `begin` starts it, or
    goes on with it; `compare` looks at what came of it.  Of the kills in pairs, each is at one of
    the first `writes`.  `processes` is how many of them it takes, one after the other, each of
    which does `begin`; `start` is a folder that is as one of them has left it, to go on from.
    """

    warm_up: Callable[[Path], None]
    begin: Callable[[Path], None]
    compare: Callable[[Path, Path], None]
    seed: int
    writes: int
    processes: int = 1
    start: Path | None = None


def play(how: str, base: Path, scene: Scene) -> int:
    """Kill it in all ways of a kind, and print how many kills there were, after what went wrong."""
    scene.warm_up(base)
    if how == "again":
        kills, faults = again(base, scene)
    elif how == "parts":
        kills, faults = parts(base, scene)
    else:
        kills, faults = series(how, base, scene)
    print("\n".join([*faults, f"{kills} kills"]))
    return len(faults)


def again(base: Path, scene: Scene) -> tuple[int, list[str]]:
    """Kill one run in the middle, and what goes on with it at every write."""
    middle = [("before", scene.writes // 2)]
    died = replace(scene, processes=0)
    if disturbed(base, f"{middle}", middle, died) != 1:
        return 0, [f"{middle}: it was not killed"]
    return series("before", base, replace(scene, start=kept(base, "middle")))


def parts(base: Path, scene: Scene) -> tuple[int, list[str]]:
    """Kill each of the processes of a scene at every write, before and after it."""
    kills, faults, start = 0, list[str](), scene.start
    for number in range(scene.processes):
        here = replace(scene, start=start)
        for how in KILLS:
            more, wrong = series(how, base, here)
            kills += more
            faults += [f"process {number + 1}, {fault}" for fault in wrong]
            if not more:
                faults.append(f"process {number + 1} was never killed {how} a write")
        disturbed(base, "undisturbed", [], replace(here, processes=1, compare=passed))
        start = kept(base, f"after-{number + 1}")
    return kills, faults


def kept(base: Path, name: str) -> Path:
    """A copy of what the last run has left."""
    return Path(shutil.copytree(base / "disturbed", base / name))


def passed(here: Path, expected: Path) -> None:
    """What is not over yet is compared with nothing."""


def series(how: str, base: Path, scene: Scene) -> tuple[int, list[str]]:
    """How many kills of a kind there were, and what went wrong."""
    kills, faults = 0, list[str]()
    for name, ways in plan(how, scene):
        try:
            done = disturbed(base, name, ways, scene)
        except Failure as failure:
            faults.append(str(failure))
            continue
        kills += done
        if how != "twice" and not done:
            break
    return kills, faults


def plan(how: str, scene: Scene) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """The kills of each run."""
    if how == "twice":
        chance = random.Random(scene.seed)
        for _ in range(PAIRS):
            ways = [
                (chance.choice(("before", "after")), chance.randint(2, scene.writes))
                for _ in range(2)
            ]
            yield f"{ways}", ways
        return
    for count in range(1, 1000, 1 if how in KILLS else SPARSE):
        yield f"{how} write {count}", [(how, count)]


def disturbed(base: Path, name: str, kills: list[tuple[str, int]], scene: Scene) -> int:
    """One run that is killed in these ways, one after the other; how many kills came to pass."""
    here, done = base / "disturbed", 0

    def killed() -> None:
        Fuse(*kills[done]).light()
        if kills[done][0] in KILLS:
            return scene.begin(here)
        try:
            scene.begin(here)
        except AgentkitError as fault:
            cause = " ".join(map(str, (fault, fault.__context__)))
            assert re.search("disk|locked", cause), f"it says something else: {cause}"
            kill()

    def going_on() -> None:
        scene.begin(here)
        scene.compare(here, base / "expected.json")

    shutil.rmtree(here, ignore_errors=True)
    if scene.start is not None:
        shutil.copytree(scene.start, here)
    for _ in kills:
        if child(killed, name, base / "said"):
            break
        done += 1
    for _ in range(scene.processes - 1):
        child(lambda: scene.begin(here), name, base / "said")
    if scene.processes:
        child(going_on, name, base / "said")
    return done


def said(module: str, places: Mapping[str, Path]) -> dict[str, str]:
    """What came of each way to be killed; they work side by side."""
    with ExitStack() as stack:
        working = {
            way: stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", module, way, str(place)],
                    cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                )
            )
            for way, place in places.items()
        }  # fmt: skip
        return {way: process.communicate()[0] for way, process in working.items()}
