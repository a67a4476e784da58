"""A run whose process is killed while two of its scripts are at work in copies of its folder.

    python -m tests.workflow.killed_beside beside FOLDER

Whatever was half done: the run goes on, its files are those of a run that nobody disturbed, and
no copy is left.  As everywhere, a step that was in flight may be done twice, and has to bear that.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from agentkit.config import Settings
from agentkit.runtime import Runtime
from agentkit.sandbox import apart, bubblewrap, merge
from tests.killing import Failure, child, hurry, kill

FLOW = """\
name: flow
steps:
  - {id: seed, run: "mkdir d; echo a > a; echo b > d/b; echo old > old"}
  - id: left
    needs: [seed]
    run: "mkdir -p p/q; cat a > p/q/l; cat a > l; rm -f old; rm -rf d"
  - id: each
    needs: [seed]
    foreach: {items: [0, 1], max_parallel: 2}
    env: {N: "${{ item }}"}
    run: "cat a > each-$N; ln -sf each-$N link-$N"
  - {id: last, needs: [left, each], run: "cat each-* p/q/l l"}
outputs: {said: "${{ steps.last.outputs.text }}"}
"""

POINTS: tuple[tuple[Any, str, int], ...] = (
    (apart, "_copy_file", 5),
    (bubblewrap, "_run", 3),
    (merge, "merged", 1),
    (merge._Merge, "_put", 1),
    (merge._Merge, "_put", 3),
    (merge._Merge, "_drop", 2),
)
"""The process dies at the n-th call of these."""


def fuse(place: Any, name: str, count: int) -> None:
    whole: Callable[..., Any] = getattr(place, name)
    left = [count]

    def burning(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            kill()
        return whole(*args, **kwargs)

    setattr(place, name, burning)
    if name == "merged":
        setattr(apart, name, burning)


def begin(base: Path) -> None:
    """Start the run, or go on with it."""
    with Runtime(Settings(home=base / "home")) as runtime:
        known = runtime.journal.runs()
        if known:
            runtime.resume(known[0].id)
            return
        base.mkdir(exist_ok=True)
        (base / "flow.yaml").write_text(FLOW)
        runtime.run(runtime.workflow(str(base / "flow.yaml")), {})


def outcome(base: Path) -> dict[str, str]:
    folder, *more = (base / "home" / "runs").iterdir()
    assert not more, f"copies are left: {more}"
    return {
        str(path.relative_to(folder)): path.read_text() if path.is_file() else "/"
        for path in folder.rglob("*")
    }


def main(base: Path) -> int:
    hurry()
    os.environ.pop("AGENTKIT_HOME", None)  # it would count more than what is said here
    begin(base / "undisturbed")  # here, so that children find all imported
    assert threading.active_count() == 1, "a process with threads cannot be forked"
    expected, kills, faults = outcome(base / "undisturbed"), 0, list[str]()

    def disturb(place: Any, name: str, count: int) -> None:
        fuse(place, name, count)
        begin(here)

    def go_on() -> None:
        begin(here)
        found = outcome(here)
        assert found == expected, f"{found}\n  and undisturbed:\n{expected}"

    here = base / "disturbed"
    for place, name, count in POINTS:
        what = f"{name} {count}"
        shutil.rmtree(here, ignore_errors=True)
        try:
            if child(partial(disturb, place, name, count), what, base / "said"):
                raise Failure(f"{what}: it was not killed")
            kills += 1
            child(go_on, what, base / "said")
        except Failure as failure:
            faults.append(str(failure))
    print("\n".join([*faults, f"{kills} kills"]))
    return len(faults)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[2])))
