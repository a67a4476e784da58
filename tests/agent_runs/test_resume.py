"""Agents that are parked, die or are told something, and go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentkit import events as ev
from agentkit.cancel import CancelToken
from agentkit.errors import ApprovalNeeded, Cancelled, Paused, UserError
from agentkit.runtime import Wish
from agentkit.runtime.held import held

from .conftest import Command, Died, die
from .scripted import Asked, Call, Play, ScriptedRuntime, diary

Opened = Callable[..., ScriptedRuntime]
Post = Callable[..., None]

TOOLS = ("append_line", "read_diary", "calculate")
WISH = Wish(tools=TOOLS, memory=False)
OBJECTIVE = "Note one, then two and three"


def calls(about: Asked) -> list[Call]:
    """The objective notes the first word, each task its own."""
    word = "one" if about.task == OBJECTIVE else about.task.split()[1]
    return [("append_line", {"text": word})]


def more(about: Asked) -> list[str]:
    first = len(about.values["done"].splitlines()) == 1
    return ["Note two", "Note three"] if first else []


def play(**changed: Any) -> Play:
    return Play(calls, **{"result": lambda about: "It is noted.", "more": more, **changed})


def when(phase: str, task: str, act: Callable[[], None]) -> Callable[[Asked, CancelToken], None]:
    """Something that happens while the model thinks about a task, once."""
    done = list[bool]()

    def slow(about: Asked, cancel: CancelToken) -> None:
        if not done and about.phase == phase and task in (about.task, about.values.get("task")):
            done.append(True)
            act()

    return slow


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "diary.txt"


def told(runtime: ScriptedRuntime, kind: type[ev.AgentEvent]) -> list[Any]:
    events = runtime.journal.agent_events(runtime.journal.run("last").id)
    return [event for event in events if isinstance(event, kind)]


def listed(runtime: ScriptedRuntime) -> list[tuple[str, str, str]]:
    return runtime.tasks(runtime.journal.run("last").id)


# -- who may go on -------------------------------------------------------------------------------


def test_a_run_of_which_the_process_died_goes_on(opened: Opened, log: Path) -> None:
    runtime = opened(play(), *diary(log))
    die(runtime, lambda event: isinstance(event, ev.TaskStarted) and event.task == "t2")
    with pytest.raises(Died):
        runtime.pursue(runtime.agent(WISH), OBJECTIVE, None)
    again = opened(play(), *diary(log))
    assert again.journal.run("last").status == "running"

    outputs = again.resume(again.journal.run("last").id)

    assert outputs["reason"] == "done"
    assert log.read_text().split() == ["one", "two", "three"]
    assert len(told(again, ev.AgentResumed)) == 1


def test_a_run_that_another_process_holds_is_refused(opened: Opened, log: Path) -> None:
    runtime = opened(play(), *diary(log))
    die(runtime, lambda event: isinstance(event, ev.TaskStarted))
    with pytest.raises(Died):
        runtime.pursue(runtime.agent(WISH), OBJECTIVE, None)
    again = opened(play(), *diary(log))
    run = again.journal.run("last").id

    with (
        held(again.journal.leases, run, CancelToken()),
        pytest.raises(UserError, match=f"^the run {run} is at work in another process$") as refused,
    ):
        again.resume(run)

    assert refused.value.hint == (
        f"agentkit runs cancel {run}, or wait for its end: agentkit runs show {run}"
    )
    assert again.player.asked == []
    assert again.resume(run)["reason"] == "done"


def test_a_run_that_is_over_has_nothing_to_resume_and_nobody_who_listens(
    opened: Opened, log: Path
) -> None:
    runtime = opened(play(), *diary(log))
    runtime.pursue(runtime.agent(WISH), OBJECTIVE, None)
    run = runtime.journal.run("last").id

    with pytest.raises(UserError, match=f"^the run {run} is succeeded: there is nothing to resume"):
        runtime.resume(run)
    with pytest.raises(UserError, match=rf"^the run {run} is over \(succeeded\): nobody listens$"):
        runtime.post(run, "note", "hello")


def test_an_agent_that_was_cancelled_can_go_on(opened: Opened, log: Path) -> None:
    token = CancelToken()
    stopping = play(slow=when("move", "Note two", token.cancel))
    runtime = opened(stopping, *diary(log))
    with pytest.raises(Cancelled):
        runtime.pursue(runtime.agent(WISH), OBJECTIVE, None, cancel=token)
    run = runtime.journal.run("last")
    report = (runtime.settings.runs_folder / run.id / "report.md").read_text()

    assert run.status == "cancelled"
    assert "*It was cancelled: this is what there is so far.*" in report
    with pytest.raises(UserError, match="is over") as refused:
        runtime.post(run.id, "note", "hello")
    assert refused.value.hint == f"agentkit runs resume {run.id}"
    assert opened(play(), *diary(log)).resume(run.id)["reason"] == "done"
    assert log.read_text().split() == ["one", "two", "three"]


def test_a_report_that_was_not_written_any_more_is_written_later(opened: Opened, log: Path) -> None:
    runtime = opened(play(), *diary(log))
    die(runtime, lambda event: isinstance(event, ev.ArtifactMade))
    with pytest.raises(Died):
        runtime.pursue(runtime.agent(WISH), OBJECTIVE, None)
    run = runtime.journal.run("last").id
    report = runtime.settings.runs_folder / run / "report.md"
    report.unlink()
    again = opened(play(), *diary(log))

    again.resume(run)

    assert report.read_text().startswith(f"# {OBJECTIVE}\n")
    assert [artifact.path for artifact in again.journal.artifacts(run)] == ["report.md"]
    assert again.player.asked == []


# -- in workflows --------------------------------------------------------------------------------

BETWEEN = """\
name: between
steps:
  - id: before
    uses: append_line
    with: {text: before}
  - id: each
    foreach: {items: [one, two, three], as: word}
    agent:
      objective: Note ${{ word }}
      tools: [append_line, read_diary]
      memory: false
  - id: after
    uses: append_line
    with: {text: "after ${{ steps.each.outputs | length }}: ${{ steps.each.outputs[2].answer }}"}
