"""kill -9 at random moments of a real agent: what is lost, and what is done twice.

    python -m bench.kills [--kills 50] [--seed 1] [--from 1] [--to 25]

An agent with the real model works on an objective in a process of its own, which is killed some
seconds after its start, whatever it is doing; another process goes on with the run, and is killed,
until one comes to the end.  One that was killed twice in a row without a call that was done is left
alone until it is over: the third time agentkit would not begin it again by itself.  Then a new run
begins, until there were so many kills.  After each kill
and at each end the journal is compared with what it said before:

- no line of it has gone or changed, so no task and no result is lost
- a call that had ended is not made again, and an attempt at a task that was over is not repeated
- a call in flight has become one of which the effect is unverified, and the model was told so
- the run ends, and its folder has the files of the run that nobody disturbed

What the model writes into the files may differ, because a call of which nobody knows the effect is
another conversation: how many runs ended with the same texts is told, and is no fault.

Prints a line for each end, the texts that are others, and what was wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agentkit import events as ev
from agentkit.config import Settings
from agentkit.journal import Journal
from agentkit.workflow.deaths import MOST

OBJECTIVE = "In service.ini, let the server listen on port 9090. The port of the metrics stays."
SETTINGS = "[server]\nhost = 0.0.0.0\nport = 8080\nworkers = 4\n\n[metrics]\nport = 8080\n"
TOOLS = ("list_files", "read_file", "edit_file", "write_file")
LIMIT = 300
"""Seconds that a process may take which nobody kills."""


@dataclass
class Tally:
    """What came of all of it."""

    kills: int = 0
    runs: int = 0
    unverified: int = 0
    alike: int = 0
    """Runs whose files have the texts of the run that nobody disturbed."""
    faults: list[str] = field(default_factory=list)
    moments: Counter[str] = field(default_factory=Counter)
    """How many kills came after an event of each kind."""


def main() -> None:
    """Kill until there were enough; exit code 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--from", type=float, default=1, dest="first", help="seconds")
    parser.add_argument("--to", type=float, default=25, dest="last", help="seconds")
    options = parser.parse_args()
    chance, tally = random.Random(options.seed), Tally()
    with tempfile.TemporaryDirectory(prefix="kills-") as place:
        undisturbed = Run(Path(place) / "undisturbed")
        took = undisturbed.go_on(None)
        undisturbed.judge(tally, None)
        print(f"undisturbed: {took:.0f} s, {undisturbed.ended()}", flush=True)
        while tally.kills < options.kills:
            tally.runs += 1
            run = Run(Path(place) / f"run-{tally.runs}")
            while not run.over():
                again = tally.kills < options.kills and run.in_vain < MOST - 1
                run.go_on(chance.uniform(options.first, options.last) if again else None)
                tally.kills += not run.over()
                run.compare(tally)
            run.judge(tally, undisturbed)
            wrong = f", {len(tally.faults)} faults" if tally.faults else ""
            said = f"{tally.kills} kills so far{wrong}, {run.ended()}"
            print(f"run {tally.runs}: {said}", flush=True)
            if run.files() != undisturbed.files():
                print(f"    {run.files()}", flush=True)
    moments = ", ".join(f"{count} after {kind}" for kind, count in tally.moments.most_common())
    print(f"{tally.kills} kills in {tally.runs} runs: {moments}")
    print(f"{tally.unverified} calls in flight were reported as unverified")
    print(f"{tally.alike} runs ended with the same texts in the same files")
    print("\n".join(tally.faults) or "nothing was lost, nothing was done twice")
    sys.exit(bool(tally.faults))


class Run:
    """One run of an agent, in a home and a folder of its own."""

    def __init__(self, place: Path) -> None:
        self.home, self.folder = place / "home", place / "folder"
        self.folder.mkdir(parents=True)
        (self.folder / "service.ini").write_text(SETTINGS)
        self.before: Sequence[ev.AgentEvent] = ()
        self.in_vain = 0

    def go_on(self, seconds: float | None) -> float:
        """Begin or resume in a process; kill it after so many seconds, and all that it started."""
        known = self.events() is not None
        command = ["runs", "resume", "last"] if known else ["agent", OBJECTIVE]
        tools = [word for tool in TOOLS for word in ("-t", tool)]
        more = [] if known else ["--unattended", "--folder", str(self.folder), *tools]
        environment = {
            **os.environ,
            "AGENTKIT_HOME": str(self.home),
            "AGENTKIT_MODELS_DIR": str(Settings.load().models_folder),
        }
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "agentkit", *command, *more],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        try:
            said, _ = process.communicate(timeout=LIMIT if seconds is None else seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        else:
            if process.returncode:
                raise SystemExit(f"{' '.join(command)} failed:\n{said}")
        return time.monotonic() - began

    def events(self) -> Sequence[ev.AgentEvent] | None:
        """What the journal says; None if no run has begun."""
        if not (self.home / "journal.sqlite").exists():
            return None
        with closing(Journal(self.home / "journal.sqlite")) as journal:
            runs = journal.runs()
            return journal.agent_events(runs[0].id) if runs else None

    def over(self) -> bool:
        """Whether the run has come to its end."""
        with closing(Journal(self.home / "journal.sqlite")) as journal:
            return any(run.status == "succeeded" for run in journal.runs())

    def compare(self, tally: Tally) -> None:
        """Nothing that was there has changed; nothing that was over was done again."""
        now = self.events() or ()
        if list(now[: len(self.before)]) != list(self.before):
            tally.faults.append(f"{self.home}: the journal was changed")
        if not self.over():
            tally.moments[now[-1].kind if now else "nothing"] += 1
        done = any(isinstance(one, ev.ActFinished) and one.status == "returned"
                   for one in now[len(self.before) :])  # fmt: skip
        self.in_vain = 1 if done else self.in_vain + 1
        self.before = now

    def judge(self, tally: Tally, undisturbed: Run | None) -> None:
        """Look at the whole of a run that is over."""
        events = self.events() or ()
        ended = Counter(event.call for event in events if isinstance(event, ev.ActFinished))
        begun = Counter(event.call for event in events if isinstance(event, ev.ActStarted))
        tasks = Counter(
            (event.task, event.attempt) for event in events if isinstance(event, ev.TaskStarted)
        )
        for what, counts in (("ended", ended), ("was begun", begun), ("was started", tasks)):
            twice = [str(name) for name, count in counts.items() if count > 1]
            if twice:
                tally.faults.append(f"{self.home}: {', '.join(twice)} {what} twice")
        if set(begun) != set(ended):
            tally.faults.append(f"{self.home}: a call has no end")
        unverified = [one for one in events if isinstance(one, ev.ActFinished)
                      and one.status == "unverified"]  # fmt: skip
        tally.unverified += len(unverified)
        if undisturbed is not None:
            mine, theirs = self.files(), undisturbed.files()
            tally.alike += mine == theirs
            if mine.keys() != theirs.keys():
                tally.faults.append(f"{self.home}: {sorted(mine)}, and not {sorted(theirs)}")

    def files(self) -> dict[str, str]:
        """What lies in the folder."""
        return {path.name: path.read_text() for path in self.folder.iterdir() if path.is_file()}

    def ended(self) -> str:
        """How a run came to its end."""
        (end,) = (one for one in self.events() or () if isinstance(one, ev.AgentFinished))
        said: dict[str, Any] = asdict(end)
        return f"{said['reason']}: {said['answer']!r}"


if __name__ == "__main__":
    main()
