"""Letters to runs: read once, in order, by the run that they are for, whoever wrote them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentkit.errors import MachineError
from agentkit.events import RunStarted
from agentkit.journal import Journal
from agentkit.letters import Letter

OTHER = """\
import sys
from pathlib import Path
from agentkit.journal import Journal
from agentkit.letters import Letter
journal = Journal(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    journal.mailbox.post("run-1", Letter("note", f"{sys.argv[3]} {number}"))
journal.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    journal = Journal(path)
    for run in ("run-1", "run-2"):
        journal.record(RunStarted(run=run, workflow="w", source="s", definition="", inputs={}))
    yield journal
    journal.close()


def test_letters_are_read_once_and_in_the_order_in_which_they_came(journal: Journal) -> None:
    sent = [Letter("note", "one"), Letter("add", "two"), Letter("pause"), Letter("note", "one")]
    for letter in sent:
        journal.mailbox.post("run-1", letter)

    assert list(journal.mailbox.take("run-1")) == sent
    assert list(journal.mailbox.take("run-1")) == []


def test_a_letter_over_which_a_reader_dies_is_there_for_the_next_one(journal: Journal) -> None:
    sent = [Letter("note", "one"), Letter("note", "two"), Letter("note", "three")]
    for letter in sent:
        journal.mailbox.post("run-1", letter)

    reader = journal.mailbox.take("run-1")
    assert [next(reader), next(reader)] == sent[:2]
    reader.close()  # while it does what the second one says

    assert list(journal.mailbox.take("run-1")) == sent[1:]


def test_kinds_that_were_not_asked_for_wait(journal: Journal) -> None:
    for letter in (Letter("cancel"), Letter("drop", "t1"), Letter("note", "a")):
        journal.mailbox.post("run-1", letter)

    assert list(journal.mailbox.take("run-1", "note", "drop")) == [
        Letter("drop", "t1"), Letter("note", "a")
    ]  # fmt: skip
    assert list(journal.mailbox.take("run-1", "cancel")) == [Letter("cancel")]


def test_nobody_reads_the_letters_of_others(journal: Journal) -> None:
    journal.mailbox.post("run-1", Letter("note", "for the first"))

    assert list(journal.mailbox.take("run-2")) == []
    assert list(journal.mailbox.take("run-1")) == [Letter("note", "for the first")]


def test_there_is_no_letter_to_a_run_that_never_was(journal: Journal) -> None:
    with pytest.raises(MachineError, match="FOREIGN KEY"):
        journal.mailbox.post("run-3", Letter("note"))


@pytest.mark.parametrize("text", ["", "Grüße 🐟", "two\nlines", "x" * 100_000, "a\x00b"])
def test_any_text_arrives_as_it_is(journal: Journal, text: str) -> None:
    journal.mailbox.post("run-1", Letter("note", text))
    assert list(journal.mailbox.take("run-1")) == [Letter("note", text)]


def test_half_a_character_does_not_stop_the_rest(journal: Journal) -> None:
    journal.mailbox.post("run-1", Letter("note", "half \ud83d of it"))
    assert list(journal.mailbox.take("run-1")) == [Letter("note", "half ? of it")]


def test_letters_of_several_processes_arrive_all_while_they_are_read(
    journal: Journal, path: Path
) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", OTHER, str(path), "20", name]) for name in "ab"
    ]
    got = list[Letter]()
    while any(writer.poll() is None for writer in writers):
        got += list(journal.mailbox.take("run-1"))
    got += list(journal.mailbox.take("run-1"))

    assert [writer.returncode for writer in writers] == [0, 0]
    for name in "ab":
        mine = [letter.text for letter in got if letter.text.startswith(name)]
        assert mine == [f"{name} {number}" for number in range(20)]
    assert len(got) == 40
