"""An agent as it is drawn in a terminal, after each event."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from agentkit import events as ev
from agentkit.cli.agent_view import Picture
from agentkit.messages import Usage

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)

WHERE: dict[str, Any] = {"run": "run-1", "step": "agent", "time": NOON}


def drawn(*events: ev.Event, width: int = 80) -> list[str]:
    picture = Picture(clock=lambda: NOON)
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
        "  0/12 tasks · 0/40 steps · 0/200,000 tokens · 0 seconds",
    ]


def test_a_call_is_shown_and_then_what_came_of_it() -> None:
    calling = [*BEGINNING, asked(1200, 200, 34), act("list_files", path="post", recursive=True)]

    assert drawn(*calling)[1:] == [
        '      list_files(path="post", recursive=true)',
        "  0/12 tasks · 0/40 steps · 1,034/200,000 tokens · 0 seconds",
    ]
    assert drawn(*calling, seen("a.txt\nb.txt\n"))[1:] == [
        '      list_files(path="post", recursive=true)',
        "      returned: a.txt b.txt",
        "  0/12 tasks · 1/40 steps · 1,034/200,000 tokens · 0 seconds",
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
        "  3/12 tasks · 0 steps · 0 tokens · 0 seconds",
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
    assert len(lines) == (5 if width == 40 else 4)  # what was spent goes on in another line
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
        "  1 tasks · 0 steps · 0 tokens · 0 seconds",
    ]


# -- the clock -------------------------------------------------------------------------------------


def at(seconds: float, kind: type[ev.AgentEvent], **about: Any) -> ev.Event:
    return kind(**{**WHERE, "time": NOON + timedelta(seconds=seconds)}, **about)


BEGUN = at(0, ev.AgentStarted, objective="Count", model="m", tools=(),
           budget={"steps": 40, "seconds": 1800})  # fmt: skip
NOTED = at(30, ev.NoteGiven, text="Be quick.")


def spent(picture: Picture, seconds: float) -> str:
    """What is shown as spent at a moment."""
    picture.clock = lambda: NOON + timedelta(seconds=seconds)
    console = Console(width=100, file=StringIO(), color_system=None)
    console.print(picture)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()[-1].strip()


def heard(*events: ev.Event) -> Picture:
    picture = Picture()
    for event in events:
        picture.hear(event)
    return picture


def test_seconds_go_on_between_two_events() -> None:
    picture = heard(BEGUN)
    counted = "0 tasks · 0/40 steps · 0 tokens · {}/1,800 seconds"
    assert spent(picture, 7.9) == counted.format(7)
    picture.hear(NOTED)
    assert spent(picture, 30) == counted.format(30)
    assert spent(picture, 1230) == counted.format("1,230")


def test_seconds_stop_when_it_ends() -> None:
    picture = heard(BEGUN, at(50, ev.AgentFinished, reason="done", answer="5", report="5"))

    assert spent(picture, 900).endswith("50/1,800 seconds")


def test_a_run_that_goes_on_has_its_budget_and_what_it_has_spent() -> None:
    """And the night between is none of it."""
    told = [BEGUN, at(10, ev.TaskAdded, task="t1", text="Count them"), NOTED]
    picture = heard(*told)
    picture.wait()
    assert spent(picture, 40_000).endswith("0/40 steps · 0 tokens · 30/1,800 seconds")

    picture.hear(at(40_000, ev.AgentResumed))
    picture.hear(at(40_001, ev.TaskStarted, task="t1", attempt=1))

    assert spent(picture, 40_005).endswith("0/40 steps · 0 tokens · 35/1,800 seconds")
    assert picture.tasks == {"t1": ("running", "Count them")}


def test_what_is_told_twice_counts_once() -> None:
    """The service tells of a run from its beginning."""
    told = [BEGUN, task("t1", "Count"), over("t1", "done"), NOTED]

    assert spent(heard(*told, *told), 30) == spent(heard(*told), 30)
