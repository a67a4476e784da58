"""A call that needs a person: asked at the terminal, or parked and answered from elsewhere."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from agentkit.runtime import Runtime

PUBLISH = """\
name: publish
inputs:
  text: {default: hello}
  to: {type: string}
steps:
  - id: count
    uses: render_template
    with: {template: "{{ text | length }}", data: {text: "${{ inputs.text }}"}}
  - id: each
    foreach: {items: [a, b, c], as: name, on_error: continue}
    uses: write_file
    with: {path: "${{ inputs.to }}/${{ name }}.txt", content: "${{ inputs.text }}"}
outputs:
  count: ${{ steps.count.outputs.text }}
"""


def agentkit(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agentkit", *arguments],
        capture_output=True, text=True, cwd=cwd, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def at_a_terminal(keys: str, *arguments: str, cwd: Path) -> tuple[int, str]:
    """The command in a terminal in which somebody types; exit code and what was seen."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "agentkit", *arguments]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=cwd, start_new_session=True
    ) as process:
        os.close(theirs)
        os.write(ours, keys.encode())
        seen = b""
        try:
            while piece := os.read(ours, 4096):
                seen += piece
        except OSError:  # the other side was closed
            pass
        os.close(ours)
        return process.wait(60), seen.decode("utf-8", "replace")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "publish.yaml").write_text(PUBLISH)
    return folder


def waiting(folder: Path) -> list[str]:
    done = agentkit("approvals", "list", "--json", cwd=folder)
    return [request["id"] for request in json.loads(done.stdout)]


def test_a_run_that_nobody_watches_is_parked_and_goes_on_after_the_answer(folder: Path) -> None:
    """What was finished is not done again, and each call is asked about by itself."""
    to = folder.parent / "public"

    parked = agentkit("run", "publish.yaml", "-i", f"to={to}", "--unattended", cwd=folder)

    assert parked.returncode == 3
    assert f"parked: write_file needs approval: it would write {to}/a.txt" in parked.stderr
    assert not to.exists()
    assert agentkit("runs", "list", cwd=folder).stdout.split()[1] == "parked"

    (first,) = waiting(folder)
    said = agentkit("approvals", "approve", first, cwd=folder)
    assert said.stdout.startswith("go on with the run:  agentkit runs resume ")
    again = agentkit("runs", "resume", "last", "--unattended", cwd=folder)

    assert again.returncode == 3
    assert sorted(path.name for path in to.iterdir()) == ["a.txt"]
    (second,) = waiting(folder)
    assert second != first
    agentkit("approvals", "approve", second, "--always", cwd=folder)
    done = agentkit("runs", "resume", "last", "--unattended", cwd=folder)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"count": "5"}
    assert sorted(path.name for path in to.iterdir()) == ["a.txt", "b.txt", "c.txt"]
    assert waiting(folder) == []
    with Runtime() as runtime:
        calls = runtime.journal.calls(runtime.journal.run("last").id)
    assert [(call.tool, call.status) for call in calls] == [
        ("render_template", "returned"),
        ("write_file", "needs_approval"),
        ("write_file", "returned"),
        ("write_file", "needs_approval"),
        ("write_file", "returned"),
        ("write_file", "returned"),
    ]


def test_a_no_that_comes_later_fails_the_call_and_no_other(folder: Path) -> None:
    to = folder.parent / "public"
    agentkit("run", "publish.yaml", "-i", f"to={to}", cwd=folder)
    agentkit("approvals", "deny", *waiting(folder), cwd=folder)

    resumed = agentkit("runs", "resume", "last", cwd=folder)

    assert "each[0]  a person said no" in resumed.stderr
    assert resumed.returncode == 3  # the next item asks
    assert not to.exists()


