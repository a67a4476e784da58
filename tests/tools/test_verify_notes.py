"""What a model noted stays only as far as it was said."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import ToolError

Call = Callable[..., Any]


def lines(*texts: str) -> list[dict[str, Any]]:
    return [
        {"number": n, "start": 10.0 * n, "end": 10.0 * n + 9, "text": text, "window": 0}
        for n, text in enumerate(texts, start=1)
    ]


def task(who: str, what: str, due: str = "") -> dict[str, Any]:
    return {"tasks": [{"who": who, "what": what, "due": due}]}


def test_a_task_that_was_said_stays_with_its_quote_and_time(call: Call) -> None:
    said = lines("Well, good. Anna, can you book the train by Friday? I hope so.")

    found = call("verify_notes", lines=said, notes=[task("Anna", "book the train.", "Friday")])

    assert found == {
        "tasks": [
            {
                "kind": "tasks",
                "what": "book the train",
                "who": "Anna",
                "due": "Friday",
                "quote": "can you book the train by Friday?",
                "start": 10.0,
                "line": 1,
                "doubts": [],
            }
        ],
        "decisions": [],
        "open_questions": [],
        "dropped": [],
        "unread": [],
    }


def dropped(call: Call, text: str, note: dict[str, Any]) -> str:
    """The reason for which the only note was dropped."""
    found = call("verify_notes", lines=lines(text), notes=[note])
    assert found["tasks"] == found["decisions"] == found["open_questions"] == []
    (entry,) = found["dropped"]
    assert entry["line"] == 1
    return str(entry["reason"])


@pytest.mark.parametrize(
    ("text", "note", "reason"),
    [
        ("Can you book the train?", task("Anna", "book the train"), "Anna is not in the line"),
        ("We should book a train.", task("us", "book a train"), "meant for nobody in particular"),
        ("Somebody should clean up the cellar.", task("somebody", "clean up the cellar"), "nobody"),
        ("Anna, book the train.", task("Anna", "paint the blue door"), "only 0 of its 3 words"),
        ("Anna, book it.", task("Anna", "book it"), "says too little"),
        ("Good morning.", {"decisions": ["we buy the new printer"]}, "only 0 of its 3 words"),
        ("Agreed, yes.", {"decisions": ["yes"]}, "says too little"),
        ("Is the hall free?", {"unknown": ["whether the hall is free"]}, "is a question"),
        ("The hall is free.", {"unknown": ["the price of tickets"]}, "only 0 of its 2 words"),
    ],
)
def test_what_was_not_said_is_dropped_with_its_reason(
    call: Call, text: str, note: dict[str, Any], reason: str
) -> None:
    assert reason in dropped(call, text, note)


def test_what_is_said_to_be_open_stays_open(call: Call) -> None:
    said = lines("We still do not know whether the hall is free.")

    found = call("verify_notes", lines=said, notes=[{"unknown": ["whether the hall is free"]}])

    assert [note["what"] for note in found["open_questions"]] == ["whether the hall is free"]


def test_a_date_that_was_not_said_is_taken_off_and_flagged(call: Call) -> None:
    said = lines("Anna, please book the train soon.")

    (note,) = call("verify_notes", lines=said, notes=[task("Anna", "book the train", "Friday")])[
        "tasks"
    ]

    assert (note["due"], note["doubts"]) == ("", ["'Friday' was not said"])


@pytest.mark.parametrize("who", ["", "I", "me", "We"])
def test_a_speaker_who_is_not_known_is_flagged(call: Call, who: str) -> None:
    said = lines("I will book the train, for me and the group, we go.")

    (note,) = call("verify_notes", lines=said, notes=[task(who, "book the train")])["tasks"]

    assert (note["who"], note["doubts"]) == ("", ["who speaks here is not known"])


def test_a_later_line_replaces_an_earlier_one(call: Call) -> None:
    said = lines(
        "Anna, book the train by Friday.",
        "Bob, print the tickets.",
        "No, Anna, book the train by Monday.",
    )
    notes = [
        task("Anna", "book the train", "Friday"),
        task("Bob", "print the tickets"),
        task("Anna", "book the train", "Monday"),
    ]

    found = call("verify_notes", lines=said, notes=notes)

    assert [(n["who"], n["due"], n["line"]) for n in found["tasks"]] == [
        ("Bob", "", 2),
        ("Anna", "Monday", 3),
    ]
    assert [(d["line"], d["reason"]) for d in found["dropped"]] == [(1, "line 3 says it again")]


def test_the_same_task_of_two_people_is_two_tasks(call: Call) -> None:
    said = lines("Anna, book the train.", "Bob, book the train.")
    notes = [task("Anna", "book the train"), task("Bob", "book the train")]

    assert len(call("verify_notes", lines=said, notes=notes)["tasks"]) == 2


def test_words_may_differ_in_their_ending(call: Call) -> None:
    said = lines("Starting in May, the shop stays closed on Sundays.")

    found = call("verify_notes", lines=said, notes=[{"decisions": ["closing the shop on Sunday"]}])

    assert [note["what"] for note in found["decisions"]] == ["closing the shop on Sunday"]


def test_a_line_without_an_answer_is_counted_as_unread(call: Call) -> None:
    """`on_error: continue` leaves null where a prompt failed."""
    found = call("verify_notes", lines=lines("Hello.", "Bye."), notes=[None, {}])

    assert found == {
        "tasks": [],
        "decisions": [],
        "open_questions": [],
        "dropped": [],
        "unread": [1],
    }


def test_notes_must_be_as_many_as_lines(call: Call) -> None:
    with pytest.raises(ToolError):
        call("verify_notes", lines=lines("Hello."), notes=[])


WORDS = st.sampled_from(
    "Anna Bob book train print tickets agreed Friday the a we you. by May 3rd, not? know; it's é "
    "! ... , 10:30 große (soon)".split()
)
SPOKEN = st.lists(WORDS, min_size=1, max_size=14).map(" ".join)
NAMES = st.sampled_from(["", "Anna", "Bob", "I", "somebody", "Anna and Bob", "Eve"])
NOTES = st.fixed_dictionaries(
    {
        "tasks": st.lists(
            st.fixed_dictionaries({"who": NAMES, "what": SPOKEN, "due": st.just("") | WORDS}),
            max_size=2,
        ),
        "decisions": st.lists(SPOKEN, max_size=2),
        "unknown": st.lists(SPOKEN, max_size=2),
    }
)


@given(st.lists(st.tuples(SPOKEN, st.none() | NOTES), max_size=5))
def test_whatever_a_model_notes(
    call_anywhere: Call, meeting: list[tuple[str, dict[str, Any] | None]]
) -> None:
    """A quote is always words of its line; no person and no date was made up; nothing is lost."""
    said = lines(*(text for text, _ in meeting))

    found = call_anywhere("verify_notes", lines=said, notes=[notes for _, notes in meeting])

    kept = [*found["tasks"], *found["decisions"], *found["open_questions"]]
    for note in kept:
        text = meeting[note["line"] - 1][0]
        assert note["quote"]
        assert note["quote"] in text
        assert note["start"] == 10.0 * note["line"]
        assert set(note["who"].lower().split()) <= set(text.lower().replace(",", " ").split())
        assert note["due"].lower().strip(".,;?!()") in text.lower()
    noted = sum(len(kind) for _, notes in meeting if notes for kind in notes.values())
    assert len(kept) + len(found["dropped"]) == noted
    assert json.loads(json.dumps(found)) == found


def test_a_quote_has_the_time_of_its_first_word_where_words_have_times(call: Call) -> None:
    text = "All right, then Sam will paint the doors by tomorrow."
    words = [
        {"start": 10.0 + n, "end": 10.5 + n, "text": word} for n, word in enumerate(text.split())
    ]
    line = {"number": 1, "start": 10.0, "end": 20.0, "text": text, "words": words}
    note = {"who": "Sam", "what": "paint the doors", "due": "tomorrow"}

    found = call("verify_notes", lines=[line], notes=[{"tasks": [note]}])["tasks"][0]

    assert found["quote"].startswith("then Sam")
    assert found["start"] == 12.0


def test_marks_are_no_person_and_no_date(call: Call) -> None:
    line = {"number": 1, "start": 0.0, "end": 1.0, "text": "Sam will paint the doors."}

    def kept(who: str, due: str) -> list[dict[str, Any]]:
        note = {"who": who, "what": "paint the doors", "due": due}
        return list(call("verify_notes", lines=[line], notes=[{"tasks": [note]}])["tasks"])

    assert kept("?", "") == []
    assert kept("Sam", "...")[0]["due"] == ""
