"""The conversation is only appended to, until it has to be made shorter."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from agentkit import events as ev
from agentkit.agent.state import AgentState, rebuilt
from agentkit.agent.transcript import EASED, FULL, KEPT, SHORT, SHORTER, eased, listed, messages
from agentkit.letters import Letter

from .player import PLACE, Asked, Player, Stage, after, call, continues, stem

LONG = "word " * 200


def say(kind: Any, **details: Any) -> Any:
    return kind(**PLACE, **details)


def begin(task: str = "t1", text: str = "Find it", attempt: int = 1, recalled: str = "") -> Any:
    return say(ev.TaskStarted, task=task, attempt=attempt, recalled=recalled)


def act(number: int, task: str = "t1", seen: str = LONG) -> list[Any]:
    about = {"task": task, "call": f"c{number}"}
    arguments = {"path": f"{number}.txt"}
    return [
        say(ev.ActStarted, **about, tool="read_file", arguments=arguments),
        say(ev.ActFinished, **about, status="returned", observation=f"{number}: {seen}"),
    ]


def finish(task: str, result: str) -> Any:
    return say(ev.TaskFinished, task=task, status="done", result=result)


def state(*more: Any) -> AgentState:
    about = {"objective": "Find it", "model": "m", "tools": (), "budget": {}}
    added = [
        say(ev.TaskAdded, task=f"t{n}", text=text) for n, text in ((1, "Find it"), (2, "Tell"))
    ]
    return rebuilt([say(ev.AgentStarted, **about), *added, *more])


def shown(state: AgentState) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in messages(state, "Be good.")]


def size(state: AgentState) -> int:
    return sum(len(message.content.split()) for message in messages(state, ""))


# -- a run -----------------------------------------------------------------------------------------


def test_every_question_of_a_run_begins_like_the_one_before(stage: Stage) -> None:
    for name in "abc":
        stage.file(f"{name}.txt", f"This is {name}.")
    stage.services.mail.append(Letter("note", "Be quick."))

    def move(about: Asked) -> Any:
        name = about.task[-1] if about.task.startswith("Read") else "a"
        done = any(made.tool == "read_file" for made in about.made)
        return f"This is {name}." if done else call("read_file", path=f"{name}.txt")

    def more(about: Asked) -> Any:
        return {"tasks": ["Read b", "Read c"]}

    player = Player(
        move, complete=lambda about: "yes" if "Read c" in about.text else "no", more=more
    )

    stage.pursue(player, "Look at all files")

    assert len(stage.told(ev.TaskFinished)) == 3
    requests = player.requests
    assert len(requests) > 8
    for one, next_ in pairwise(requests):
        assert continues(one, next_)
    assert len({request.messages[0] for request in requests}) == 1


def test_what_is_asked_at_the_end_is_not_kept(stage: Stage) -> None:
    stage.file("a.txt", "This is a.")
    player = Player(after(("read_file", {"path": "a.txt"}), answer="This is a."))

    stage.pursue(player, "Look at a.txt")

    assert player.phases("complete")
    questions = [about.question for about in player.asked if about.phase != "move"]
    told = "\n".join(message.content for message in stem(player.requests[-1]))
    assert not any(question in told for question in questions)


def test_no_two_turns_of_a_person_stand_in_a_row(stage: Stage) -> None:
    stage.file("a.txt", "This is a.")
    stage.services.mail += [Letter("note", "Be quick."), Letter("note", "Be good.")]
    player = Player(
        after(("read_file", {"path": "a.txt"}), answer="This is a."),
        complete=lambda about: "yes" if "twice" in about.text else "no",
        more={"tasks": ["Look twice"]},
    )

    stage.pursue(player, "Look at a.txt")

    assert "Be quick." in player.asked[-1].text
    for request in player.requests:
        roles = [message.role for message in request.messages]
        assert ("user", "user") not in list(pairwise(roles))
        assert roles[0] == "system"


def test_a_question_after_a_turn_of_the_person_stands_in_that_turn(stage: Stage) -> None:
    player = Player("It is so.")

    stage.pursue(player, "Tell how it is", ("write_file",))

    (first,) = player.phases("kind")
    assert [message.role for message in first.request.messages] == ["system", "user"]
    assert first.question.startswith("Objective: Tell how it is\n\n")


# -- what stands in it -----------------------------------------------------------------------------


def test_the_objective_is_said_once() -> None:
    assert shown(state(begin())) == [("system", "Be good."), ("user", "Objective: Find it")]


def test_what_memory_says_stands_with_the_task_and_not_before() -> None:
    told = shown(state(begin(recalled="It may be in a.txt.")))

    assert told[0] == ("system", "Be good.")
    assert told[1][1] == "Objective: Find it\n\nTask: Find it\n\nIt may be in a.txt."


def test_a_call_is_a_turn_of_the_model_and_its_result_one_of_the_tool() -> None:
    told = messages(state(begin(), *act(1, seen="text")), "Be good.")

    (made,) = told[2].tool_calls
    assert (made.id, made.name, made.arguments) == ("c1", "read_file", '{"path": "1.txt"}')
    assert (told[3].role, told[3].content, told[3].tool_call_id) == ("tool", "1: text", "c1")


def test_notes_and_objections_are_turns_of_the_person() -> None:
    fault = {"task": "t1", "check": "shown", "fault": "Not shown.", "result": "4711"}
    told = shown(
        state(
            begin(),
            *act(1, seen="text"),
            say(ev.CheckFailed, **fault, final=False),
            say(ev.NoteGiven, text="Be quick."),
        )
    )

    assert told[-2] == ("assistant", "4711")
    assert told[-1] == (
        "user",
        "This is not accepted: Not shown.\n\nNote from the person: Be quick.",
    )


def test_an_attempt_that_was_followed_by_another_one_is_gone() -> None:
    told = shown(
        state(
            begin(),
            *act(1, seen="old"),
            begin(attempt=2, recalled="What earlier attempts taught:\n- Look twice."),
            *act(2, seen="new"),
        )
    )

    texts = "\n".join(text for _, text in told)
    assert "old" not in texts
    assert "1.txt" not in texts
    assert "Look twice." in texts
    assert "new" in texts


def test_other_tasks_stay_when_an_attempt_is_gone() -> None:
    told = shown(
        state(
            begin(), *act(1, seen="kept"), finish("t1", "It is so."),
            begin("t2"), *act(2, "t2", seen="old"),
            begin("t2", attempt=2), *act(3, "t2", seen="new"),
        )
    )  # fmt: skip

    texts = [text for _, text in told]
    assert "1: kept" in texts
    assert "It is so." in texts
    assert "2: old" not in texts
    assert "3: new" in texts


# -- making it shorter -----------------------------------------------------------------------------


def full(acts: int = 8) -> AgentState:
    return state(begin(), *[event for n in range(acts) for event in act(n)])


def test_what_fits_stays_as_it_is() -> None:
    busy = full()

    assert eased(busy, size, int(size(busy) / FULL) + 1) is None


def test_the_oldest_observations_are_shown_in_short_and_many_at_once() -> None:
    busy = full()
    room = size(busy)

    shorter = eased(busy, size, room)

    assert shorter is not None
    assert size(shorter) <= room * EASED
    one_less = replace(shorter, short_observations=shorter.short_observations - 1)
    assert size(one_less) > room * EASED
    assert shorter.short_tasks == 0
    seen = [message.content for message in messages(shorter, "") if message.role == "tool"]
    count = shorter.short_observations
    assert 0 < count < len(seen)
    assert all(len(text) <= SHORT for text in seen[:count])
    assert all(text == f"{n}: {LONG}" for n, text in enumerate(seen) if n >= count)
    assert seen[0].startswith("0: word")


def test_the_newest_observations_are_never_shown_in_short() -> None:
    shorter = eased(full(), size, 60)

    assert shorter is not None
    seen = [message.content for message in messages(shorter, "") if message.role == "tool"]
    assert [len(text) > SHORT for text in seen] == [False] * (8 - KEPT) + [True] * KEPT


def test_an_observation_that_is_short_already_stays_whole() -> None:
    busy = state(begin(), *act(1, seen="little"), *act(2), *act(3), *act(4), *act(5))

    shorter = eased(busy, size, size(busy))

    assert shorter is not None
    assert shorter.short_observations > 1
    assert ("tool", "1: little") in shown(shorter)


def test_if_that_is_not_enough_only_the_results_are_left_of_finished_tasks() -> None:
    words = [event for n in range(30) for event in act(n, seen="a few words that stay whole")]
    busy = state(
        begin(), *words, finish("t1", "It is so."), begin("t2"), *act(90, "t2"), *act(91, "t2")
    )
    room = size(busy) - 50

    shorter = eased(busy, size, room)

    assert shorter is not None
    assert shorter.short_tasks == 1
    told = shown(shorter)
    assert ("assistant", "It is so.") in told
    assert not any(text.startswith("7: ") for _, text in told)
    assert any(text.startswith("91: ") for _, text in told)
    assert size(shorter) <= room * FULL


def test_and_in_the_end_the_results_are_shown_in_short_too_the_oldest_first() -> None:
    busy = state(
        begin(), *act(1), finish("t1", f"first {LONG}"), begin("t2"), finish("t2", f"last {LONG}")
    )

    shorter = eased(busy, size, 320)

    assert shorter is not None
    assert (shorter.short_tasks, shorter.short_results) == (2, 1)
    first, last = [text for role, text in shown(shorter) if role == "assistant" and text]
    assert first.startswith("first word")
    assert len(first) <= SHORT
    assert last == f"last {LONG}"


def test_a_list_of_results_is_as_long_as_it_may_be_and_the_oldest_are_cut_first() -> None:
    done = [(f"task {n}", f"{n} {LONG}end {n}") for n in range(3)]
    whole = listed(done, lambda text: True)

    def within(most: int) -> list[str]:
        return listed(done, lambda text: len(text) <= most).splitlines()

    assert whole.splitlines() == [f"- {task}: {result}" for task, result in done]
    assert within(len(whole)) == whole.splitlines()
    oldest, *others = within(len(whole) - 1)
    assert others == whole.splitlines()[1:]
    assert oldest.startswith("- task 0: 0 word")
    assert oldest.endswith("end 0")
    assert len(oldest) < len(others[0])
    assert all(len(line) < SHORTER[-1] + 20 for line in within(10))


def test_what_was_shown_in_short_is_not_shown_in_full_again() -> None:
    busy = replace(full(), short_observations=5)

    assert eased(busy, size, 10**6) is None
    shorter = eased(busy, size, 60)
    assert shorter is not None
    assert shorter.short_observations == 8 - KEPT


def test_what_cannot_be_made_shorter_is_left() -> None:
    busy = state(begin(), *act(1), *act(2))

    assert eased(busy, size, 10) is None


@pytest.mark.parametrize("acts", [5, 12])
def test_what_was_made_shorter_fits(acts: int) -> None:
    busy = full(acts)
    once = eased(busy, size, size(busy))

    assert once is not None
    assert eased(once, size, size(busy)) is None
