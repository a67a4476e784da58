"""`agentkit memory` as a user types it, with the real embedder: what it keeps, finds and says."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from agentkit.cli import main
from agentkit.config import Settings
from agentkit.memory import Collection
from agentkit.runtime import Runtime

pytestmark = pytest.mark.model

PAGE = (Path(__file__).parents[2] / "docs" / "memory.md").read_text(encoding="utf-8")

HALL = "The hall costs 80 euros a day and seats forty people."
GARDENER = "Our gardener comes on Tuesdays."
ROUTER = "The password of the router is on the back of the shelf"


@dataclass(frozen=True)
class Said:
    """What the command printed."""

    stdout: str
    stderr: str


class Command(Protocol):
    def __call__(self, *arguments: str, stdin: str = "", code: int = 0) -> Said: ...


@pytest.fixture
def memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs it in this process and in the folder; a test that expects another exit code says so."""
    monkeypatch.chdir(folder)

    def run(*arguments: str, stdin: str = "", code: int = 0) -> Said:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as end:
            main(["memory", *arguments])
        said = Said(*capsys.readouterr())
        assert end.value.code == code, said
        return said

    return run


@pytest.fixture
def folder(real_models: Path, tmp_path: Path) -> Path:
    """Two documents, and a file that is none."""
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "hall.md").write_text(f"# Hall\n\n{HALL}\n")
    (notes / "garden.txt").write_text(f"{GARDENER}\n")
    (notes / "data.bin").write_bytes(b"\0\1")
    return tmp_path


@pytest.fixture
def filled(memory: Command) -> Command:
    """The documents and a note are in memory."""
    memory("add", "notes")
    memory("add", ROUTER, "--source", "house", "--meta", "year=2026")
    return memory


def kept(name: str = "notes") -> Collection:
    """What is in the memory, without another process; nothing here needs its embedder."""

    def no_embedder() -> None:
        raise AssertionError("nobody should need it")

    return Collection(Settings.load().memory_folder / name, name, no_embedder)  # type: ignore[arg-type]


def test_texts_files_and_folders_are_added_once(memory: Command) -> None:
    said = memory("add", ROUTER, "-", "notes/hall.md", stdin="Milk is out.").stdout
    first, second, files = said.splitlines()
    assert files == "files: 1 added; 1 passages"
    assert [one.text for one in kept().entries()][-2:] == ["Milk is out.", ROUTER]
    assert [one.id for one in kept().entries()][-2:] == [second, first]

    again = memory("add", ROUTER.upper(), "notes").stdout.splitlines()
    assert again == [
        f"{first}  (was here already)",
        "files: 1 added, 1 unchanged, 1 of other kinds left out; 1 passages",
    ]


def test_a_question_in_other_words_finds_the_passage_with_its_place(filled: Command) -> None:
    best, text = filled("search", "how much is the venue").stdout.splitlines()[:2]
    assert best.endswith("notes/hall.md")
    assert HALL in text

    found = json.loads(filled("search", "wifi", "-n1", "--json").stdout)
    assert [(one["text"], one["source"], one["metadata"]) for one in found] == [
        (ROUTER, "house", {"year": 2026})
    ]
    assert 0 < found[0]["score"] < 1


def test_conditions_choose_what_is_listed_found_and_forgotten(filled: Command) -> None:
    listed = filled("list", "--where", "source~*/notes/*", "--where", "time>2026-01-01")
    assert [GARDENER in listed.stdout, HALL in listed.stdout] == [True, True]
    assert ROUTER not in listed.stdout
    found = filled("search", "the password", "--where", "year<2026")
    assert (found.stdout, found.stderr) == ("", "nothing found\n")

    assert filled("forget", "--where", "year>=2026").stdout == "1 forgotten\n"
    (garden,) = (one for one in kept().entries() if one.text == GARDENER)
    wrong = filled("forget", garden.id, "abc", code=2)
    assert wrong.stderr.startswith("error: no entry of the memory 'notes' has the id abc\n")
    assert kept().count() == 2
    assert filled("forget", garden.id).stdout == "1 forgotten\n"
    assert [HALL in one.text for one in kept().entries()] == [True]


