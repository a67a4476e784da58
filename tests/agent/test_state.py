"""What an agent knows is the sum of its events, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentkit import events as ev
from agentkit.agent.loop import Loop
from agentkit.agent.run import CHANGING
from agentkit.agent.state import AgentState, rebuilt
from agentkit.agent.tasks import Limits
from agentkit.letters import Letter
from agentkit.messages import Usage

from .player import PLACE, Asked, Player, Stage, call

BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def at(seconds: float, kind: Any, **details: Any) -> Any:
    return kind(**PLACE, time=BEGAN + timedelta(seconds=seconds), **details)


def started(seconds: float = 0) -> Any:
    about = {"objective": "Find it", "model": "m", "tools": ("read_file",), "budget": {}}
    return at(seconds, ev.AgentStarted, **about)


def begun(*more: Any) -> list[Any]:
    """The events of an agent that has begun with its task."""
    return [
        started(),
        at(0, ev.TaskAdded, task="t1", text="Find it"),
        at(0, ev.TaskStarted, task="t1", attempt=1),
        *more,
    ]


def act(call: str = "c1", status: str = "returned", seen: str = "text") -> list[Any]:
    about = {"task": "t1", "call": call}
    return [
        at(0, ev.ActStarted, **about, tool="read_file", arguments={"path": "a"}),
        at(0, ev.ActFinished, **about, status=status, observation=seen),
    ]


# -- the sum ---------------------------------------------------------------------------------------


def eventful(stage: Stage) -> Player:
    """Tasks, calls, a rejection, a lesson, a note, an order, a failed check."""
    stage.file("a.txt", "The code is 4711.")
    stage.services.mail += [Letter("note", "Be quick."), Letter("add", "Tell the colour")]

    def move(about: Asked) -> Any:
        done = [made.tool for made in about.made]
        if "read_file" not in done:
            return call("read_file", path="a.txt")
        if about.must or "colour" in about.task:
            return call("write_file", path=f"{len(done)}.txt", content="x")
        return "The code is 9999." if "4711" in about.text else "It is done."

    return Player(move, complete=lambda about: "no", more={"tasks": ["Look twice", "Look twice"]})


def test_the_state_from_the_events_is_the_state_that_the_loop_had(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    loops: list[Loop] = []

    def made(*values: Any, **named: Any) -> Loop:
        loops.append(Loop(*values, **named))
        return loops[-1]

    monkeypatch.setattr("agentkit.agent.run.Loop", made)
    tools = ("list_files", "read_file", "write_file")
    stage.pursue(eventful(stage), "Find the code", tools)

    kinds = {event.kind for event in stage.diary.events}
    assert {"CheckFailed", "LessonLearned", "NoteGiven", "TaskRefused", "TasksOrdered"} <= kinds
    caller = stage.caller()
    changing = {tool for tool in tools if CHANGING & set(caller.tools[tool].effects)}
    (loop,) = loops
    again = rebuilt(stage.diary.events, changing=changing, limits=loop.state.tasks.limits)
    assert again == loop.state
    assert again.finished is not None


def test_events_of_others_change_nothing() -> None:
    state = rebuilt(begun())

    assert state.told(ev.StepWarned(run="run-1", step="agent", text="odd")) is state
    assert state.told(ev.RunResumed(run="run-1")) is state


# -- time and tokens -------------------------------------------------------------------------------


def test_time_passes_between_events() -> None:
    state = rebuilt([started(), at(4, ev.NoteGiven, text="x"), at(10, ev.NoteGiven, text="y")])

    assert state.spent.seconds == 10


def test_the_time_before_a_resumption_is_no_work() -> None:
    events = [started(), at(4, ev.NoteGiven, text="x"), at(9999, ev.AgentResumed)]

    assert rebuilt(events).spent.seconds == 4
    assert rebuilt([*events, at(10001, ev.NoteGiven, text="y")]).spent.seconds == 6


def test_a_clock_that_goes_back_takes_no_time_away() -> None:
    events = [started(), at(4, ev.NoteGiven, text="x"), at(1, ev.NoteGiven, text="y")]

    assert rebuilt(events).spent.seconds == 4


def test_tokens_are_those_that_were_read_or_written() -> None:
    usage = Usage(prompt_tokens=100, cached_tokens=90, completion_tokens=7)
    asked = at(0, ev.ModelAsked, phase="move", usage=usage)
    state = rebuilt([started(), asked, asked])

    assert state.spent.tokens == 34
    assert state.usage == Usage(prompt_tokens=200, cached_tokens=180, completion_tokens=14)


# -- calls -----------------------------------------------------------------------------------------


def test_a_call_that_was_begun_is_pending_until_something_is_known_of_it() -> None:
    first, last = act()
    state = rebuilt(begun(first))

    assert state.pending == first
    assert state.steps(state.tasks["t1"]) == []
    over = state.told(last)
    assert over.pending is None
    (step,) = over.steps(over.tasks["t1"])
    assert (step.tool, step.arguments, step.status, step.text) == (
        "read_file", {"path": "a"}, "returned", "text",
    )  # fmt: skip
    assert over.spent.steps == 1


def test_a_call_that_never_began_cannot_end() -> None:
    _, last = act()

    with pytest.raises(ValueError, match="the call c1 ended, and it never began"):
        rebuilt(begun(last))
    with pytest.raises(ValueError, match="never began"):
        rebuilt(begun(act("c2")[0], last))


def test_whether_a_tool_may_change_something_is_known_from_outside() -> None:
    for changing in (["read_file"], []):
        state = rebuilt(begun(*act()), changing=changing)
        (step,) = state.steps(state.tasks["t1"])
        assert step.changes == bool(changing)


def test_the_steps_of_a_task_are_those_of_its_last_attempt() -> None:
    again = at(0, ev.TaskStarted, task="t1", attempt=2)
    state = rebuilt(begun(*act("c1", seen="old"), again, *act("c2", seen="new")))

    assert [step.text for step in state.steps(state.tasks["t1"])] == ["new"]
    assert [one.call for one in state.acts()] == ["c1", "c2"]


# -- tasks -----------------------------------------------------------------------------------------


def over(status: str = "done", task: str = "t1") -> Any:
    return at(0, ev.TaskFinished, task=task, status=status, result="It is so.", evidence=("c1",))


def fold(*more: Any) -> AgentState:
    return rebuilt(begun(*more))


def test_a_task_that_is_over_has_its_result_and_is_none_that_is_worked_on() -> None:
    assert fold().current == fold().tasks["t1"]
    state = fold(*act(), over())

    assert state.current is None
    assert state.tasks["t1"].result == "It is so."
    assert state.tasks["t1"].evidence == ("c1",)
    assert state.spent.tasks == 1
    assert state.unplanned == ("t1", ())
    assert state.told(at(0, ev.TasksOrdered, order=())).unplanned is None


def test_after_a_task_that_was_dropped_nobody_asks_what_is_missing() -> None:
    assert fold(over("dropped")).unplanned is None


def failed(**more: Any) -> Any:
    about = {"task": "t1", "check": "shown", "fault": "no tool has shown it", "result": "4711"}
    return at(0, ev.CheckFailed, **{**about, **more})


def test_a_result_that_is_sent_back_stays_in_the_attempt() -> None:
    state = fold(failed(final=False))

    assert state.objections(state.tasks["t1"]) == 1
    assert state.rejected is None
    again = state.told(at(0, ev.TaskStarted, task="t1", attempt=2))
    assert again.objections(again.tasks["t1"]) == 0


def test_a_rejection_is_open_until_something_is_made_of_it() -> None:
    state = fold(failed())

    assert state.rejected is not None
    assert not state.taught
    taught = state.told(at(0, ev.LessonLearned, task="t1", lesson="Look first."))
    assert taught.taught
    assert taught.lessons == ("Look first.",)
    assert taught.rejected is not None
    ends: Iterable[Any] = (
        at(0, ev.TaskStarted, task="t1", attempt=2),
        over("failed"),
        at(0, ev.TaskAdded, task="t2", text="Mend it"),
    )
    assert [taught.told(end).rejected for end in ends] == [None] * 3
    assert not taught.told(failed()).taught


def test_only_a_check_of_the_objective_counts_as_one() -> None:
    assert fold(failed()).failed_checks == 0
    assert fold(failed(task="")).failed_checks == 1


def test_limits_come_from_outside() -> None:
    assert rebuilt([], limits=Limits(total=7)).tasks.limits.total == 7
