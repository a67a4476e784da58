"""Every objective of `bench.agent` can be solved, and its check tells right from wrong."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from agentkit.config import shipped
from agentkit.errors import UnknownName, UserError
from agentkit.toolbox import Toolbox
from agentkit.toolbox.sources import FolderSource
from bench.agent.answers import says, says_date, says_number, says_unknown
from bench.agent.objective import SITE, Objective, names
from bench.agent.objectives import FAMILIES, OBJECTIVES, chosen
from bench.agent.players.borrowed import ToolFault, borrowed
from bench.agent.records import Record, Records
from bench.agent.site import PAGES, served
from bench.agent.tables import line, summary
from bench.agent.world import world

every_objective = pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda one: one.name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


@every_objective
def test_the_right_outcome_is_accepted(objective: Objective, folder: Path) -> None:
    objective.prepare(folder)
    answer = objective.solve(folder)
    assert objective.check(folder, answer) == ""


@every_objective
def test_a_mistake_is_not(objective: Objective, folder: Path) -> None:
    objective.prepare(folder)
    answer = objective.mistake(folder)
    assert objective.check(folder, answer)


@every_objective
def test_to_do_nothing_is_wrong(objective: Objective, folder: Path) -> None:
    objective.prepare(folder)
    assert objective.check(folder, "")


@every_objective
def test_words_alone_do_not_change_files(objective: Objective, folder: Path) -> None:
    """Who only says that it is done has not done it."""
    objective.prepare(folder)
    assert objective.check(folder, "I have done what you asked for.")


@every_objective
def test_nothing_but_an_empty_folder_is_wrong_as_well(objective: Objective, folder: Path) -> None:
    """A check does not fail where somebody has removed everything."""
    assert objective.check(folder, "It is done.")


@every_objective
def test_preparing_is_the_same_each_time(
    objective: Objective, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    objective.prepare(folder)
    objective.prepare(other)
    assert names(folder) == names(other) == set(objective.files)
    assert all((folder / n).read_bytes() == (other / n).read_bytes() for n in names(folder))


@every_objective
def test_its_tools_are_shipped(objective: Objective) -> None:
    there = Toolbox([FolderSource(shipped("tools"), "shipped")]).names()
    assert set(objective.tools) <= set(there)


def test_names_are_unique_and_begin_with_the_family() -> None:
    assert len({one.name for one in OBJECTIVES}) == len(OBJECTIVES) >= 32
    assert all(one.name.startswith(f"{one.family}-") for one in OBJECTIVES)
    assert len(FAMILIES) == len({one.family for one in OBJECTIVES})


def test_objectives_are_chosen_by_name_and_by_family() -> None:
    assert chosen([]) == OBJECTIVES
    found = chosen(["notes-rent", "plain"])
    assert found[0].name == "notes-rent"
    assert {one.family for one in found} == {"notes", "plain"}
    with pytest.raises(UnknownName, match="notes-rent"):
        chosen(["note-rent"])


def test_the_address_of_the_site_is_put_into_the_sentence() -> None:
    asked = [one.at("http://127.0.0.1:1").ask for one in OBJECTIVES]
    assert not any(SITE in ask for ask in asked)
    assert any("http://127.0.0.1:1/" in ask for ask in asked)


def test_the_site_has_twenty_pages_that_links_lead_to() -> None:
    with served() as address:
        seen, waiting = set[str](), ["/"]
        while waiting:
            path = waiting.pop()
            if path not in seen:
                seen.add(path)
                with urlopen(address + path, timeout=10) as answer:
                    waiting += re.findall(r"href='([^']*)'", answer.read().decode())
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"{address}/elsewhere", timeout=10)
    assert seen == {f"/{page}" for page in PAGES}
    assert len(seen) == 20


# -- how an answer is read -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        "1204.5",
        "1204.50",
        "1,204.50",
        "EUR 1204.50",
        "EUR1,204.50.",
        "€1,204.50",
        "It is **1 204.50 EUR**, due on the third (it was 1,150.00 before).",
        "The rent: 1204.50/month",
    ],
)
def test_a_number_is_read_however_it_is_written(answer: str) -> None:
    assert says_number(answer, "1204.50") == ""


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "1204",
        "12,045.0",
        "-1204.50",
        "IMG_1204.50",
        "X-1204.50",
        "31204.50",
        "1,204.505",
        "n/a",
    ],
)
def test_another_number_is_not(answer: str) -> None:
    assert says_number(answer, "1204.50")


def test_numbers_may_be_words_and_may_be_rounded() -> None:
    assert says_number("There are twelve.", 12) == ""
    assert says_number("18.62", "18.624", within="0.005") == ""
    assert says_number("18.6", "18.62", within="0.005")


def test_an_answer_that_names_them_all_says_nothing() -> None:
    assert "numbers" in says_number(" ".join(map(str, range(40))), 12)
    assert "too" in says_number("either 12 or 14", 12, but=[14])
    assert "dump" in says("lamp " * 1000, "lamp")
    assert "too" in says("Ann, Tom or Ola", "Ann", others=["Tom", "Ola"])
    assert says("Ann, who followed Tom", "Ann", others=["Tom", "Ola"]) == ""


@pytest.mark.parametrize(
    "answer",
    ["2026-05-15", "15 May", "15 May 2026", "May 15, 2026", "on the 15th of May", "15.05.2026",
     "15.5.", "5/15/2026", "15/05/2026", "Friday, 15 May 2026 (it was 30 April 2026)"],
)  # fmt: skip
def test_a_date_is_read_however_it_is_written(answer: str) -> None:
    assert says_date(answer, date(2026, 5, 15)) == ""


@pytest.mark.parametrize("answer", ["", "15 May 2025", "30 April 2026", "May 2026", "15"])
def test_another_date_is_not(answer: str) -> None:
    assert says_date(answer, date(2026, 5, 15))


@pytest.mark.parametrize(
    "answer",
    ["The notes do not say it.", "I couldn't find it.", "There is no such invoice.", "Unknown.",
     "It isn’t mentioned anywhere.", "Nothing about it."],
)  # fmt: skip
def test_that_something_is_not_there_can_be_said_in_many_ways(answer: str) -> None:
    assert says_unknown(answer, r"\d+") == ""


@pytest.mark.parametrize("answer", ["", "It is 5.", "I do not know, maybe 5.", "It is blue."])
def test_what_is_made_up_is_not_restraint(answer: str) -> None:
    assert says_unknown(answer, r"\d+")


# -- what is played with, and what is kept of it ---------------------------------------------------


def test_tools_that_are_lent_keep_to_the_folder_and_reach_the_site(folder: Path) -> None:
    (chosen_one,) = chosen(["editing-json"])
    calls: list[str] = []
    with world() as around:
        objective = around.enter(chosen_one, folder)
        caller = around.caller(folder, (*objective.tools, "fetch_url"))
        read, write, fetch = (
            borrowed(object, caller.tools[name].schema, caller, lambda: calls.append(""))
            for name in ("read_file", "write_file", "fetch_url")
        )
        assert read.forward("client.json") == objective.files["client.json"]
        assert read.forward("client.json", lines=1, start=None).startswith("{")
        write.forward(path="made.txt", content="new")
        assert "Opening hours" in fetch.forward(url=f"{around.site}/hours")
        with pytest.raises(ToolFault, match="not allowed"):
            write.forward(path=str(folder.parent / "elsewhere.txt"), content="new")
        with pytest.raises(ToolFault, match=r"client\.json"):
            read.forward(path="clients.json")
    assert (folder / "made.txt").read_text() == "new"
    assert names(folder) == {"client.json", "made.txt"}
    assert len(calls) == 6
    assert read.inputs["path"]["type"] == "string"
    assert "nullable" not in read.inputs["path"]
    assert read.inputs["start"]["nullable"]


def record(player: str, objective: str, wrong: str = "", seconds: float = 2.0) -> Record:
    family = objective.partition("-")[0]
    return Record(
        player, "m", objective, family, wrong, "a", seconds, 3, 2, 100, 50, 10, "done", ""
    )


def test_what_is_recorded_is_not_played_again(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    Records(path).add(record("agentkit", "notes-rent"))
    with path.open("a") as file:
        file.write('{"player": "agentk')  # the power went

    again = Records(path)
    again.add(record("agentkit", "notes-serial", "no answer"))

    assert [one.objective for one in Records(path)] == ["notes-rent", "notes-serial"]
    assert ("agentkit", "m", "notes-rent") in again
    assert ("code", "m", "notes-rent") not in again


def test_a_file_of_something_else_is_not_taken_for_records(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text('{"a": 1}\n')
    with pytest.raises(UserError, match="jsonl:1"):
        Records(path)


def test_tables_tell_what_was_right_by_player_and_by_family() -> None:
    told = summary(
        [
            record("agentkit", "notes-rent", seconds=1.0),
            record("agentkit", "notes-serial", seconds=3.0),
            record("code", "notes-rent", "no answer", seconds=90.0),
            record("code", "plain-bird"),
        ]
    )
    rows = {row.split("  ")[0]: row.split() for row in told.splitlines() if row}
    assert rows["agentkit"][1:7] == ["2/2", "=", "100%", "2.0", "3", "2"]
    assert rows["code"][1:4] == ["1/2", "=", "50%"]
    assert rows["notes"][1:] == ["2/2", "2.0", "s", "0/1", "90.0", "s"]
    assert rows["plain"][1:] == ["-", "1/1", "2.0", "s"]
    assert "no answer" in line(record("code", "notes-rent", "no answer"))
