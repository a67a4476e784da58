"""The commands around a workflow: begin one, look at it, rehearse it, do parts again, clean up."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agentkit.cli import cli

FLOW = """\
name: flow
inputs: {word: {default: hello}, key: {type: secret, required: false}}
steps:
  - {id: one, run: 'echo "$W"', env: {W: "${{ inputs.word }}"}}
  - {id: two, run: test -e ok.txt}
  - {id: three, run: 'echo "$T"', env: {T: "${{ steps.one.outputs.text }}"}}
on_failure:
  - {id: tell, run: 'echo "$M"', env: {M: "${{ error.message }}"}}
outputs: {said: "${{ steps.three.outputs.text }}"}
"""

Command = Callable[..., Result]


@pytest.fixture
def agentkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow.yaml").write_text(FLOW)

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(cli, arguments)
        if result.exception and not isinstance(result.exception, SystemExit):
            result.stderr_bytes = str(result.exception).encode()
        return result

    return run


def test_a_new_workflow_has_no_problems(agentkit: Command) -> None:
    assert "wrote notes.yaml" in agentkit("new", "notes").output
    assert agentkit("check", "notes.yaml").output == "no problems in 1 checked\n"
    text = Path("notes.yaml").read_text()
    assert text.startswith("# notes: ")
    assert "agentkit check notes.yaml" in text
    assert "is there already" in str(agentkit("new", "notes").exception)


def test_a_rehearsal_shows_what_is_known_and_does_nothing(agentkit: Command) -> None:
    shown = agentkit("run", "flow.yaml", "--dry-run", "-i", "word=ciao", "-i", "key=sesame").output

    assert "input key = ***" in shown
    assert "W: ciao" in shown
    assert "T: ${{ steps.one.outputs.text }}" in shown
    assert agentkit("runs", "list").output == "nothing has run yet: agentkit run WORKFLOW\n"


def test_a_picture_is_mermaid_where_nobody_looks(agentkit: Command) -> None:
    drawn = agentkit("graph", "flow.yaml").output

    assert drawn.startswith("flowchart TD\n")
    assert "one --> two" in drawn
    assert "subgraph on_failure" in drawn


def test_parts_of_a_run_are_done_again(agentkit: Command) -> None:
    """What failed, with the edited file; then from a step on."""
    failed = agentkit("run", "flow.yaml")
    assert "step 'two' failed" in str(failed.exception)
    assert "step 'two' failed" in str(agentkit("runs", "retry", "last").exception)
    Path("flow.yaml").write_text(FLOW.replace("test -e ok.txt", "exit 0"))
    assert "step 'two' failed" in str(agentkit("runs", "retry", "last").exception)

    assert json.loads(agentkit("runs", "retry", "last", "--with-edited-file").stdout) == {
        "said": "hello"
    }
    assert agentkit("runs", "retry", "last", "--from", "two").exit_code == 0
    attempts = json.loads(agentkit("runs", "show", "last", "--json").output)["attempts"]
    begun = [attempt["step"] for attempt in attempts]
    assert {step: begun.count(step) for step in set(begun)} == {
        "one": 1, "two": 5, "three": 2, "tell": 3
    }  # fmt: skip
    assert "no step named 'four'" in str(
        agentkit("runs", "retry", "last", "--from", "four").exception
    )


def test_an_error_is_told_where_it_happened(agentkit: Command) -> None:
    Path("loop.yaml").write_text("""\
name: loop
steps:
  - id: each
    foreach: {items: [a, b]}
    steps:
      - {id: bad, uses: calculate, with: {expression: "1 / 0"}}
""")
    agentkit("run", "loop.yaml")

    shown = agentkit("runs", "show", "last").output.splitlines()
    told = [at for at, line in enumerate(shown) if "by zero" in line]
    assert [shown[at - 1].split()[1] for at in told[:-1]] == ["bad[0]"]
    assert shown[told[-1]].startswith("  error")


def test_what_happened_can_be_read(agentkit: Command) -> None:
    agentkit("run", "flow.yaml")

    lines = agentkit("runs", "logs", "last").output.splitlines()
    kinds = [
        json.loads(line)["kind"]
        for line in agentkit("runs", "logs", "last", "--json").output.splitlines()
    ]

    assert kinds[0] == "RunStarted"
    assert kinds[-1] == "RunFinished"
    assert len(lines) == len(kinds)
    assert "failed" in agentkit("runs", "watch", "last").output


def test_old_runs_go_with_all_that_they_made(agentkit: Command) -> None:
    for _ in range(3):
        agentkit("run", "flow.yaml")
    home = Path.cwd() / "home"
    assert len(list((home / "runs").iterdir())) == 3

    assert "3 runs older" in agentkit("prune", "--older-than", "1ms", "--dry-run").output
    assert agentkit("prune", "--older-than", "1ms", "--keep", "1").output.startswith(
        "removed 2 runs"
    )
    assert len(agentkit("runs", "list").output.splitlines()) == 1
    assert agentkit("runs", "rm", "last").output.startswith("removed ")
    assert list((home / "runs").iterdir()) == []
    assert "is no duration" in str(agentkit("prune", "--older-than", "30").exception)


def test_a_question_is_answered_by_the_name_of_the_run(agentkit: Command) -> None:
    Path("ask.yaml").write_text("name: ask\nsteps:\n  - {id: ask, approve: Go on?}\n")
    agentkit("run", "ask.yaml", "--unattended")

    assert "go on with the run" in agentkit("runs", "approve", "last").output
    assert agentkit("runs", "resume", "last").exit_code == 0
    assert "asks nothing" in str(agentkit("runs", "reject", "last").exception)
