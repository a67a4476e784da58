"""An agent as it is drawn in a terminal, after each event."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from agentkit import events as ev
from agentkit.cli.agent_view import Picture
from agentkit.messages import Usage

WHERE: dict[str, Any] = {"run": "run-1", "step": "agent"}


def drawn(*events: ev.Event, width: int = 80) -> list[str]:
    picture = Picture()
    for event in events:
        picture.hear(event)
    console = Console(width=width, file=StringIO(), color_system=None)
    console.print(picture)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def start(**budget: int) -> ev.Event:
    return ev.AgentStarted(
        **WHERE, objective="Count", model="m", tools=("now",), budget={"tasks": 12, **budget}
    )


def task(name: str, text: str) -> ev.Event:
    return ev.TaskAdded(**WHERE, task=name, text=text)


def began(name: str, attempt: int = 1) -> ev.Event:
    return ev.TaskStarted(**WHERE, task=name, attempt=attempt)


def act(tool: str, **arguments: Any) -> ev.Event:
    return ev.ActStarted(**WHERE, task="t1", call="abc234", tool=tool, arguments=arguments)


def seen(text: str, status: str = "returned") -> ev.Event:
    return ev.ActFinished(**WHERE, task="t1", call="abc234", status=status, observation=text)


def over(name: str, status: Any, result: str = "Found.") -> ev.Event:
    return ev.TaskFinished(**WHERE, task=name, status=status, result=result)


def asked(prompt: int, cached: int, written: int) -> ev.Event:
    usage = Usage(prompt_tokens=prompt, cached_tokens=cached, completion_tokens=written)
    return ev.ModelAsked(**WHERE, phase="move", usage=usage)


BEGINNING = [start(steps=40, tokens=200_000), task("t1", "Count the letters"), began("t1")]


def test_at_the_beginning_it_thinks() -> None:
    assert drawn(*BEGINNING) == [
        "  ▸ t1 Count the letters",
        "      thinks",
        "  0/12 tasks · 0/40 steps · 0/200,000 tokens",
    ]


def test_a_call_is_shown_and_then_what_came_of_it() -> None:
    calling = [*BEGINNING, asked(1200, 200, 34), act("list_files", path="post", recursive=True)]

    assert drawn(*calling)[1:] == [
        '      list_files(path="post", recursive=true)',
        "  0/12 tasks · 0/40 steps · 1,034/200,000 tokens",
    ]
    assert drawn(*calling, seen("a.txt\nb.txt\n"))[1:] == [
        '      list_files(path="post", recursive=true)',
        "      returned: a.txt b.txt",
        "  0/12 tasks · 1/40 steps · 1,034/200,000 tokens",
    ]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            ev.CheckFailed(**WHERE, task="t1", check="shown", fault="no tool has shown this: 7"),
            "rejected: no tool has shown this: 7",
        ),
        (ev.LessonLearned(**WHERE, task="t1", lesson="Count by a program."),
         "learned: Count by a program."),
        (ev.NoteGiven(**WHERE, text="Only the\nsmall ones."), "note: Only the small ones."),
    ],
)  # fmt: skip
def test_what_it_hears_is_shown(event: ev.Event, line: str) -> None:
    assert drawn(*BEGINNING, event)[2] == f"      {line}"


def test_another_attempt_is_counted() -> None:
    assert drawn(*BEGINNING, began("t1", 2))[1] == "      attempt 2"


def test_each_state_of_a_task_has_its_mark() -> None:
    events = [
        start(),
        *(task(f"t{n}", f"Task {n}") for n in range(1, 6)),
        over("t1", "done"),
        over("t2", "failed"),
        over("t3", "dropped"),
        began("t4"),
    ]
    assert drawn(*events) == [
        "  ✓ t1 Task 1",
        "  ✗ t2 Task 2",
        "  - t3 Task 3",
        "  ▸ t4 Task 4",
        "      thinks",
        "      Found.",
        "  · t5 Task 5",
        "  3/12 tasks · 0 steps · 0 tokens",
    ]


def test_of_a_long_list_the_newest_are_shown() -> None:
    lines = drawn(start(), *(task(f"t{n}", f"Task {n}") for n in range(1, 12)))
    assert lines[0] == "  3 more above"
    assert lines[1] == "  · t4 Task 4"
    assert len(lines) == 1 + 8 + 1


@pytest.mark.parametrize("width", [40, 80])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    long = "many words " * 40
    events = [start(), task("t1", long), began("t1"), act("now", text=long), seen(long)]
    lines = drawn(*events, width=width)
    assert len(lines) == 4
    assert max(map(len, lines)) <= width
    assert lines[0].endswith("…")


def test_what_a_tool_said_cannot_draw() -> None:
    """No escapes, no marks of direction, no markup of ours."""
    evil = "\x1b[2J\x1b[H\rgone \u202egnorw [bold]loud[/bold]\x07"
    lines = drawn(start(), task("t1", evil), began("t1"), act("now", text=evil), seen(evil))
    assert lines[0] == "  ▸ t1 [2J [H gone gnorw [bold]loud[/bold]"
    assert not {"\x1b", "\r", "\x07", "\u202e"} & set("".join(lines))


def test_a_run_that_goes_on_is_drawn_from_what_it_tells_now() -> None:
    """It did not hear what lies before: tasks have no text, and no limits are known."""
    assert drawn(began("t2"), act("now"), over("t2", "done")) == [
        "  ✓ t2 t2",
        "  1 tasks · 0 steps · 0 tokens",
    ]
