"""A journal on PostgreSQL: the same runs, leases and questions; and a server that is restarted."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentkit import events as ev
from agentkit.config import Settings
from agentkit.errors import ApprovalNeeded, MachineError, UserError
from agentkit.journal import Journal
from agentkit.runtime import Runtime
from agentkit.toolbox.approvals import settle

from .postgres import Server, binaries, server
from .test_fires import tell_of_a_fire, tell_of_a_schedule

pytestmark = pytest.mark.skipif(
    binaries() is None, reason="PostgreSQL is not installed: apt-get install postgresql"
)

FLOW = """\
name: flow
steps:
  - id: each
    foreach: {items: [1, 2, 3, 4], key: "n${{ item }}", max_parallel: 2}
    uses: calculate
    with: {expression: "${{ item }} * 2"}
    cache: {key: "${{ item }}"}
  - {id: ask, approve: Go on?}
  - {id: sum, uses: calculate, with: {expression: "1 + 1"}}
outputs: {each: "${{ steps.each.outputs }}", said: "${{ steps.ask.outputs.answer }}"}
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="agentkit-pg-") as folder, server(Path(folder)) as one:
        yield one


@pytest.fixture
def settings(postgres: Server) -> Settings:
    return Settings(home=Path(os.environ["AGENTKIT_HOME"]), journal=postgres.url)


def test_a_run_is_parked_and_goes_on(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "flow.yaml"
    path.write_text(FLOW)
    with Runtime(settings) as runtime, pytest.raises(ApprovalNeeded):
        runtime.run(runtime.workflow(str(path)), {})
    with Runtime(settings) as runtime:
        settle(runtime.journal.desk, runtime.journal.desk.requests(open_only=True)[0], "approve")
        outputs = runtime.resume("last")
        run = runtime.journal.run("last")
        steps = runtime.journal.steps(run.id)

    assert outputs == {"each": ["2", "4", "6", "8"], "said": "approve"}
    assert run.status == "succeeded"
    assert sorted(s.key for s in steps if s.step == "each" and s.key) == ["n1", "n2", "n3", "n4"]
    assert not settings.journal_file.exists()


def test_a_server_that_is_restarted_costs_nothing(
    postgres: Server, settings: Settings, tmp_path: Path
) -> None:
    """It is stopped as hard as it can be while a step is at work, and comes back soon after."""
    path = tmp_path / "flow.yaml"
    path.write_text(FLOW.replace("  - {id: ask, approve: Go on?}\n", "").replace(
        ', said: "${{ steps.ask.outputs.answer }}"', ""
    ).replace('    cache: {key: "${{ item }}"}\n', ""))  # fmt: skip
    back: list[threading.Timer] = []

    def restart(event: ev.Event) -> None:
        if isinstance(event, ev.StepFinished) and event.key == "n2" and not back:
            postgres.stop()
            back.append(threading.Timer(1.0, postgres.start))
            back[0].start()

    with Runtime(settings) as runtime:
        outputs = runtime.run(runtime.workflow(str(path)), {}, subscribers=(restart,))
        run = runtime.journal.run("last")
        began = runtime.journal.attempts(run.id)

    assert outputs == {"each": ["2", "4", "6", "8"]}
    assert run.status == "succeeded"
    assert len({(one.step, one.key) for one in began}) == 5
    assert all(one.status == "succeeded" for one in began)


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(MachineError, match=r"the journal postgresql://me@127.0.0.1:1/none") as no:
        Journal("postgresql://me:hunter2@127.0.0.1:1/none")

    assert "hunter2" not in str(no.value)
    assert no.value.hint == "check that the server runs, and `journal` in settings"


@pytest.mark.parametrize("url", ["mysql://here/x", "nonsense"])
def test_what_is_no_url_of_postgresql(url: str) -> None:
    with pytest.raises(UserError, match="journal"):
        Journal(url)


def test_fires_and_schedules(postgres: Server) -> None:
    journal = Journal(postgres.url)
    try:
        tell_of_a_fire(journal)
        tell_of_a_schedule(journal)
    finally:
        journal.close()
