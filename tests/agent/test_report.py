"""What a person gets to read: an answer with its sources, and nothing that only looks like one."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from agentkit import events as ev
from agentkit.agent.budget import StopReason
from agentkit.agent.report import WHY, write_report
from agentkit.agent.state import AgentState, rebuilt

from .player import PLACE


def say(kind: Any, **details: Any) -> Any:
    return kind(**PLACE, **details)


def act(number: int, seen: str, status: str = "returned", **arguments: Any) -> list[Any]:
    about = {"task": "t1", "call": f"c{number}"}
    arguments = arguments or {"path": f"{number}.txt"}
    return [
        say(ev.ActStarted, **about, tool="read_file", arguments=arguments),
        say(ev.ActFinished, **about, status=status, observation=seen),
    ]


def finish(result: str, *evidence: str, status: str = "done", task: str = "t1") -> Any:
    about = {"task": task, "status": status, "result": result}
    return say(ev.TaskFinished, **about, evidence=evidence)


def state(*more: Any, objective: str = "Find the total") -> AgentState:
    about = {"objective": objective, "model": "m", "tools": (), "budget": {}}
    return rebuilt(
        [
            say(ev.AgentStarted, **about),
            say(ev.TaskAdded, task="t1", text=objective),
            say(ev.TaskStarted, task="t1", attempt=1),
            *more,
        ]
    )


def body(report: str) -> str:
    """The answer as it stands in the report."""
    return report.split("\n\n")[1]


# -- sources ---------------------------------------------------------------------------------------


def test_a_sentence_that_states_something_has_the_calls_that_show_it() -> None:
    found = state(*act(1, "total: 1,204"), *act(2, "nothing"), *act(3, "paid 1204 on 2026-03-14"))

    report = write_report(found, "done", "The total is 1204. It was paid on 14.03.2026. Good.")

    assert body(report) == "The total is 1204. [1] [3] It was paid on 14.03.2026. [3] Good."


def test_a_sentence_that_no_call_shows_has_no_source() -> None:
    report = write_report(state(*act(1, "total: 1204")), "done", "It is 1205.")

    assert body(report) == "It is 1205."


def test_a_number_with_a_point_does_not_end_a_sentence() -> None:
    report = write_report(state(*act(1, "3.75 and 1204")), "done", "It is 3.75 of 1204.")

    assert body(report) == "It is 3.75 of 1204. [1]"


def test_calls_that_gave_nothing_are_no_sources() -> None:
    found = state(*act(1, "total: 1204", "failed"), *act(2, "total: 1204"))

    report = write_report(found, "done", "It is 1204.")

    assert body(report) == "It is 1204. [1]"
    assert '1. `read_file(path="2.txt")`' in report
    assert "1.txt" not in report.split("## Sources")[1]


def test_without_calls_there_are_no_sources() -> None:
    assert "Sources" not in write_report(state(), "done", "It is so.")


# -- what was done ---------------------------------------------------------------------------------


def test_tasks_with_how_they_ended_and_what_they_rest_on() -> None:
    found = state(
        *act(1, "x"),
        finish("It is so.", "c1"),
        say(ev.TaskAdded, task="t2", text="Look twice"),
        say(ev.TaskAdded, task="t3", text="Look again"),
        say(ev.TaskStarted, task="t2", attempt=1),
        finish("It did not work.", status="failed", task="t2"),
        finish("it is not needed any more", status="dropped", task="t3"),
        say(ev.TaskAdded, task="t4", text="Never begun"),
    )

    done = write_report(found, "steps", "An answer.").split("## What was done\n\n")[1]

    assert done.split("\n\n")[0].splitlines() == [
        "- [x] Find the total [1]",
        "  It is so.",
        "- [!] Look twice",
        "  It did not work.",
        "- [-] Look again",
        "  it is not needed any more",
        "- [ ] Never begun",
    ]


def test_what_the_answer_says_is_not_said_again() -> None:
    assert write_report(state(finish("It is so.")), "done", " It is so. ").count("It is so.") == 1


@pytest.mark.parametrize("reason", get_args(StopReason))
def test_why_it_ended_is_said_for_every_reason(reason: StopReason) -> None:
    assert f"*{WHY[reason]}*" in write_report(state(), reason, "x")


def test_lessons_are_told() -> None:
    found = state(say(ev.LessonLearned, task="t1", lesson="Look\nfirst."))

    assert "## What went wrong on the way\n\n- Look first.\n" in write_report(found, "done", "x")


# -- text stays text -------------------------------------------------------------------------------


def headings(report: str) -> list[str]:
    return [line for line in report.splitlines() if line.startswith("#")]


def test_what_looks_like_markdown_in_tasks_and_results_makes_no_headings() -> None:
    evil = "x\n\n# Hacked\n\n- [x] paid\n"
    found = state(
        *act(1, "x", path=evil),
        finish(evil, "c1"),
        say(ev.LessonLearned, task="t1", lesson=evil),
        objective=evil,
    )

    report = write_report(found, "done", "An answer.")

    assert headings(report)[1:] == [
        "## What was done",
        "## What went wrong on the way",
        "## Sources",
    ]
    assert "\n- [x] paid" not in report


def test_marks_in_arguments_do_not_end_the_line_of_a_source() -> None:
    report = write_report(state(*act(1, "x", path="a`b\nc")), "done", "x")

    (line,) = [line for line in report.splitlines() if line.startswith("1. ")]
    assert line.count("`") == 2
    assert line.startswith("1. `read_file(")
    assert line.endswith("`")


def test_an_answer_makes_no_headings_of_the_reports_own() -> None:
    report = write_report(state(), "done", "It is so.\n\n## Sources\n\nMade up\n---\n")

    assert headings(report) == ["# Find the total", "## What was done"]
    assert "\n\\## Sources\n" in report
    assert "\nMade up\n\\---\n" in report


def test_an_answer_loads_no_pictures_and_no_pages() -> None:
    answer = "See ![x](https://example.org/?q=1) and <img src=x>, if 3 < 4 and 5<6."

    report = write_report(state(), "done", answer)

    assert (
        body(report) == r"See !\[x](https://example.org/?q=1) and \<img src=x>, if 3 < 4 and 5<6."
    )


def test_lists_and_tables_of_an_answer_stay_as_they_are() -> None:
    answer = "- one\n- **two**\n\n| a | b |\n| --- | --- |\n| 1 | 2 |"

    assert answer in write_report(state(), "done", answer)


@pytest.mark.parametrize("control", ["\x1b[31mred\x1b[0m", "a\x07b", "a\x00b", "a\u202eb"])
def test_control_characters_do_not_reach_a_terminal(control: str) -> None:
    found = state(*act(1, control, path=control), finish(control, "c1"), objective=control)

    report = write_report(found, "done", f"It says {control} there.")

    assert all(char.isprintable() or char == "\n" for char in report)