def test_an_export_is_a_whole_copy_elsewhere(filled: Command) -> None:
    assert filled("export", "all.jsonl", "--vectors").stdout == ("3 entries in all.jsonl\n")
    assert filled("import", "all.jsonl", "-c", "copy").stdout == ("3 added, 0 were here already\n")
    assert kept("copy").entries() == kept().entries()
    piped = filled("export", "-", "-c", "copy").stdout.splitlines()
    assert [json.loads(line)["text"] for line in piped[1:]] == [
        one.text for one in reversed(kept().entries())
    ]
    assert filled("import", "all.jsonl").stdout == "0 added, 3 were here already\n"


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (
            ["search", "x", "--where", "year"],
            "'year' is no condition: write KEY, one of",
            "--where",
        ),
        (["list", "--where", "time<soon"], "'soon' is no time", "write 2026-"),
        (["add", "gone.md"], "gone.md: there is no such file or folder", "echo 'gone.md'"),
        (["add", ""], "there is nothing to remember: the text is empty", ""),
        (["add", "x", "--meta", "year"], "year: write it as name=value", ""),
        (
            ["import", "gone.jsonl"],
            "{here}/gone.jsonl: No such file or directory",
            "agentkit memory export FILE",
        ),
        (
            ["import", "notes/hall.md"],
            "{here}/notes/hall.md is no export",
            "memory add {here}/notes/",
        ),
        (["search", "x", "-c", "nots"], "no memory named 'nots'", "agentkit memory status"),
        (["forget"], "say what to forget: ids, conditions, or --all", "agentkit memory forget"),
    ],
    ids=lambda one: " ".join(one[:2]) if isinstance(one, list) else "",
)
def test_a_mistake_is_one_sentence_with_the_way_on(
    memory: Command, arguments: list[str], error: str, hint: str
) -> None:
    done = memory(*arguments, code=2)
    first, *more = done.stderr.splitlines()
    assert first.startswith(f"error: {error.format(here=Path.cwd())}")
    assert len(more) <= 1
    assert hint.format(here=Path.cwd()) in "".join(more)
    assert done.stdout == ""
    assert not kept().exists


@pytest.mark.parametrize("command", [["list"], ["search", "anything"], ["status"]])
def test_an_empty_memory_says_how_to_begin(memory: Command, command: list[str]) -> None:
    done = memory(*command)
    assert done.stdout == ""
    assert "agentkit memory add TEXT|FILE|FOLDER" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_damaged_memory_is_named_and_the_command_it_names_repairs_it(filled: Command) -> None:
    path = kept().database.path
    path.write_bytes(path.read_bytes()[:-4096])  # its last page
    told = filled("search", "hall", code=1)
    assert f"the memory {path} is damaged" in told.stderr
    assert "agentkit memory repair --collection notes" in told.stderr
    assert "the damaged file is" in filled("repair", "-c", "notes").stdout
    assert HALL in filled("search", "hall").stdout


def test_vectors_of_another_embedder_are_refused_until_all_is_read_again(filled: Command) -> None:
    with kept().database.write() as connection:
        connection.execute("UPDATE spaces SET model = 'older', digest = 'of the older one'")
    for arguments in (["search", "hall"], ["add", "something new"]):
        told = filled(*arguments, code=2).stderr
        assert "made with the embedder 'older', and settings say 'all-minilm-l6-v2'" in told
        assert "hint:  agentkit memory reembed --collection notes" in told
    assert filled("reembed", "-c", "notes").stdout == "3 entries were read again\n"
    assert filled("reembed").stdout == "nothing to do: the embedder is the same\n"
    assert HALL in filled("search", HALL, "-n1").stdout


def test_processes_that_follow_each_other_see_one_memory(folder: Path) -> None:
    """Here each is a program of its own, as in a shell."""
    said = [
        subprocess.run(
            [sys.executable, "-m", "agentkit", "memory", *arguments],
            capture_output=True,
            text=True,
            cwd=folder,
        )
        for arguments in (["add", "notes"], ["search", "how much is the venue", "-n1"])
    ]
    assert [one.returncode for one in said] == [0, 0], said
    assert HALL in said[1].stdout


# -- the page on memory ----------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    """The fenced blocks of docs/memory.md in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_every_command_of_the_page_works_in_order(memory: Command, folder: Path) -> None:
    (folder / "docs").mkdir()
    (folder / "docs" / "tools.md").write_text("# Tools\n\nA tool is something that models call.\n")
    commands = [shlex.split(line[2:]) for block in blocks("console") for line in block.splitlines()]
    assert len(commands) == 9
    said = {}
    for program, command, *arguments in commands:
        assert (program, command) == ("agentkit", "memory")
        said[arguments[0]] = memory(*arguments).stdout
        assert said[arguments[0]].strip(), arguments
    assert said["forget"] == "1 forgotten\n"
    assert said["import"] == "1 added, 0 were here already\n"


def test_the_workflow_of_the_page_remembers(memory: Command, folder: Path) -> None:
    (folder / "remember.yaml").write_text(blocks("yaml")[0])
    memory("add", HALL)
    with Runtime() as runtime:
        known = runtime.run(runtime.workflow("remember.yaml"), {"fact": "The hall has a kitchen."})
    assert HALL in known["known"]
    assert {one.text for one in kept().entries()} == {HALL, "The hall has a kitchen."}


def test_the_program_of_the_page_prints_what_it_finds(
    memory: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(blocks("python")[0], "memory.md", "exec"), {})
    assert capsys.readouterr().out.endswith(" Rye bread needs a day. (baker)\n")


def test_the_settings_of_the_page_are_valid(isolated_home: Path) -> None:
    isolated_home.mkdir(parents=True)
    (isolated_home / "settings.yaml").write_text(blocks("yaml")[1])
    assert Settings.load().memory.server == "http://box:8000"
