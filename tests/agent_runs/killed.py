"""An agent whose process is killed at every write to the journal, and what comes of the run.

    python -m tests.agent_runs.killed before|after|twice FOLDER

For each n a child works on the same objective and kills itself before (or after) its n-th write,
until one comes through; another child goes on with the run to its end, which has to be that of the
run that nobody disturbed.  `twice`: the one that goes on is killed, too.  This process has imported
all, keeps nothing open and has no threads, so that children are cheap.  Prints how many kills there
were.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

from agentkit.config import Settings, shipped
from agentkit.events import ActFinished, AgentFinished, CheckFailed, LessonLearned
from agentkit.runtime import Runtime, Wish
from agentkit.toolbox import Toolbox
from agentkit.toolbox.sources import FolderSource, FunctionSource
from tests.agent_runs.scripted import UNVERIFIED, Asked, Call, Play, ScriptedRuntime, diary
from tests.killing import Scene, hurry, play

OBJECTIVE = "Write alpha.txt and what belongs to it"
SEED = 4


def calls(about: Asked) -> list[Call]:
    """What belongs to each task."""
    match about.task.split():
        case ["Write", "alpha.txt", *_] if about.taught:
            return [("read_diary", {"newest": 5})]
        case ["Write", "alpha.txt", *_]:
            wanted: list[Call] = [("append_line", {"text": "alpha"}), write("alpha.txt")]
            return [*wanted, ("read_diary", {"newest": 7})] if about.rejected else wanted
        case ["Write", name]:
            return [write(name)]
        case ["Note", what, *_]:
            return [("append_line", {"text": what})]
        case ["Correct", *_]:
            return [write("total.txt")]
    raise AssertionError(f"there is no task {about.task!r}")


def write(name: str) -> Call:
    return "write_file", {"path": name, "content": f"The text of {name}"}


def look(call: Call) -> tuple[Call, str]:
    tool, arguments = call
    if tool == "append_line":
        return ("read_diary", {"newest": 20}), arguments["text"]
    if tool == "write_file":
        return ("read_file", {"path": arguments["path"]}), "The text of"
    return call, ""


def more(about: Asked) -> list[str]:
    """Two tasks after the first one, in the wrong order."""
    told = about.values["done"].splitlines()
    return ["Write beta.txt", "Note gamma in the diary"] if len(told) == 1 else []


PLAY = Play(
    calls,
    found=lambda about: about.taught or "alpha" not in about.task,
    more=more,
    first=("Note",),
    look=look,
    spare=lambda about: ("read_diary", {"newest": 30 + len(about.made)}),
)
WISH = Wish(
    tools=("list_files", "read_file", "write_file", "append_line", "read_diary"),
    checks=[{"expression": "'total.txt' in files"}],
    memory=False,
)


# -- children --------------------------------------------------------------------------------------


class Forked(ScriptedRuntime):
    """With the tools that this process has loaded."""

    @property
    def toolbox(self) -> Toolbox:
        return _toolbox(Diary.at)


class Diary:
    """Where the diary of this child is."""

    at = Path()


@cache
def _toolbox(at: Path) -> Toolbox:
    functions = FunctionSource()
    functions.add(diary(at))
    return Toolbox([_shipped, functions])


_shipped = FolderSource(shipped("tools"), "shipped")


def opened(base: Path) -> ScriptedRuntime:
    Diary.at = base / "diary.txt"
    return Forked(PLAY, Settings(home=base / "home"))


def begin(base: Path) -> None:
    """Start the run, or go on with it if it was begun."""
    folder = base / "folder"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "seed.txt").write_text("It was here before.")
    runtime = opened(base)
    with runtime:
        known = runtime.journal.runs()
        if not known:
            runtime.pursue(runtime.agent(WISH), OBJECTIVE, folder)
            return
        before, told = calls_of(runtime, known[0].id), set(doubtful(runtime, known[0].id))
        if known[0].status != "succeeded":
            runtime.resume(known[0].id)
        compare_calls(runtime, known[0].id, before, told)


def calls_of(runtime: Runtime, run: str) -> dict[str, tuple[str, Any]]:
    return {call.id: (call.status, call.outcome) for call in runtime.journal.calls(run)}


def doubtful(runtime: Runtime, run: str) -> dict[str, str]:
    """What an agent was shown of the calls of which nobody knows what they did."""
    return {
        event.call: event.observation
        for event in runtime.journal.agent_events(run)
        if isinstance(event, ActFinished) and event.status == "unverified"
    }


def compare_calls(
    runtime: ScriptedRuntime, run: str, before: dict[str, tuple[str, Any]], told: set[str]
) -> None:
    """What was finished stays as it was; what was in flight the model was told of."""
    after = calls_of(runtime, run)
    assert {id: after[id] for id in before} == before, "a call that is on record was made again"
    in_flight = {id for id, (status, _) in after.items() if status == "running"}
    said = doubtful(runtime, run)
    assert set(said) == in_flight
    assert all(UNVERIFIED in seen for seen in said.values())
    new = in_flight & {id for id, (status, _) in before.items() if status == "running"} - told
    shown = [made.seen for about in runtime.player.asked for made in about.made]
    assert not new or any(UNVERIFIED in seen for seen in shown), "the model was not told"


def outcome(base: Path) -> dict[str, Any]:
    """What a run comes to."""
    with opened(base) as runtime:
        (run,) = runtime.journal.runs()
        events = runtime.journal.agent_events(run.id)
        folder = base / "folder"
        report = (runtime.settings.runs_folder / run.id / "report.md").read_text()
        return {
            "status": run.status,
            "outputs": run.outputs,
            "tasks": runtime.tasks(run.id),
            "lessons": [e.lesson for e in events if isinstance(e, LessonLearned)],
            "faults": [(e.task, e.fault, e.final) for e in events if isinstance(e, CheckFailed)],
            "ends": sum(isinstance(e, AgentFinished) for e in events),
            "files": {path.name: path.read_text() for path in sorted(folder.iterdir())},
            "diary": (base / "diary.txt").read_text(),
            "report": "" if doubtful(runtime, run.id) else report,
            "doubtful": bool(doubtful(runtime, run.id)),
        }


def compare(base: Path, expected: Path) -> None:
    found, wanted = outcome(base), json.loads(expected.read_text())
    found = json.loads(json.dumps(found))
    if found.pop("doubtful"):
        wanted["report"] = ""
    del wanted["doubtful"]
    for key, value in wanted.items():
        assert found[key] == value, f"{key}:\n{found[key]}\n  and undisturbed:\n{value}"


# -- this process ----------------------------------------------------------------------------------


def warm_up(base: Path) -> None:
    """Do what a run does, undisturbed, and keep its outcome; nothing of it stays open."""
    hurry()
    begin(base / "undisturbed")
    (base / "expected.json").write_text(json.dumps(outcome(base / "undisturbed")))
    assert threading.active_count() == 1, "a process with threads cannot be forked"
    gc.freeze()  # what is shared with the children stays shared


if __name__ == "__main__":
    sys.exit(play(sys.argv[1], Path(sys.argv[2]), Scene(warm_up, begin, compare, SEED, 60)))
