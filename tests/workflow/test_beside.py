"""Scripts of one run at the same time: each in a copy of the folder, nothing of any is lost."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agentkit import events as ev
from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, StepFailed
from agentkit.runtime import Runtime
from agentkit.sandbox import apart
from tests import killing

GATE = "until [ -e /inputs/gate/go ]; do sleep 0.02; done"
"""Wait until the gate is open, which is when so many are at work as a test says."""

HEAD = f"""\
name: flow
inputs: {{gate: {{type: folder}}}}
env: {{GATE: "{GATE}"}}
defaults: {{timeout: 30s}}
"""


class Played:
    """A flow that is run in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.gate = folder, folder / "gate"
        self.gate.mkdir()
        self.events: list[ev.Event] = []

    @property
    def runs(self) -> Path:
        return Path(os.environ["AGENTKIT_HOME"]) / "runs"

    def run(
        self, steps: str, cancel: CancelToken | None = None, head: str = HEAD
    ) -> dict[str, Any]:
        (self.folder / "flow.yaml").write_text(head + steps)
        with Runtime() as runtime:
            return runtime.run(
                runtime.workflow(str(self.folder / "flow.yaml")),
                {"gate": str(self.gate)},
                subscribers=(self.events.append,),
                cancel=cancel,
            )

    @contextmanager
    def opening(self, count: int, then: Callable[[], object] | None = None) -> Iterator[None]:
        """Open the gate as soon as so many scripts have begun, each in a copy of its own."""
        over = threading.Event()

        def look() -> None:
            while not over.is_set():
                if len(list(self.runs.glob("*.~copies/*/work/begun*"))) >= count:
                    act()
                    return
                time.sleep(0.01)

        act = then or (self.gate / "go").touch

        watcher = threading.Thread(target=look)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def files(self) -> dict[str, str]:
        (folder,) = self.runs.iterdir()  # and no copies
        return {str(path.relative_to(folder)): path.read_text().strip()
                for path in folder.rglob("*") if path.is_file()}  # fmt: skip

    def told(self, kind: type[Any], what: str) -> list[Any]:
        return [getattr(event, what) for event in self.events if isinstance(event, kind)]


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    monkeypatch.chdir(tmp_path)
    return Played(tmp_path)


def test_four_items_are_at_work_at_a_time(flow: Played) -> None:
    """None goes on before four have begun."""
    with flow.opening(4):
        outputs = flow.run(
            """\
steps:
  - {id: seed, run: "echo seed > seed"}
  - id: each
    foreach: {items: [0, 1, 2, 3, 4, 5, 6, 7], max_parallel: 4}
    env: {N: "${{ item }}"}
    run:
      bash: touch begun-$N; eval "$GATE"; rm begun-$N; cat seed > $N; pwd
      files: ["${{ inputs.gate }}"]
  - {id: last, run: "ls"}
outputs: {said: "${{ steps.last.outputs.text }}", each: "${{ steps.each.outputs }}"}
"""
        )

    assert outputs["said"].split() == [*"01234567", "seed"]
    assert outputs["each"] == [{"text": "/work"}] * 8
    assert flow.files() == {"seed": "seed", **dict.fromkeys("01234567", "seed")}
    assert sorted(flow.told(ev.ArtifactMade, "path")) == [*"01234567", "seed"]


BRANCH = """\
  - id: NAME
    needs: [seed]
    run: {bash: 'touch begun; eval "$GATE"; rm begun; WORK', files: ["${{ inputs.gate }}"]}
"""


def branches(left: str, right: str) -> str:
    """A step that makes two files, and two that do not go on before both have begun."""
    return "steps:\n  - {id: seed, run: 'echo seed > seed; echo old > old'}\n" + "".join(
        BRANCH.replace("NAME", name).replace("WORK", work)
        for name, work in (("left", left), ("right", right))
    )


def test_branches_do_not_see_each_other_and_both_count(flow: Played) -> None:
    with flow.opening(2):
        flow.run(branches("ls > left; rm old", "ls > right; echo 2 >> seed"))

    assert flow.files() == {
        "seed": "seed\n2",
        "left": "left\nold\nseed",
        "right": "old\nright\nseed",
    }


def test_two_that_changed_the_same_file(flow: Played) -> None:
    said = r"steps (left and right|right and left) both changed seed$"
    with flow.opening(2), pytest.raises(StepFailed, match=said) as fault:
        flow.run(branches("echo left >> seed; touch l", "echo right >> seed; touch r"))

    first, last = ("left", "right") if "left and right" in str(fault.value) else ("right", "left")
    hint = f"give each a file of its own, or let {last} need {first}"
    assert fault.value.cause.hint == hint
    assert flow.files() == {"seed": f"seed\n{first}", "old": "old", first[0]: ""}
    assert f"step '{last}' failed" in str(fault.value)


