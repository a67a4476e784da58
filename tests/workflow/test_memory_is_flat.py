"""A run keeps no more of ten thousand steps in memory than their outputs."""

from __future__ import annotations

from pathlib import Path

from agentkit import events as ev
from agentkit import tool
from agentkit.config import Settings
from agentkit.runtime import Runtime

STEPS, WARM = 10_000, 2_000
KEPT = 1_000
"""Bytes for a step; what an event takes, of which each has two, is more."""

EACH = f"""\
name: many
steps:
  - id: each
    foreach: {{items: "${{{{ range({STEPS}) | list }}}}"}}
    uses: same
    with: {{value: "${{{{ item }}}}"}}
"""


@tool
def same(value: int) -> int:
    """Give back what came in.

    Args:
        value: Anything.
    """
    return value


def anonymous() -> int:
    """Bytes of this process in main memory that are its own, without mapped files."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["RssAnon"].split()[0]) * 1024


def test_ten_thousand_steps(tmp_path: Path) -> None:
    (tmp_path / "many.yaml").write_text(EACH)
    finished, sizes = 0, []

    def look(event: ev.Event) -> None:
        nonlocal finished
        if isinstance(event, ev.StepFinished) and event.item is not None:
            finished += 1
            if finished in (WARM, STEPS):
                sizes.append(anonymous())

    with Runtime(Settings(home=tmp_path / "home")) as runtime:
        runtime.lend([same])
        runtime.run(runtime.workflow(str(tmp_path / "many.yaml")), {}, subscribers=(look,))
    assert sizes[1] - sizes[0] < KEPT * (STEPS - WARM)
