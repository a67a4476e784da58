"""What is in a folder, and nothing of what is outside."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import Cancelled, ToolError, ToolRetry

Call = Callable[..., Any]


@pytest.fixture
def tree(context: Any) -> Path:
    """Some files, some of them hidden."""
    folder: Path = context.folder
    for name, size in {
        "b.txt": 5, "a.md": 1200, "src/main.py": 3, "src/deep/more.py": 0, ".env": 1,
        ".git/config": 1, "src/.cache/x.py": 1,
    }.items():  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * size)
    return folder


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("arguments", "listed"),
    [
        ({}, ["a.md  1.2 kB", "b.txt  5 B", "src/"]),
        ({"path": "src"}, ["src/deep/", "src/main.py  3 B"]),
        ({"pattern": "*.txt"}, ["b.txt  5 B"]),
        ({"pattern": "*.py", "recursive": True}, ["src/deep/more.py  0 B", "src/main.py  3 B"]),
        ({"pattern": "**/*.py"}, ["src/deep/more.py  0 B", "src/main.py  3 B"]),
        ({"path": "src", "recursive": True},
         ["src/deep/", "src/deep/more.py  0 B", "src/main.py  3 B"]),
        ({"path": "b.txt"}, ["b.txt  5 B"]),
        ({"path": ".git"}, [".git/config  1 B"]),
    ],
)  # fmt: skip
def test_names_and_sizes(call: Call, arguments: dict[str, Any], listed: list[str]) -> None:
    assert call("list_files", **arguments).splitlines() == listed


def test_first_lines_are_shown_of_texts_and_of_nothing_else(call: Call, context: Any) -> None:
    (context.folder / "a.csv").write_text("\n  name,amount\nx,1\n")
    (context.folder / "b.bin").write_bytes(b"\xff\xfe\x00")
    (context.folder / "c.txt").write_text("tab\there\n")
    (context.folder / "d").mkdir()
    (context.folder / "e.txt").write_text("x" * 200)

    assert call("list_files", first_lines=True).splitlines() == [
        "a.csv  19 B  name,amount | x,1",
        "b.bin  3 B",
        "c.txt  9 B",
        "d/",
        "e.txt  200 B  " + "x" * 60,
    ]


def test_a_folder_that_was_granted_is_told_by_its_full_path(call: Call, context: Any) -> None:
    (context.granted / "a.txt").write_text("x")

    assert call("list_files", path=str(context.granted)) == f"{context.granted}/a.txt  1 B"


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"pattern": "*.c"}, "nothing in it is named like '*.c'; there is: a.md, b.txt, src; rec"),
        ({"pattern": "*.c", "recursive": True}, "there is: a.md, b.txt, src, src/deep, src/deep/"),
    ],
)
def test_where_nothing_fits_it_says_what_is_there(
    call: Call, arguments: dict[str, Any], said: str
) -> None:
    assert said in call("list_files", **arguments)


def test_an_empty_folder(call: Call) -> None:
    assert call("list_files") == "the folder is empty"


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"path": "scr"}, "there is no folder 'scr'. did you mean \"src\"?"),
        ({"path": "src/*.py"}, "path='src', pattern='*.py'"),
        ({"path": "*.py"}, "path='.', pattern='*.py'"),
        ({"pattern": "src/*.py"}, "path='src', pattern='*.py'"),
        ({"pattern": "src/main.py"}, "path='src', pattern='main.py'"),
        ({"path": "src", "pattern": "deep/**/*.py"}, "path='src/deep', pattern='*.py', recursive"),
        ({"path": "nowhere/x"}, "there is no folder 'nowhere/x'."),
    ],
)
def test_what_is_no_folder_is_answered_with_a_better_call(
    call: Call, arguments: dict[str, Any], hint: str
) -> None:
    with pytest.raises(ToolRetry) as caught:
        call("list_files", **arguments)
    assert hint in str(caught.value)


def test_many_entries_are_counted(call: Call, context: Any) -> None:
    for n in range(250):
        (context.folder / f"{n:03}").touch()

    lines = call("list_files").splitlines()

    assert lines[:200] == [f"{n:03}  0 B" for n in range(200)]
    assert lines[200:] == ["[250 files]", "[50 more: choose with path and pattern]"]


def test_files_are_counted_by_their_endings(call: Call, context: Any) -> None:
    for name in ("a.txt", "b.TXT", "c.csv", "d", "e/f.txt"):
        (context.folder / name).parent.mkdir(exist_ok=True)
        (context.folder / name).touch()

    told = "[5 files: 3 .txt, 1 .csv, 1 without an ending]"
    assert call("list_files", recursive=True).splitlines()[-1] == told
    assert call("list_files").splitlines()[-1] == "e/", "few are counted at a glance"


def test_the_files_of_a_folder_are_counted_with_those_in_its_folders(
    call: Call, context: Any
) -> None:
    for name in ("a/1.txt", "a/2.txt", "a/b/3.txt", "a/b/4.txt", "a/b/5.md", "c/6.txt"):
        (context.folder / name).parent.mkdir(exist_ok=True, parents=True)
        (context.folder / name).touch()

    folders = [line for line in call("list_files", recursive=True).splitlines() if "/ " in line]

    assert folders == ["a/  5 files: 4 .txt, 1 .md"]


# -- the edges of what is granted ----------------------------------------------------------------

NOTHING = "  (a link to nothing that may be read)"


def test_links_out_of_what_was_granted_tell_nothing(
    call: Call, context: Any, elsewhere: Path
) -> None:
    for name, target in {
        "to_file": elsewhere / "secret.txt", "to_folder": elsewhere, "broken": "nowhere",
        "circle": "circle", "passwords": "/etc/shadow",
    }.items():  # fmt: skip
        (context.folder / name).symlink_to(target)

    assert call("list_files", recursive=True).splitlines() == [
        name + NOTHING for name in ("broken", "circle", "passwords", "to_file", "to_folder")
    ]


def test_links_to_what_was_granted_are_told_and_not_walked(call: Call, context: Any) -> None:
    (context.granted / "a.txt").write_text("four")
    (context.folder / "file").symlink_to(context.granted / "a.txt")
    (context.folder / "folder").symlink_to(context.granted)
    (context.folder / "self").symlink_to(context.folder)

    assert call("list_files", recursive=True).splitlines() == ["file  4 B", "folder/", "self/"]
    assert call("list_files", path="folder") == "folder/a.txt  4 B"


@pytest.mark.parametrize(
    "path", ["..", "/", "../elsewhere", "link", "link/deeper", "../elsewhere/*"]
)
def test_what_was_not_granted_is_not_listed(
    call: Call, context: Any, elsewhere: Path, path: str
) -> None:
    (context.folder / "link").symlink_to(elsewhere)

    with pytest.raises(ToolError, match="may not be read") as caught:
        call("list_files", path=path)
    assert "secret" not in str(caught.value)


def test_what_is_neither_file_nor_folder(call: Call, context: Any) -> None:
    os.mkfifo(context.folder / "pipe")
    here = Path.cwd()
    os.chdir(context.folder)  # a socket's name has to be short
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("socket")
    finally:
        os.chdir(here)

    assert call("list_files").splitlines() == ["pipe  (no plain file)", "socket  (no plain file)"]


@pytest.mark.parametrize(
    "name", ["two\nlines", "b.txt  9 B\nforged", "right\u202eto left", "\x1b[31mred"]
)
def test_a_name_cannot_pretend_to_be_more_than_one(call: Call, context: Any, name: str) -> None:
    (context.folder / name).touch()

    (line,) = call("list_files").splitlines()

    assert line.isprintable()
    assert json.loads(line.removesuffix("  0 B")) == name


def test_a_name_that_is_no_text(call: Call, context: Any) -> None:
    """The name that is told is one that a call can be made with."""
    Path(os.fsdecode(os.fsencode(context.folder) + b"/gr\xfcn")).touch()

    told = call("list_files")

    assert told == '"gr\\udcfcn"  0 B'
    assert call("list_files", path=json.loads(told.removesuffix("  0 B"))) == told


def test_a_very_deep_tree_ends_somewhere(call: Call, context: Any) -> None:
    path = context.folder
    for _ in range(100):
        path = path / "d"
        path.mkdir()

    assert len(call("list_files", recursive=True).splitlines()) == 31


def test_listing_can_be_cancelled(call: Call, context: Any) -> None:
    context.cancel.cancel()

    with pytest.raises(Cancelled):
        call("list_files")