def test_two_that_changed_it_in_the_same_way(flow: Played) -> None:
    with flow.opening(2):
        flow.run(branches("echo same > seed", "echo same > seed"))

    assert flow.files() == {"seed": "same", "old": "old"}


def test_a_failure_keeps_its_files_and_costs_the_others_nothing(flow: Played) -> None:
    with flow.opening(2), pytest.raises(StepFailed, match="exit code 3"):
        flow.run(branches("touch l; exit 3", "touch r"))

    assert flow.files() == {"seed": "seed", "old": "old", "l": "", "r": ""}


def test_a_failure_is_told_before_a_conflict(flow: Played) -> None:
    with flow.opening(2), pytest.raises(StepFailed, match="exit code 3"):
        flow.run(branches("echo 1 > seed; exit 3", "sleep 0.2; echo 2 > seed; exit 3"))

    (warning,) = flow.told(ev.StepWarned, "text")
    assert warning.startswith("what it made was not kept: steps ")


def test_a_conflict_of_items_of_which_failures_may_pass(flow: Played) -> None:
    with flow.opening(2):
        outputs = flow.run(
            """\
steps:
  - id: each
    foreach: {items: [0, 1], max_parallel: 2, on_error: continue}
    env: {N: "${{ item }}"}
    run: {bash: 'touch begun; eval "$GATE"; rm begun; echo $N > out', files: ["${{ inputs.gate }}"]}
outputs: {each: "${{ steps.each.outputs }}"}
"""
        )

    (error,) = flow.told(ev.StepFailed, "error")
    assert error in ("steps each[0] and each[1] both changed out",
                     "steps each[1] and each[0] both changed out")  # fmt: skip
    assert sorted(outputs["each"], key=bool) == [None, {"text": ""}]


def test_another_attempt_begins_with_what_the_other_one_made(flow: Played) -> None:
    retried = HEAD.replace("30s}", "30s, retry: {max_attempts: 2, delay: 1ms}}")
    with flow.opening(2):
        flow.run(branches("echo left >> seed", "echo right >> seed"), head=retried)

    assert sorted(flow.files()["seed"].split()) == ["left", "right", "seed"]


def test_a_cancel_ends_all_of_them(flow: Played) -> None:
    cancel = CancelToken()
    with flow.opening(2, cancel.cancel), pytest.raises(Cancelled):
        flow.run(branches("true", "true"), cancel)

    assert "begun" in flow.files()


def test_one_that_takes_too_long_is_ended_alone(flow: Played) -> None:
    with pytest.raises(StepFailed, match="it took"):
        flow.run(
            """\
steps:
  - {id: slow, needs: [], timeout: 300ms, run: "touch begun; sleep 60"}
  - {id: quick, needs: [], run: "touch q"}
"""
        )

    assert flow.files() == {"q": "", "begun": ""}


def test_a_folder_that_is_too_large_to_be_copied_is_told_of_once(
    flow: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "LARGEST", 3)
    flow.run(
        """\
steps:
  - {id: seed, run: "echo 123 > seed"}
  - {id: each, foreach: {items: [0, 1, 2], max_parallel: 3}, run: "echo x >> seed"}
"""
    )

    assert flow.files() == {"seed": "123\nx\nx\nx"}
    assert flow.told(ev.StepWarned, "text") == [
        "scripts of this run work one after the other in its folder, not each in a copy: "
        "it has 4 B, and 3 B are copied"
    ]


def test_what_cannot_overlap_is_not_copied(flow: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "copied", None)
    flow.run(
        """\
steps:
  - {id: one, run: "echo 1 > n"}
  - {id: each, foreach: {items: [0, 1]}, run: "echo x >> n"}
"""
    )

    assert flow.files() == {"n": "1\nx\nx"}


def test_a_tool_that_runs_programs_overlaps_too(flow: Played) -> None:
    with flow.opening(2):
        flow.run(
            """\
steps:
  - id: each
    foreach: {items: [0, 1], max_parallel: 2}
    uses: run_python
    with:
      files: ["${{ inputs.gate }}"]
      code: |
        import os, time
        open("begun", "w")
        while not os.path.exists("/inputs/gate/go"):
            time.sleep(0.01)
        os.remove("begun")
"""
        )

    assert flow.files() == {}


def test_a_process_that_dies_while_scripts_overlap(tmp_path: Path) -> None:
    """In the middle of a copy, of the work and of bringing it back: see `killed_beside`."""
    said = killing.said("tests.workflow.killed_beside", {"beside": tmp_path})["beside"]
    *faults, kills = said.splitlines()

    assert faults == [], said
    assert int(kills.split()[0]) == 6
