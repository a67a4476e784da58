"""What every `Desk` promises; run on each adapter.

An adapter joins by a branch in the fixture.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import UnknownName, UserError
from agentkit.journal import Journal
from agentkit.permissions import Access, Request, Rule
from agentkit.ports import Desk
from agentkit.testing import ScriptedDesk

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

ASKED = Request(
    id="abc234",
    run="run-1",
    tool="write_file",
    arguments={"path": "/a/ü", "nested": {"list": [1, None, True, "\ud800"]}},
    key="key-1",
    accesses=(Access("writes", "/a/ü"), Access("executes")),
    asked=NOON,
)
QUESTION = replace(
    ASKED, id="def567", key="key-2", accesses=(), question="Red?\nOr blue?", choices=("red", "blue")
)


@pytest.fixture(params=["scripted", "journal"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    if request.param == "scripted":
        yield ScriptedDesk()
    else:
        journal = Journal(tmp_path / "journal.sqlite")
        yield journal.desk
        journal.close()


# -- questions -------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [ASKED, QUESTION], ids=["call", "question"])
def test_a_question_comes_back_as_it_was_filed(desk: Desk, asked: Request) -> None:
    assert desk.file(asked) == asked
    assert desk.file(replace(asked, id="other1", asked=NOON + timedelta(1))) == asked


def test_the_same_question_of_the_same_run_is_filed_once(desk: Desk) -> None:
    desk.file(ASKED)
    for other in (replace(ASKED, id="b", run="run-2"), replace(ASKED, id="c", key="key-9")):
        assert desk.file(other) == other
    assert desk.file(replace(ASKED, id="d")).id == ASKED.id


def test_an_answer_is_there_when_the_same_is_asked_again(desk: Desk) -> None:
    desk.file(ASKED)
    desk.answer(ASKED.id, "once")
    answered = desk.file(replace(ASKED, id="other1"))
    assert (answered.id, answered.answer, answered.used) == (ASKED.id, "once", False)
    assert answered.answered is not None
    assert answered.answered.tzinfo is not None


def test_an_answer_that_was_used_does_not_count_again(desk: Desk) -> None:
    desk.file(ASKED)
    desk.answer(ASKED.id, "once")
    desk.use(ASKED.id)
    again = replace(ASKED, id="other1")
    assert desk.file(again) == again


def test_an_answer_is_used_by_one(desk: Desk) -> None:
    desk.file(ASKED)
    desk.answer(ASKED.id, "once")
    desk.use(ASKED.id)
    with pytest.raises(UserError, match="abc234 was acted upon already"):
        desk.use(ASKED.id)


def test_the_first_answer_counts(desk: Desk) -> None:
    desk.file(ASKED)
    desk.answer(ASKED.id, "no")
    with pytest.raises(UserError, match="abc234 has an answer already: no"):
        desk.answer(ASKED.id, "once")
    assert desk.file(ASKED).answer == "no"


@pytest.mark.parametrize(
    "text", ["", "two\nlines", "ü 漢字", "'; drop table requests; --", "x" * 9000]
)
def test_an_answer_in_words_is_kept_as_it_is(desk: Desk, text: str) -> None:
    desk.file(QUESTION)
    desk.answer(QUESTION.id, text)
    assert desk.file(QUESTION).answer == text


@pytest.mark.parametrize("do", ["answer", "use"])
def test_a_question_that_there_is_not_is_told_with_the_nearest(desk: Desk, do: str) -> None:
    desk.file(ASKED)
    arguments = ("abc243", "once")[: 2 if do == "answer" else 1]
    with pytest.raises(UnknownName, match=r"no request named 'abc243'\. did you mean \"abc234\""):
        getattr(desk, do)(*arguments)


def test_many_threads_that_ask_the_same_file_one_question(desk: Desk) -> None:
    start, found = threading.Barrier(8), list[str]()

    def ask(number: int) -> None:
        start.wait()
        found.append(desk.file(replace(ASKED, id=f"id-{number}")).id)

    _together(ask, 8)
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize("do", ["answer", "use"])
def test_of_many_threads_one_answers_and_one_uses(desk: Desk, do: str) -> None:
    desk.file(ASKED)
    if do == "use":
        desk.answer(ASKED.id, "once")
    start, came = threading.Barrier(8), list[bool]()

    def act(number: int) -> None:
        start.wait()
        try:
            getattr(desk, do)(*((ASKED.id, "once") if do == "answer" else (ASKED.id,)))
            came.append(True)
        except UserError:
            came.append(False)

    _together(act, 8)
    assert sorted(came) == [False] * 7 + [True]


def _together(work: Any, count: int) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# -- rules -----------------------------------------------------------------------------------------

NOTES = Rule("read_file", "reads", "/home/x/notes", "allow")
SHELL = Rule("run_shell", "executes", "*", "allow")
WEB = Rule("fetch_url", "network", "example.org:443", "deny")


def test_at_first_nothing_is_remembered(desk: Desk) -> None:
    assert desk.rules() == []
    desk.remember([])
    assert desk.rules() == []


def test_what_is_remembered_is_there_the_newest_first(desk: Desk) -> None:
    for rule in (NOTES, SHELL, WEB):
        desk.remember([rule])
    assert desk.rules() == [WEB, SHELL, NOTES]


def test_a_newer_answer_about_the_same_thing_replaces_the_older(desk: Desk) -> None:
    desk.remember([NOTES])
    desk.remember([SHELL])
    never = replace(NOTES, verdict="deny")
    desk.remember([never])
    assert desk.rules() == [never, SHELL]


def test_answers_about_other_things_stay_apart(desk: Desk) -> None:
    others = [
        NOTES,
        replace(NOTES, tool="write_file"),
        replace(NOTES, effect="writes"),
        replace(NOTES, pattern="/home/x/notes/deep"),
        replace(NOTES, pattern="/home/X/notes"),
    ]
    desk.remember(others)
    assert set(desk.rules()) == set(others)


def test_several_answers_are_remembered_together(desk: Desk) -> None:
    desk.remember([NOTES, SHELL, NOTES])
    assert sorted(rule.tool for rule in desk.rules()) == ["read_file", "run_shell"]
