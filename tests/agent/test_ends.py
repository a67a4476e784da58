"""Whatever ends an agent, or interrupts it: there is a report, the reason is on record, and nothing
that was learned is lost.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from agentkit import ToolContext
from agentkit import events as ev
from agentkit.agent import guard
from agentkit.agent.budget import Budget
from agentkit.cancel import CancelToken
from agentkit.errors import (
    AgentkitError,
    Cancelled,
    Fenced,
    MachineError,
    ModelError,
    ToolRetry,
    UserError,
)
from agentkit.testing import ScriptedMemory

from .player import Asked, Died, Player, Stage, after, call, stubborn

READ = ("read_file", {"path": "a.txt"})


def code(stage: Stage) -> None:
    stage.file("a.txt", "The code is 4711.")


# -- what ends it ----------------------------------------------------------------------------------


@dataclass
class Raises:
    """A check that cannot be made."""

    error: Exception
    name: str = "check"

    def fault(self, answer: Any) -> str:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [UserError("no such name"), MachineError("the disk is full"), ValueError("a bug of ours")],
)
def test_a_check_that_cannot_be_made_leaves_a_report(stage: Stage, error: Exception) -> None:
    code(stage)

    with pytest.raises(type(error), match=str(error)):
        stage.pursue(
            Player(after(READ, answer="It is 4711.")), "Find the code", checks=(Raises(error),)
        )

    assert "It failed" in stage.report
    assert "It is 4711. [" in stage.report


def test_a_machine_that_fails_leaves_a_report(stage: Stage) -> None:
    with pytest.raises(MachineError, match="no memory"):
        stage.pursue(Player(lambda about: MachineError("no memory is left")), "Look around")

    assert "It failed" in stage.report


def test_a_model_that_cannot_even_be_loaded_leaves_a_report(stage: Stage) -> None:
    class Missing(Player):
        @property
        def context_tokens(self) -> int:
            raise MachineError("its file is gone")

        @context_tokens.setter
        def context_tokens(self, tokens: int) -> None:
            """It is never known."""

    with pytest.raises(MachineError, match="gone"):
        stage.pursue(Missing(), "Look around")

    assert "It failed" in stage.report


def test_a_run_that_another_process_has_taken_over_writes_nothing(stage: Stage) -> None:
    with pytest.raises(Fenced):
        stage.pursue(Player(lambda about: Fenced("run-1")), "Look around")

    assert not (stage.home / "report.md").exists()
    assert stage.told(ev.AgentFinished) == []


def test_a_run_that_is_asked_to_park_is_not_over(stage: Stage) -> None:
    def move(about: Asked) -> Any:
        stage.cancel.cancel(parks=True)
        return "Too late."

    with pytest.raises(Cancelled):
        stage.pursue(Player(move), "Look around")

    assert not (stage.home / "report.md").exists()
    assert stage.told(ev.AgentFinished) == []


def fails(stage: Stage) -> Any:
    return ModelError("the model is gone")


def cancels(stage: Stage) -> Any:
    stage.cancel.cancel()
    return "Too late."


@pytest.mark.parametrize(("how", "reason"), [(fails, "failed"), (cancels, "cancelled")])
def test_the_reason_is_on_record_and_it_can_go_on(stage: Stage, how: Any, reason: str) -> None:
    code(stage)

    def move(about: Asked) -> Any:
        if about.task == "Find the code":
            return after(READ, answer="It is 4711.")(about)
        return how(stage)

    player = Player(move, complete="no", more={"tasks": ["Look again"]})
    with pytest.raises(AgentkitError):
        stage.pursue(player, "Find the code")

    (end,) = stage.told(ev.AgentFinished)
    assert (end.reason, end.answer) == (reason, "It is 4711.")
    assert end.report == stage.report

    stage.cancel = CancelToken()
    result = stage.pursue(Player("Nothing else is there."), "Find the code")

    assert (result.reason, result.tasks) == ("done", 2)
    assert [end.reason for end in stage.told(ev.AgentFinished)] == [reason, "done"]
    assert stage.pursue(Player(), "Find the code") == result, "now it is over"


def test_what_is_done_with_the_last_of_a_budget_is_done(stage: Stage) -> None:
    code(stage)
    player = Player(after(READ, answer="It is 4711."))

    result = stage.pursue(player, "Find the code", budget=Budget(tasks=1))

    assert (result.answer, result.reason) == ("It is 4711.", "done")


def test_but_not_if_a_check_says_that_it_is_not(stage: Stage) -> None:
    code(stage)
    player = Player(after(READ, answer="It is 4711."), check="no")

    result = stage.pursue(player, "Find it", checks=("Is it?",), budget=Budget(tasks=1))

    assert result.reason == "tasks"


def test_nor_if_there_was_no_room_for_what_is_missing(stage: Stage) -> None:
    code(stage)
    more = {"tasks": ["Find the other code"]}
    player = Player(after(READ, answer="It is 4711."), complete="no", more=more)

    result = stage.pursue(player, "Find both codes", budget=Budget(tasks=1))

    assert result.reason == "tasks"


# -- a power cut -----------------------------------------------------------------------------------


class Deadly(ScriptedMemory):
    """The process dies before anything is kept."""

    def save(self, text: str, *, source: str, metadata: Mapping[str, Any] | None = None) -> str:
        raise Died


@pytest.mark.parametrize("checks", [(), ("Is it 4711?",)])
def test_a_lesson_outlives_a_process_that_died_before_it_was_kept(
    stage: Stage, checks: tuple[str, ...]
) -> None:
    code(stage)

    def move(about: Asked) -> Any:
        if about.must:
            return stubborn("list_files")(about)
        return after(READ, answer="It is 4711." if checks else "It is 9999.")(about)

    player = Player(move, lesson="Read the second file.", check="no")
    budget = Budget(attempts=1 if checks else 2)  # no other lesson comes after it
    stage.services.memories = Deadly()
    with pytest.raises(Died):
        stage.pursue(player, "Find the code", checks=checks, budget=budget)
    (lesson,) = stage.told(ev.LessonLearned)

    stage.services.memories = ScriptedMemory()
    stage.pursue(player, "Find the code", checks=checks, budget=budget)

    (kept,) = stage.services.memories.search(lesson.lesson)
    assert kept.metadata["kind"] == "lesson"


# -- the clock -------------------------------------------------------------------------------------


def sleep(seconds: float, *, context: ToolContext) -> str:
    """Sleep."""
    context.cancel.wait(seconds)
    return "It is morning."


def test_a_call_ends_when_the_time_is_up(stage: Stage) -> None:
    stage.functions.append(sleep)
    player = Player(after(("sleep", {"seconds": 60})), answer="There was no time.")
    began = time.monotonic()

    result = stage.pursue(player, "Sleep", ("sleep",), budget=Budget(seconds=0.3))

    assert time.monotonic() - began < 20
    assert (result.reason, result.answer) == ("seconds", "There was no time.")
    (seen,) = stage.acted("sleep")
    assert seen.status == guard.UNKNOWN
    assert "the time was up" in seen.observation


def test_a_call_that_a_person_cancels_is_no_call_whose_time_was_up(stage: Stage) -> None:
    def wait(context: ToolContext) -> str:
        """Wait."""
        stage.cancel.cancel("a person said so")
        context.cancel.check()
        return "never"

    stage.functions.append(wait)

    with pytest.raises(Cancelled, match="a person said so"):
        stage.pursue(Player(after(("wait", {}))), "Wait", ("wait",))

    assert stage.acted("wait") == []


# -- circles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("guarded", [True, False])
def test_an_error_that_comes_again_is_told_before_it_ends_a_task(
    stage: Stage, guarded: bool
) -> None:
    def ring(door: str) -> str:
        """Ring."""
        raise ToolRetry("nobody is there")

    stage.functions.append(ring)
    player = Player(lambda about: call("ring", door=f"door {len(about.made)}"))
    without = frozenset() if guarded else frozenset({"guard"})

    stage.pursue(player, "Ring", ("ring",), without=without, budget=Budget(attempts=1))

    told = [guard.WARNED[False] in seen.observation for seen in stage.acted("ring")]
    assert told == ([False, True, False] if guarded else [False] * len(told))
    assert len(told) == (guard.SAME_ERROR if guarded else Budget().steps_per_task)


def test_a_result_that_comes_again_is_told_before_it_ends_a_task(stage: Stage) -> None:
    def find(what: str) -> str:
        """Find something."""
        return "nothing"

    stage.functions.append(find)
    player = Player(lambda about: call("find", what=f"thing {len(about.made)}"))

    stage.pursue(player, "Find it", ("find",), budget=Budget(attempts=1))

    told = [guard.WARNED[True] in seen.observation for seen in stage.acted("find")]
    assert told == [False, True, False, False]
