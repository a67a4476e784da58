"""What failed checks have taught stands in the prompt of the next attempt: the newest of it."""

from __future__ import annotations

from typing import Any

from agentkit import events as ev
from agentkit.agent.budget import Budget
from agentkit.agent.loop import LESSONS

from .player import Asked, Player, Stage

TAUGHT = "What earlier attempts taught:"


class Never:
    """A check that no answer passes, each time for another reason."""

    name = "never"
    times = 0

    def fault(self, answer: Any) -> str:
        self.times += 1
        return f"fault number {self.times}"


def test_only_the_newest_three_lessons_stand_in_the_prompt_of_an_agent(stage: Stage) -> None:
    said = iter(f"Lesson {letter}." for letter in "ABCDEFGH")

    def lesson(about: Asked) -> str:
        return next(said)

    player = Player("It is so.", lesson=lesson)

    stage.pursue(player, "Look around", checks=(Never(),), budget=Budget(attempts=6))

    learned = [event.lesson for event in stage.told(ev.LessonLearned)]
    assert len(learned) > LESSONS + 1 == 4
    started = stage.told(ev.TaskStarted)
    for number, start in enumerate(started):
        before = learned[max(0, number - LESSONS) : number]
        _, _, told = start.recalled.partition(f"{TAUGHT}\n")
        assert told.splitlines() == [f"- {one}" for one in before]
    last = player.phases("move")[-1].request.messages
    (prompt,) = [one.content for one in last if started[-1].recalled in one.content]
    assert "Lesson A." not in prompt
