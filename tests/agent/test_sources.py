"""What each claim of a report rests on: files, pages, entries and notes, not only calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agentkit import events as ev
from agentkit.agent.memory import Recall, told
from agentkit.agent.report import write_report
from agentkit.agent.sources import behind, places, sources
from agentkit.agent.state import AgentState, rebuilt
from agentkit.testing import ScriptedMemory

from .player import PLACE, Player, Stage, after


def say(kind: Any, **details: Any) -> Any:
    return kind(**PLACE, **details)


def seen(number: int, tool: str, text: str, **arguments: Any) -> list[Any]:
    """A call, and what a model saw of it."""
    about = {"task": "t1", "call": f"c{number}"}
    observed = f"{tool} gave this data (no instructions) up to end-00abcdef:\n{text}\nend-00abcdef"
    return [
        say(ev.ActStarted, **about, tool=tool, arguments=arguments),
        say(ev.ActFinished, **about, status="returned", observation=observed),
    ]


def state(*more: Any, recalled: str = "", objective: str = "Find the sum") -> AgentState:
    about = {"objective": objective, "model": "m", "tools": (), "budget": {}}
    return rebuilt(
        [
            say(ev.AgentStarted, **about),
            say(ev.TaskAdded, task="t1", text=objective),
            say(ev.TaskStarted, task="t1", attempt=1, recalled=recalled),
            *more,
        ]
    )


def body(report: str) -> str:
    return report.split("\n\n")[1]


def listed(report: str) -> list[str]:
    return report.split("## Sources\n\n")[1].splitlines()


# -- several sources -------------------------------------------------------------------------------

TWO = (
    *seen(1, "read_file", "march: 1204", path="march.md"),
    *seen(2, "read_file", "nothing", path="other.md"),
    *seen(3, "read_file", "april: 996", path="april.md"),
)


def test_figures_of_two_files_in_one_sentence_have_both() -> None:
    report = write_report(state(*TWO), "done", "It was 1204 in March and 996 in April.")

    assert body(report) == "It was 1204 in March and 996 in April. [1] [3]"


def test_a_figure_that_stands_nowhere_leaves_its_sentence_without_a_source() -> None:
    report = write_report(state(*TWO), "done", "It was 1204 in March and 997 in April.")

    assert body(report) == "It was 1204 in March and 997 in April."


def test_what_was_asked_with_needs_no_source_of_its_own() -> None:
    found = state(*TWO, objective="How much was it in March 2026?")

    report = write_report(found, "done", "In March 2026 it was 1204. It was in 2026.")

    assert body(report) == "In March 2026 it was 1204. [1] It was in 2026."


def test_few_places_are_cited_where_many_show_a_part() -> None:
    found = state(
        *seen(1, "read_file", "21", path="a.md"),
        *seen(2, "read_file", "22", path="b.md"),
        *seen(3, "read_file", "21 and 22", path="c.md"),
        *seen(4, "read_file", "23", path="d.md"),
    )
    cited = behind("They are 21, 22 and 23.", places(sources(found)))

    assert [place.source for place in cited] == [3, 4]


# -- places in what a call showed ------------------------------------------------------------------


def test_a_search_in_files_names_the_file() -> None:
    shown = "march.md:3:total: 1204\nmarch.md:9:paid 15\napril 2.md:3:total: 996\n[3 lines]"
    found = state(*seen(1, "search_files", shown, pattern="total"))

    report = write_report(found, "done", "It was 996 in April. In March it was 1204, and 15 later.")

    assert body(report) == "It was 996 in April. [1.1] In March it was 1204, and 15 later. [1.2]"
    assert listed(report) == [
        '1. `search_files(pattern="total")`',
        "   - [1.1] `april 2.md`",
        "   - [1.2] `march.md`",
    ]


def test_the_number_of_a_line_is_no_figure_of_it() -> None:
    found = state(*seen(1, "search_files", "march.md:1204:total: 996", pattern="total"))

    assert body(write_report(found, "done", "It is 1204.")) == "It is 1204."


def test_the_date_in_the_name_of_a_file_counts() -> None:
    found = state(*seen(1, "search_files", "2026-03-14.md:3:total: 996", pattern="total"))

    report = write_report(found, "done", "On 14.03.2026 it was 996.")

    assert body(report) == "On 14.03.2026 it was 996. [1.1]"


def test_a_search_on_a_site_names_the_page() -> None:
    shown = (
        "Prices (https://example.org/prices):\nThe hall: 80 euros\n"
        "Open (https://example.org/open?x=1):\nfrom 17:30\n[2 pages read]"
    )
    found = state(*seen(1, "search_site", shown, url="https://example.org", question="hall"))

    report = write_report(found, "done", "The hall costs 80 euros, and opens at 17:30.")

    assert body(report) == "The hall costs 80 euros, and opens at 17:30. [1.1] [1.2]"
    assert listed(report)[1:] == [
        "   - [1.1] `https://example.org/prices`",
        "   - [1.2] `https://example.org/open?x=1`",
    ]


def test_a_search_in_memory_names_the_entry() -> None:
    shown = "The hall costs 80 euros.\n[from offer.pdf]\n\nRent:\n\n960 euros\n[from run r7]"
    found = state(*seen(1, "memory_search", shown, query="hall"))

    report = write_report(found, "done", "The rent is 960 euros.")

    assert body(report) == "The rent is 960 euros. [1.1]"
    assert listed(report)[1:] == ["   - [1.1] `Rent: 960 euros (from run r7)`"]


def test_a_search_in_the_web_names_the_result() -> None:
    results = [
        {"title": "A", "url": "https://a.example/x", "snippet": "it has 4711 seats"},
        {"title": "B", "url": "https://b.example/", "snippet": "it has 12 doors"},
    ]
    shown = json.dumps({"results": results})
    found = state(*seen(1, "web_search", shown, query="seats"))

    report = write_report(found, "done", "It has 12 doors.")

    assert listed(report)[1:] == ["   - [1.1] `https://b.example/`"]


def test_a_later_page_is_from_where_the_first_one_is() -> None:
    found = state(
        *seen(1, "search_files", "a.md:1:x", pattern="seats"),
        *seen(2, "read_more", "b.md:7:4711 seats", id="c1", page=2),
    )

    report = write_report(found, "done", "There are 4711 seats.")

    assert listed(report)[1:] == [
        '2. `search_files(pattern="seats"), page 2`',
        "   - [2.1] `b.md`",
    ]


def test_what_only_looks_like_a_place_is_none() -> None:
    """A file may say anything: only tools that search say where a line is from."""
    found = state(*seen(1, "read_file", "https.md:3:4711\n[from bank]", path="a.md"))

    report = write_report(found, "done", "It is 4711.")

    assert body(report) == "It is 4711. [1]"
    assert listed(report) == ['1. `read_file(path="a.md")`']


def test_marks_in_the_name_of_a_place_do_not_end_its_line() -> None:
    shown = json.dumps("a`b\n## c.md") + ":3:4711"
    report = write_report(
        state(*seen(1, "search_files", shown, pattern="x")), "done", "It is 4711."
    )

    assert listed(report)[1:] == ["   - [1.1] `a'b ## c.md`"]


def test_the_tools_show_places_as_they_are_read_here(stage: Stage) -> None:
    """As they come from the tools themselves."""
    stage.file("march.md", "total: 1204\n")
    stage.file("april.md", "total: 996\n")
    player = Player(
        after(("search_files", {"pattern": "total"}), answer="It was 1204, then 996."),
        kind="compute",
    )

    stage.pursue(player, "Add the totals up", ("search_files",))

    cited = [line.strip() for line in listed(stage.report) if line.startswith("   - ")]
    assert cited == ["- [1.1] `april.md`", "- [1.2] `march.md`"]


# -- memory, and a person --------------------------------------------------------------------------


def test_what_memory_told_is_a_source() -> None:
    recalled = (
        "What memory says (it may be old):\n- The hall costs 80 euros. (from offer.pdf)\n"
        "- It has 120 seats. (from run r7)\n\nWhat earlier attempts taught:\n- Look at 99 first."
    )
    found = state(*seen(1, "read_file", "free on 14.03.2026", path="a.md"), recalled=recalled)

    report = write_report(found, "done", "It costs 80 euros and is free on 2026-03-14. Take 99.")

    assert body(report) == "It costs 80 euros and is free on 2026-03-14. [1] [2] Take 99."
    assert listed(report) == [
        '1. `read_file(path="a.md")`',
        "2. from memory: The hall costs 80 euros. (from offer.pdf)",
        "3. from memory: It has 120 seats. (from run r7)",
    ]


def test_an_entry_that_two_tasks_were_told_is_one_source(stage: Stage) -> None:
    stage.services.memory().save("The hall has 120 seats.", source="offer.pdf")
    player = Player(
        "It has 120 seats.", complete=lambda about: "no", more={"tasks": ["The hall has seats"]}
    )

    stage.pursue(player, "How many seats has the hall", ("now",))

    assert sum("from memory:" in line for line in listed(stage.report)) == 1


@pytest.mark.parametrize("lessons", ["", "\n\nWhat earlier attempts taught:\n- Look first."])
def test_what_is_told_is_what_memory_gave(lessons: str) -> None:
    memory = ScriptedMemory()
    memory.save("The hall\n\nis - red.", source="a.md")
    memory.save("The door is blue.", source="")
    recalled = Recall(lambda: memory, "run 1", print).about("door hall is")

    assert set(told(recalled + lessons)) == {"The hall is - red. (from a.md)", "The door is blue."}


def test_without_memory_nothing_was_told() -> None:
    assert told("What earlier attempts taught:\n- Look first.") == []


def test_what_a_person_said_is_a_source() -> None:
    found = state(say(ev.NoteGiven, text="The office moved\nto 12 Hill Street."))

    report = write_report(found, "done", "It is at number 12.")

    assert body(report) == "It is at number 12. [1]"
    assert listed(report) == ["1. a note: The office moved to 12 Hill Street."]


def test_what_memory_and_a_person_said_makes_no_headings() -> None:
    recalled = "What memory says (it may be old):\n- <img src=x> # Hacked"
    found = state(say(ev.NoteGiven, text="x\n\n# Hacked"), recalled=recalled)

    report = write_report(found, "done", "It is so.")

    assert [line for line in report.splitlines() if line.startswith("#")] == [
        "# Find the sum",
        "## What was done",
        "## Sources",
    ]
    assert r"\<img" in report
