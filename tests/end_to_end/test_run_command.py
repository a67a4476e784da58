"""`agentkit run` as a user types it: output, files, exit codes, Ctrl-C, the journal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agentkit.runtime import Runtime

HELLO = """\
name: hello
inputs:
  who: {default: world}
steps:
  - id: page
    uses: render_template
    with: {template: "Hello {{ who }}!", data: {who: "${{ inputs.who }}"}}
  - id: file
    uses: write_file
    with: {path: hello.txt, content: "${{ steps.page.outputs.text }}"}
outputs:
  greeting: ${{ steps.page.outputs.text }}
"""

TALK = """\
name: talk
steps:
  - id: talk
    prompt:
      model: smollm2-135m
      text: Tell me a very long story about a dragon.
      max_tokens: 4000
      temperature: 1.5
"""


def agentkit(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agentkit", *arguments], capture_output=True, text=True, cwd=cwd
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hello.yaml").write_text(HELLO)
    (tmp_path / "talk.yaml").write_text(TALK)
    return tmp_path


def test_outputs_go_to_stdout_as_json_and_the_story_to_stderr(folder: Path) -> None:
    done = agentkit("run", "hello.yaml", "-i", "who=you", cwd=folder)
    assert json.loads(done.stdout) == {"greeting": "Hello you!"}
    assert "✓ page" in done.stderr
    assert "succeeded in" in done.stderr
    assert done.returncode == 0


def test_files_of_the_run_are_copied_to_the_folder_that_is_named(folder: Path) -> None:
    agentkit("run", "hello.yaml", "-o", "out", cwd=folder)
    assert (folder / "out" / "hello.txt").read_text() == "Hello world!"


def test_events_can_be_had_as_json_lines(folder: Path) -> None:
    done = agentkit("run", "hello.yaml", "--json", cwd=folder)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["kind"] for event in events] == [
        "RunStarted",
        "StepStarted",
        "ToolCalled",
        "ToolReturned",
        "StepFinished",
        "StepStarted",
        "ToolCalled",
        "ArtifactMade",
        "ToolReturned",
        "StepFinished",
        "RunFinished",
    ]


def test_the_journal_has_inputs_outputs_times_and_files(folder: Path) -> None:
    agentkit("run", "hello.yaml", "-i", "who=you", cwd=folder)
    with Runtime() as runtime:
        run = runtime.journal.run("last")
        steps = runtime.journal.steps(run.id)
        artifacts = runtime.journal.artifacts(run.id)
        definition = runtime.journal.definition(run.id)
    assert (run.status, run.inputs, run.outputs) == (
        "succeeded",
        {"who": "you"},
        {"greeting": "Hello you!"},
    )
    assert definition == HELLO
    assert [(step.step, step.status, step.outputs) for step in steps] == [
        ("page", "succeeded", {"text": "Hello you!"}),
        ("file", "succeeded", {"path": "hello.txt", "bytes": 10}),
    ]
    assert all(step.seconds is not None for step in steps)
    assert [artifact.path for artifact in artifacts] == ["hello.txt"]


def test_runs_list_and_show_tell_what_happened(folder: Path) -> None:
    agentkit("run", "hello.yaml", "-i", "who=you", cwd=folder)
    listed = agentkit("runs", "list", cwd=folder)
    assert "succeeded" in listed.stdout
    assert "hello" in listed.stdout
    shown = agentkit("runs", "show", "last", cwd=folder)
    assert "input   who = you" in shown.stdout
    assert "uses render_template" in shown.stdout
    assert json.loads(agentkit("runs", "show", "last", "--json", cwd=folder).stdout)["steps"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "nothing-like-it"], "no workflow named 'nothing-like-it'."),
        (["run", "nothing.yaml"], "nothing.yaml: no such file"),
        (["run", "hello.yaml", "-i", "whom=you"], 'no input "whom". did you mean "who"?'),
        (["run", "hello.yaml", "-i", "who"], "write it as name=value"),
        (["runs", "show", "20990101"], "no run named '20990101'"),
        (["tools", "show", "write_fil"], 'did you mean "write_file"?'),
        (["models", "path", "qwen"], "no model named 'qwen'"),
    ],
)
def test_mistakes_of_a_user_are_explained_without_a_traceback(
    folder: Path, arguments: list[str], said: str
) -> None:
    done = agentkit(*arguments, cwd=folder)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 2


def test_a_model_that_is_not_here_is_named_with_the_command_that_fetches_it(folder: Path) -> None:
    done = agentkit("run", "talk.yaml", cwd=folder)
    assert "the model 'smollm2-135m' is not on this machine yet" in done.stderr
    assert "agentkit models pull smollm2-135m" in done.stderr
    assert done.returncode == 1
    with Runtime() as runtime:
        assert runtime.journal.runs() == []  # found before anything began


@pytest.mark.model
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_a_run_and_the_journal_says_cancelled(
    folder: Path, real_models: Path, stop: signal.Signals
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "agentkit", "run", "talk.yaml", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["kind"] == "StepStarted":
            process.send_signal(stop)
            break
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    with Runtime() as runtime:
        run = runtime.journal.run("last")
        assert run.status == "cancelled"
        assert [step.status for step in runtime.journal.steps(run.id)] == ["cancelled"]


def test_a_run_that_was_killed_has_everything_it_finished_in_the_journal(folder: Path) -> None:
    (folder / "tools").mkdir()
    home = Path(os.environ["AGENTKIT_HOME"])
    (home / "tools").mkdir(parents=True)
    (home / "tools" / "die.py").write_text(
        "import os, signal\n"
        "from agentkit import tool\n"
        "@tool\n"
        "def die() -> None:\n"
        "    'Kill this process.'\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    (folder / "die.yaml").write_text(
        HELLO.replace("outputs:\n", "  - id: die\n    uses: die\noutputs:\n")
    )
    assert agentkit("run", "die.yaml", cwd=folder).returncode == -signal.SIGKILL
    with Runtime() as runtime:
        run = runtime.journal.run("last")
        states = [(step.step, step.status) for step in runtime.journal.steps(run.id)]
    assert states == [("page", "succeeded"), ("file", "succeeded"), ("die", "running")]


def test_a_tool_that_breaks_is_named_with_its_place(folder: Path) -> None:
    home = Path(os.environ["AGENTKIT_HOME"])
    (home / "tools").mkdir(parents=True)
    (home / "tools" / "broken.py").write_text(
        "from agentkit import tool\n"
        "@tool\n"
        "def broken() -> None:\n"
        "    'Fail.'\n"
        "    raise ValueError('too bad')\n"
    )
    (folder / "broken.yaml").write_text("name: b\nsteps:\n  - id: a\n    uses: broken\n")
    done = agentkit("run", "broken.yaml", cwd=folder)
    assert "broken.yaml:3:5: step 'a' failed" in done.stderr
    assert "tool 'broken' broke: ValueError: too bad" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 1


def test_write_file_leaves_the_folder_of_the_run_for_nobody_but_a_person(folder: Path) -> None:
    (folder / "out.yaml").write_text(HELLO.replace("path: hello.txt", "path: ../../evil.txt"))
    done = agentkit("run", "out.yaml", cwd=folder)
    assert "parked: write_file needs approval: it would write" in done.stderr
    assert done.returncode == 3
    assert not list(Path(os.environ["AGENTKIT_HOME"]).rglob("evil.txt"))
