"""A workflow whose process is killed at every write to the journal, and what comes of the run.

    python -m tests.workflow.killed before|after|twice|again|full|locked FOLDER

Twelve steps: a graph with a loop whose items are named, a group, a retry, a person's answer, a
workflow within, a kept result.  Each tool writes into a ledger outside the run what it did.  As
often as a process dies, no step that is on record as finished is done again, none is missing, and
the outputs are those of the run that nobody disturbed.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

from agentkit import tool
from agentkit.cancel import CancelToken
from agentkit.config import Settings, shipped
from agentkit.errors import ToolError
from agentkit.permissions import Request
from agentkit.runtime import Approver, Runtime
from agentkit.toolbox import Toolbox
from agentkit.toolbox.sources import FolderSource, FunctionSource
from tests.killing import Scene, hurry, play

SEED = 6

CHILD = """\
name: child
inputs: {text: {type: string}}
steps:
  - {id: shout, uses: mark, with: {what: "child ${{ inputs.text }}"}}
  - {id: again, uses: mark, with: {what: "again ${{ steps.shout.outputs }}"}}
outputs: {said: "${{ steps.again.outputs }}"}
"""

FLOW = """\
name: flow
steps:
  - {id: first, uses: mark, with: {what: first}}
  - {id: side, needs: [first], uses: mark, with: {what: side}}
  - id: each
    needs: [first]
    foreach: {items: [x, y, z], key: "${{ item }}", max_parallel: 2}
    steps:
      - {id: one, uses: mark, with: {what: "one ${{ item }}"}}
      - {id: two, if: "${{ item != 'y' }}", uses: mark, with: {what: "two ${{ item }}"}}
  - {id: shaky, needs: [each], uses: shaky, with: {}, retry: {max_attempts: 3, delay: 1ms}}
  - {id: ask, needs: [shaky], approve: "Go on with ${{ steps.each.outputs | length }}?"}
  - {id: sub, needs: [ask, side], uses: "workflow:child",
     with: {text: "${{ steps.side.outputs }}"}}
  - {id: kept, needs: [first], uses: mark, with: {what: kept}, cache: {key: k}}
  - {id: bad, needs: [first], uses: mark, with: {what: bad}, on_error: continue}
  - {id: last, needs: [sub, kept, bad], uses: mark,
     with: {what: "last ${{ steps.bad.status }}"}}
finally:
  - {id: end, uses: mark, with: {what: end}}
outputs:
  each: ${{ steps.each.outputs }}
  sub: ${{ steps.sub.outputs.said }}
  ask: ${{ steps.ask.outputs.answer }}
  last: ${{ steps.last.outputs }}
  shaky: ${{ steps.shaky.outputs }}
"""


class Ledger:
    """Where the tools of this child write."""

    at = Path()


@tool
def mark(what: str) -> str:
    """Write down that it was done.

    Args:
        what: What was done.
    """
    with (Ledger.at / "ledger.txt").open("a") as ledger:
        ledger.write(what + "\n")
    if what == "bad":
        raise ToolError("it is bad")
    return what.upper()


@tool
def shaky() -> str:
    """Fail the first time."""
    seen = Ledger.at / "shaky"
    if not seen.exists():
        seen.touch()
        raise ToolError("the first time fails")
    return "steady"


@cache
def _toolbox() -> Toolbox:
    functions = FunctionSource()
    functions.add([mark, shaky])
    return Toolbox([FolderSource(shipped("tools"), "shipped"), functions])


class Lent(Runtime):
    """With the tools that this process has loaded."""

    @property
    def toolbox(self) -> Toolbox:
        return _toolbox()


def opened(base: Path) -> Runtime:
    Ledger.at = base
    return Lent(Settings(home=base / "home"))


def yes(request: Request, cancel: CancelToken) -> str:
    return "approve"


def write(base: Path) -> None:
    """The files."""
    base.mkdir(parents=True, exist_ok=True)
    flows = base / "home" / "workflows"
    flows.mkdir(parents=True, exist_ok=True)
    (flows / "child.yaml").write_text(CHILD)
    (base / "flow.yaml").write_text(FLOW)


def begin(base: Path) -> None:
    """Start the run, or go on with it."""
    write(base)
    with opened(base) as runtime:
        go_on(runtime, base, approver=yes)


def go_on(runtime: Runtime, base: Path, approver: Approver) -> None:
    """The same in an open runtime; what was finished must not be done again."""
    known = runtime.journal.runs()
    if not known:
        runtime.run(runtime.workflow(str(base / "flow.yaml")), {}, approver=approver)
        return
    before = finished(runtime, known[0].id)
    try:
        if known[0].status != "succeeded":
            runtime.resume(known[0].id, approver=approver)
    finally:
        after = finished(runtime, known[0].id)
        assert {place: after[place] for place in before} == before, "a finished step began again"


def finished(runtime: Runtime, run: str) -> dict[str, int]:
    """How often each finished step of a run and of those within it began."""
    counts: dict[str, int] = {}
    for one in (run, f"{run}.sub"):
        done = {
            (step.step, step.key)
            for step in runtime.journal.steps(one)
            if step.status in ("succeeded", "skipped")
        }
        for attempt in runtime.journal.attempts(one):
            if (attempt.step, attempt.key) in done:
                place = f"{attempt.step}[{attempt.key}] of {one.partition('.')[2]}"
                counts[place] = counts.get(place, 0) + 1
    return counts


def outcome(base: Path) -> dict[str, Any]:
    """What a run comes to."""
    with opened(base) as runtime:
        (run,) = runtime.journal.runs()
        child = runtime.journal.run(f"{run.id}.sub")
        steps = [*runtime.journal.steps(run.id), *runtime.journal.steps(child.id)]
        return {
            "status": [run.status, child.status],
            "outputs": run.outputs,
            "steps": sorted([step.step, step.key, step.status, step.outputs] for step in steps),
            "done": sorted(set((base / "ledger.txt").read_text().split("\n"))),
        }


def compare(base: Path, expected: Path) -> None:
    same(outcome(base), expected)


def same(outcome: dict[str, Any], expected: Path) -> None:
    found, wanted = json.loads(json.dumps(outcome)), json.loads(expected.read_text())
    for key, value in wanted.items():
        assert found[key] == value, f"{key}:\n{found[key]}\n  and undisturbed:\n{value}"


def warm_up(base: Path) -> None:
    hurry()
    begin(base / "undisturbed")
    (base / "expected.json").write_text(json.dumps(outcome(base / "undisturbed")))
    assert threading.active_count() == 1, "a process with threads cannot be forked"
    gc.freeze()  # what is shared with the children stays shared


if __name__ == "__main__":
    sys.exit(play(sys.argv[1], Path(sys.argv[2]), Scene(warm_up, begin, compare, SEED, 50)))