outputs:
  reasons: ${{ steps.each.outputs | map(attribute='reason') | list }}
"""


def alone() -> Play:
    return Play(
        lambda about: [("append_line", {"text": about.task.split()[1]})],
        result=lambda about: f"{about.task} is done.",
    )


@pytest.mark.parametrize("item", [0, 2])
@pytest.mark.parametrize("kind", ["AgentStarted", "ActFinished", "StepFinished"])
def test_an_agent_in_a_foreach_goes_on_where_it_was(
    opened: Opened, tmp_path: Path, log: Path, kind: str, item: int
) -> None:
    """Other items and other steps are not touched."""
    file = tmp_path / "between.yaml"
    file.write_text(BETWEEN)
    runtime = opened(alone(), *diary(log))
    die(runtime, lambda event: (event.kind, getattr(event, "item", None)) == (kind, item))
    with pytest.raises(Died):
        runtime.run(runtime.workflow(str(file)), {})
    again = opened(alone(), *diary(log))

    outputs = again.resume(runtime.journal.run("last").id)

    assert outputs == {"reasons": ["done", "done", "done"]}
    assert log.read_text().splitlines() == [
        "before", "one", "two", "three", "after 3: Note three is done."
    ]  # fmt: skip
    objectives = [(event.item, event.objective) for event in told(again, ev.AgentStarted)]
    assert objectives == [(0, "Note one"), (1, "Note two"), (2, "Note three")]


# -- what a person says --------------------------------------------------------------------------


def test_a_paused_run_is_parked_and_goes_on_with_the_same_list(
    opened: Opened, log: Path, post: Post
) -> None:
    pausing = play(slow=when("move", "Note two", lambda: post("pause")))
    runtime = opened(pausing, *diary(log))

    with pytest.raises(Paused) as parked:
        runtime.pursue(runtime.agent(WISH), OBJECTIVE, None)

    run = runtime.journal.run("last")
    assert parked.value.exit_code == 3
    assert parked.value.hint == f"agentkit runs resume {run.id}"
    assert run.status == "parked"
    before = listed(runtime)
    assert before == [
        ("t1", "done", OBJECTIVE),
        ("t2", "running", "Note two"),
        ("t3", "open", "Note three"),
    ]
    again = opened(play(), *diary(log))
    assert again.resume(run.id)["reason"] == "done"
    assert listed(again) == [(name, "done", text) for name, _, text in before]
    assert log.read_text().split() == ["one", "two", "three"]


def test_what_was_said_beside_a_pause_is_heard_after_it(
    opened: Opened, log: Path, post: Post
) -> None:
    def both() -> None:
        post("pause")
        post("note", "Hurry up.")
        post("add", "Note four")

    runtime = opened(play(slow=when("move", "Note two", both)), *diary(log))
    with pytest.raises(Paused):
        runtime.pursue(runtime.agent(WISH), OBJECTIVE, None)

    again = opened(play(), *diary(log))
    again.resume(runtime.journal.run("last").id)

    assert [event.text for event in told(again, ev.NoteGiven)] == ["Hurry up."]
    assert log.read_text().split() == ["one", "two", "three", "four"]


def test_a_note_is_in_the_next_question(opened: Opened, log: Path, post: Post) -> None:
    noting = when("move", "Note two", lambda: post("note", "The diary is public."))
    runtime = opened(play(slow=noting), *diary(log))

    runtime.pursue(runtime.agent(WISH), OBJECTIVE, None)

    heard = [about for about in runtime.player.asked if about.said and about.task == "Note two"]
    assert heard[0].said == ["Note from the person: The diary is public."]


def test_what_a_process_died_over_is_heard_by_the_next_one(
    opened: Opened, log: Path, post: Post
) -> None:
    adding = when("move", "Note two", lambda: post("add", "Note four"))
    runtime = opened(play(slow=adding), *diary(log))
    die(runtime, lambda event: isinstance(event, ev.TaskAdded) and event.text == "Note four")
    with pytest.raises(Died):
        runtime.pursue(runtime.agent(WISH), OBJECTIVE, None)

    opened(play(), *diary(log)).resume(runtime.journal.run("last").id)

    assert log.read_text().split() == ["one", "two", "three", "four"]


def test_tasks_are_added_dropped_and_put_in_order(opened: Opened, log: Path, post: Post) -> None:
    def change() -> None:
        post("add", "Note four")
        post("add", "Note five")
        post("drop", "t3")
        post("order", "t5")

    runtime = opened(play(slow=when("move", "Note two", change)), *diary(log))

    runtime.pursue(runtime.agent(WISH), OBJECTIVE, None)

    assert log.read_text().split() == ["one", "two", "five", "four"]
    assert listed(runtime) == [
        ("t1", "done", OBJECTIVE),
        ("t2", "done", "Note two"),
        ("t3", "dropped", "Note three"),
        ("t4", "done", "Note four"),
        ("t5", "done", "Note five"),
    ]


def test_the_task_at_work_can_be_dropped(opened: Opened, log: Path, post: Post) -> None:
    dropping = when("move", "Note two", lambda: post("drop", "t2"))
    runtime = opened(play(slow=dropping), *diary(log))

    runtime.pursue(runtime.agent(WISH), OBJECTIVE, None)

    assert {name: status for name, status, _ in listed(runtime)} == {
        "t1": "done", "t2": "dropped", "t3": "done"
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["drop", "order"])
@pytest.mark.parametrize("names", ["t1", "t3,nonsense"])
def test_names_of_no_open_task_change_nothing_and_that_is_on_record(
    opened: Opened, log: Path, post: Post, kind: str, names: str
) -> None:
    asking = when("move", "Note two", lambda: post(kind, names))
    runtime = opened(play(slow=asking), *diary(log))

    runtime.pursue(runtime.agent(WISH), OBJECTIVE, None)

    assert log.read_text().split() == ["one", "two", "three"]
    assert [(event.text, event.reason) for event in told(runtime, ev.TaskRefused)] == [
        (kind, f"a person named {names}, and the open tasks are: t2, t3")
    ]


def test_a_letter_cancels_while_the_model_answers(opened: Opened, log: Path, post: Post) -> None:
    def slow(about: Asked, cancel: CancelToken) -> None:
        if about.phase == "move" and about.task == "Note two":
            post("cancel")
            until = time.monotonic() + 60
            while not cancel.cancelled and time.monotonic() < until:
                time.sleep(0.01)

    runtime = opened(play(slow=slow), *diary(log))

    with pytest.raises(Cancelled):
        runtime.pursue(runtime.agent(WISH), OBJECTIVE, None)

    assert runtime.journal.run("last").status == "cancelled"
    assert log.read_text().split() == ["one"]


# -- approvals -----------------------------------------------------------------------------------

OUTSIDE = Wish(tools=("write_file", "calculate"), memory=False)


def publishing(path: Path) -> Play:
    return Play(
        lambda about: [("write_file", {"path": str(path), "content": "public"})],
        result=lambda about: "It is published.",
    )


def park(opened: Opened, path: Path) -> str:
    """A run that asks whether it may write to a file elsewhere; its id."""
    runtime = opened(publishing(path))
    objective = f"Publish the page in {path}"
    with pytest.raises(ApprovalNeeded, match="write_file needs approval") as parked:
        runtime.pursue(runtime.agent(OUTSIDE), objective, None, profile="unattended")
    assert parked.value.exit_code == 3
    run = runtime.journal.run("last")
    assert run.status == "parked"
    return run.id


def test_an_agent_waits_for_an_answer_and_makes_that_very_call_once(
    opened: Opened, tmp_path: Path, agentkit: Command
) -> None:
    path = tmp_path / "public.txt"
    run = park(opened, path)
    assert not path.exists()
    (request,) = opened(publishing(path)).journal.desk.requests(open_only=True)
    code, out, _ = agentkit("approvals", "approve", request.id)
    assert (code, out) == (0, f"go on with the run:  agentkit runs resume {run}\n")
    again = opened(publishing(path))

    outputs = again.resume(run, profile="unattended")

    assert outputs == {"answer": "It is published.", "reason": "done"}
    assert path.read_text() == "public"
    calls = [call for call in again.journal.calls(run) if call.tool == "write_file"]
    assert [call.status for call in calls] == ["needs_approval", "returned"]
    assert calls[0].arguments == calls[1].arguments
    assert again.journal.desk.requests(open_only=True) == []


def test_without_an_answer_it_waits_on(opened: Opened, tmp_path: Path) -> None:
    path = tmp_path / "public.txt"
    run = park(opened, path)
    again = opened(publishing(path))

    with pytest.raises(ApprovalNeeded):
        again.resume(run, profile="unattended")

    assert not path.exists()
    assert len(again.journal.desk.requests(open_only=True)) == 1


def test_a_no_is_told_to_the_model(opened: Opened, tmp_path: Path, agentkit: Command) -> None:
    path = tmp_path / "public.txt"
    run = park(opened, path)
    refused = Play(publishing(path).calls, result=lambda about: "It was not allowed.")
    again = opened(refused)
    (request,) = again.journal.desk.requests(open_only=True)
    agentkit("approvals", "deny", request.id)

    again.resume(run, profile="unattended")

    assert not path.exists()
    shown = [made.seen for about in again.player.asked for made in about.made]
    assert any("a person said no" in seen for seen in shown)


def test_an_approved_call_is_not_made_again_by_a_third_process(
    opened: Opened, tmp_path: Path, agentkit: Command
) -> None:
    """The second one died after the call, before it was on record what the model sees of it."""
    path = tmp_path / "public.txt"
    run = park(opened, path)
    second = opened(publishing(path))
    (request,) = second.journal.desk.requests(open_only=True)
    agentkit("approvals", "approve", "--always", request.id)
    die(second, lambda event: isinstance(event, ev.ActFinished))
    with pytest.raises(Died):
        second.resume(run, profile="unattended")
    assert path.read_text() == "public"
    path.write_text("changed by a person since")
    third = opened(publishing(path))

    third.resume(run, profile="unattended")

    assert path.read_text() == "changed by a person since"
    assert [call.status for call in third.journal.calls(run)] == ["needs_approval", "returned"]