def test_never_is_remembered_until_it_is_forgotten(folder: Path) -> None:
    to = folder.parent / "public"
    agentkit("run", "publish.yaml", "-i", f"to={to}", cwd=folder)
    agentkit("approvals", "deny", "--always", *waiting(folder), cwd=folder)

    done = agentkit("runs", "resume", "last", cwd=folder)
    rules = agentkit("approvals", "rules", cwd=folder)

    assert done.returncode == 0  # every item failed, and the foreach goes on
    assert rules.stdout.split() == ["deny", "write_file", "writes", str(to)]
    assert agentkit("approvals", "forget", "write_file", cwd=folder).stdout == (
        "forgot 1 answer about write_file\n"
    )
    assert "nothing is remembered" in agentkit("approvals", "rules", cwd=folder).stdout


@pytest.mark.parametrize(("keys", "made"), [("y\ny\ny\n", 3), ("a\n", 3), ("n\ny\nn\n", 1)])
def test_somebody_at_the_terminal_is_asked(folder: Path, keys: str, made: int) -> None:
    to = folder.parent / "public"

    code, seen = at_a_terminal(keys, "run", "publish.yaml", "-i", f"to={to}", cwd=folder)

    assert code == 0, seen
    assert f"write {to}/a.txt" in seen
    assert f"always would mean: write_file may write {to.parent}" in seen
    assert len(list(to.iterdir())) == made


def test_ctrl_c_at_the_question_cancels_the_run(folder: Path) -> None:
    to = folder.parent / "public"

    code, seen = at_a_terminal("\x04", "run", "publish.yaml", "-i", f"to={to}", cwd=folder)

    assert code == 130, seen
    assert not to.exists()
    with Runtime() as runtime:
        assert runtime.journal.run("last").status == "cancelled"


def test_what_a_model_wrote_cannot_draw_over_the_question(folder: Path) -> None:
    to = folder.parent / "public"
    evil = "\x1b[2J\x1b[Hnothing to see, say yes\r"
    agentkit("run", "publish.yaml", "-i", f"to={to}", "-i", f"text={evil}", cwd=folder)

    shown = agentkit("approvals", "show", *waiting(folder), cwd=folder)

    assert "\x1b[2J" not in shown.stdout
    assert r"\x1b[2J\x1b[Hnothing to see, say yes\r" in shown.stdout


def test_a_call_of_the_terminal_waits_for_its_approval(folder: Path) -> None:
    target = folder.parent / "elsewhere.txt"
    call = ("tools", "call", "write_file", f"path={target}", "content=hi")

    assert agentkit(*call, cwd=folder).returncode == 3
    agentkit("approvals", "approve", *waiting(folder), cwd=folder)
    assert agentkit(*call, cwd=folder).returncode == 0
    assert target.read_text() == "hi"
    assert agentkit(*call, cwd=folder).returncode == 3  # once was once


def test_what_cannot_be_resumed_says_so(folder: Path) -> None:
    to = folder / "in the project"
    agentkit("tools", "call", "now", cwd=folder)
    single = agentkit("runs", "resume", "last", cwd=folder)
    agentkit("run", "publish.yaml", "-i", f"to={to.name}", cwd=folder)
    finished = agentkit("runs", "resume", "last", cwd=folder)

    assert (single.returncode, finished.returncode) == (2, 2)
    assert "is a single tool call: there is nothing to resume" in single.stderr
    assert "is succeeded: there is nothing to resume" in finished.stderr


def test_answers_that_do_not_fit_the_question(folder: Path) -> None:
    agentkit("run", "publish.yaml", "-i", f"to={folder.parent}/x", cwd=folder)
    (request,) = waiting(folder)

    in_words = agentkit("approvals", "answer", request, "yes", cwd=folder)
    agentkit("approvals", "approve", request, cwd=folder)
    twice = agentkit("approvals", "deny", request, cwd=folder)
    unknown = agentkit("approvals", "show", request[:-1] + "0", cwd=folder)

    assert "is answered in another way" in in_words.stderr
    assert f"{request} has an answer already: once" in twice.stderr
    assert f'did you mean "{request}"?' in unknown.stderr
