"""Questions and answers in the journal's file: shared by processes, and there after all of them."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agentkit.errors import MachineError, UnknownName, UserError
from agentkit.journal import Journal, file
from agentkit.permissions import Access, Request, Rule
from agentkit.toolbox.grants import rule_covers

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def asked(id: str = "abc234", **more: object) -> Request:
    made = Request(
        id=id, run="run-1", tool="t", arguments={"a": 1}, key=id,
        accesses=(Access("reads", "/a"),), asked=NOON,
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path)
    yield journal
    journal.close()


def other_process(code: str, *arguments: object) -> str:
    """What another process prints."""
    head = (
        "import sys; from pathlib import Path; from agentkit.journal import Journal; "
        "desk = Journal(Path(sys.argv[1])).desk; "
    )
    done = subprocess.run(
        [sys.executable, "-c", head + code, *map(str, arguments)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


# -- questions -------------------------------------------------------------------------------------


def test_a_question_is_found_by_its_id_also_after_it_was_used(journal: Journal) -> None:
    desk = journal.desk
    desk.file(asked())
    desk.answer("abc234", "once")
    desk.use("abc234")
    found = desk.find("abc234")
    assert (found.answer, found.used, found.arguments) == ("once", True, {"a": 1})
    with pytest.raises(UnknownName, match="did you mean") as caught:
        desk.find("abc235")
    assert caught.value.hint == "agentkit approvals list"


def test_questions_are_listed_the_newest_first(journal: Journal) -> None:
    for number in range(5):
        shifted = NOON + timedelta(milliseconds=500 * number)
        journal.desk.file(asked(f"id-{number}", asked=shifted))
    journal.desk.answer("id-3", "no")
    assert [one.id for one in journal.desk.requests()] == [f"id-{n}" for n in (4, 3, 2, 1, 0)]
    assert [one.id for one in journal.desk.requests(open_only=True)] == [
        "id-4", "id-2", "id-1", "id-0",
    ]  # fmt: skip
    assert [one.id for one in journal.desk.requests(limit=2)] == ["id-4", "id-3"]


def test_a_question_outlives_its_process(journal: Journal, path: Path) -> None:
    journal.desk.file(asked(question="Red?", choices=("red",)))
    code = "desk.answer('abc234', 'red'); print([r.question for r in desk.requests()])"
    assert other_process(code, path) == "['Red?']"
    assert journal.desk.file(asked()).answer == "red"


def test_an_answer_that_another_process_used_is_used(journal: Journal, path: Path) -> None:
    journal.desk.file(asked())
    journal.desk.answer("abc234", "once")
    other_process("desk.use('abc234')", path)
    with pytest.raises(UserError, match="acted upon already"):
        journal.desk.use("abc234")


def test_two_processes_that_ask_the_same_at_once_file_one_question(path: Path) -> None:
    """Whoever looks holds the file until the question is in it."""
    journal, statements = Journal(path), list[str]()
    with journal._database.read() as connection:
        assert isinstance(connection, sqlite3.Connection)
        connection.set_trace_callback(lambda text: statements.append(text.split()[0]))
    journal.desk.file(asked())
    assert statements == ["PRAGMA", "BEGIN", "SELECT", "INSERT", "COMMIT"]
    journal.close()


@pytest.mark.parametrize("bad", ["half \ud800", "caf\udce9"])
def test_what_is_no_unicode_is_kept_as_well_as_it_can_be(journal: Journal, bad: str) -> None:
    arguments = {"path": bad}
    access = Access("reads", f"/a/{bad}")
    journal.desk.file(asked(arguments=arguments, accesses=(access,), question=bad, choices=(bad,)))
    journal.desk.answer("abc234", bad)
    found = journal.desk.find("abc234")
    assert (found.arguments, found.accesses, found.choices) == (arguments, (access,), (bad,))
    assert found.question == found.answer == bad.encode("utf-8", "backslashreplace").decode()


def test_a_rule_about_a_name_that_is_no_unicode_covers_no_other_file(journal: Journal) -> None:
    folder = os.fsdecode(b"/home/x/caf\xe9")
    journal.desk.remember([Rule("t", "reads", folder, "allow")])
    (rule,) = journal.desk.rules()
    for other in (b"/home/x/caf?", b"/home/x/caf", b"/home/x/caf\xea", "/home/x/café".encode()):
        assert not rule_covers(rule, Access("reads", os.fsdecode(other) + "/a"))


# -- rules -----------------------------------------------------------------------------------------


def test_rules_are_shared_and_forgotten_by_tool(journal: Journal, path: Path) -> None:
    rules = [Rule("t", "reads", "/a", "allow"), Rule("t", "executes", "*", "deny"),
             Rule("u", "executes", "*", "allow")]  # fmt: skip
    journal.desk.remember(rules)
    assert other_process("print(len(desk.rules()), desk.forget('t'))", path) == "3 2"
    assert journal.desk.rules() == [rules[2]]
    assert journal.desk.forget("nothing") == 0


def test_a_journal_that_somebody_holds_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "BUSY_SECONDS", 0.05)
    journal = Journal(path)
    holder = sqlite3.connect(path)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(MachineError, match="locked") as caught:
        journal.desk.file(asked())
    assert "another agentkit holds it" in (caught.value.hint or "")
    holder.close()
    journal.close()
