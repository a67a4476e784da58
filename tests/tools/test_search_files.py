"""Lines are found where they may be read, and in a time that no pattern can stretch."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentkit.errors import Cancelled, ToolError, ToolRetry

Call = Callable[..., Any]


@pytest.fixture
def tree(context: Any) -> Path:
    """Some files, some of them hidden."""
    folder: Path = context.folder
    for name, text in {
        "a.py": "def area(r):\n    return pi * r\n\nprint(area(2))\n",
        "src/b.py": "# TODO: area of a square\r\nx = 1\n",
        "notes.txt": "The area is small.\nTodo: measure\n",
        ".hidden": "area\n",
        ".git/config": "area\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, newline="")
    return folder


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"pattern": "return pi"}, ["a.py:2:    return pi * r"]),
        ({"pattern": "todo"}, ["notes.txt:2:Todo: measure", "src/b.py:1:# TODO: area of a square"]),
        ({"pattern": "TODO"}, ["src/b.py:1:# TODO: area of a square"]),
        ({"pattern": "area(2)"}, ["a.py:4:print(area(2))"]),
        ({"pattern": "area("}, ["a.py:1:def area(r):", "a.py:4:print(area(2))"]),
        ({"pattern": r"^(x|y) = \d$"}, ["src/b.py:2:x = 1"]),
        ({"pattern": r"\bsma\w+\.$"}, ["notes.txt:1:The area is small."]),
        ({"pattern": r"\S\(R\):"}, []),
        ({"pattern": "area", "files": "*.txt"}, ["notes.txt:1:The area is small."]),
        ({"pattern": "x =", "files": "**/*.py"}, ["src/b.py:2:x = 1"]),
        ({"pattern": "area", "path": "src"}, ["src/b.py:1:# TODO: area of a square"]),
        ({"pattern": "area", "path": "notes.txt"}, ["notes.txt:1:The area is small."]),
    ],
)
def test_lines_are_found(call: Call, arguments: dict[str, str], found: list[str]) -> None:
    lines = call("search_files", **arguments).splitlines()

    assert [line for line in lines if not line.startswith("[")] == found


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"pattern": "volume"}, "[no line of 3 files has 'volume']"),
        ({"pattern": "volume("}, "has 'volume(', which is no regular expression: unclosed group]"),
        ({"pattern": "(?<=a)z"}, "no regular expression: look-around, including look-ahead and"),
        ({"pattern": r"(z)\1"}, "backreferences are not supported]"),
        ({"pattern": "area", "files": "*.c"}, "[there is no text file named like '*.c' in it]"),
    ],
)
def test_where_nothing_is_found_it_says_why(
    call: Call, arguments: dict[str, str], said: str
) -> None:
    assert said in call("search_files", **arguments)


@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"pattern": ""}, "pattern is a text in one line"),
        ({"pattern": "one\ntwo"}, "pattern is a text in one line"),
        ({"pattern": "x", "files": "src/*.py"}, "files is for names: path='src', files='*.py'"),
        ({"pattern": "x", "path": "scr"}, "there is no file 'scr'. did you mean \"src\"?"),
    ],
)
def test_what_cannot_be_searched_is_answered_with_a_better_call(
    call: Call, arguments: dict[str, str], hint: str
) -> None:
    with pytest.raises(ToolRetry) as caught:
        call("search_files", **arguments)
    assert hint in str(caught.value)


@pytest.mark.parametrize(
    "pattern", [r"(a+)+$", r"(a|a)*b", r"(a*)*b", r"(.*a){20}b", r"^(\w+\s?)*$", r"(x+x+)+y"]
)
def test_no_expression_takes_for_ever(call: Call, context: Any, pattern: str) -> None:
    """Each of these would keep Python's `re` busy for longer than anybody lives."""
    (context.folder / "a.txt").write_text("a" * 5000 + "x" * 5000 + "!\n")

    assert call("search_files", pattern=pattern) == f"[no line of 1 files has {pattern!r}]"


def test_an_expression_that_grows_too_large_is_a_plain_text(call: Call, context: Any) -> None:
    (context.folder / "a.txt").write_text("x{999}{999}{999}\n")

    assert call("search_files", pattern="x{999}{999}{999}") == "a.txt:1:x{999}{999}{999}"
    assert "exceeds size limit" in call("search_files", pattern="y{999}{999}{999}")


def test_a_very_long_line_is_searched_for_texts_only(call: Call, context: Any) -> None:
    (context.folder / "a.txt").write_text("x" * 21_000 + "needle7\n")

    assert call("search_files", pattern="needle7").startswith("a.txt:1:…x")
    assert call("search_files", pattern=r"needle\d").splitlines() == [
        "[no line of 1 files has 'needle\\\\d']",
        "[1 lines are too long for an expression]",
    ]


@pytest.mark.usefixtures("tree")
def test_a_search_ends_when_its_time_is_over(call: Call, context: Any) -> None:
    context.settings = {"seconds": 1e-9}

    assert call("search_files", pattern="area").splitlines()[1] == (
        "[stopped after 0 files: choose with path and files]"
    )


# -- how much is shown ---------------------------------------------------------------------------


def test_many_lines_of_one_file_do_not_hide_the_others(call: Call, context: Any) -> None:
    (context.folder / "a.log").write_text("error\n" * 50)
    (context.folder / "b.log").write_text("error\n")

    lines = call("search_files", pattern="error").splitlines()

    assert lines[:20] == [f"a.log:{n}:error" for n in range(1, 21)]
    assert lines[20:] == ["b.log:1:error", "[30 more lines in a.log]"]


def test_many_files_are_counted(call: Call, context: Any) -> None:
    for n in range(60):
        (context.folder / f"{n:02}.txt").write_text("error\nfine\nerror\n")

    lines = call("search_files", pattern="error").splitlines()

    assert lines[99] == "49.txt:3:error"
    assert lines[100:] == ["[20 more lines in other files: choose with path and files]"]


def test_of_a_long_line_the_part_around_the_text_is_shown(call: Call, context: Any) -> None:
    (context.folder / "a.js").write_text("x" * 10_000 + "needle" + "y" * 10_000)

    (line,) = call("search_files", pattern="needle").splitlines()

    assert line.startswith("a.js:1:…x")
    assert line.endswith("y…")
    assert "needle" in line
    assert len(line) < 220


def test_a_name_cannot_pretend_to_be_a_line(call: Call, context: Any) -> None:
    (context.folder / "a\nb.txt:1:x").write_text("needle")

    assert call("search_files", pattern="needle") == '"a\\nb.txt:1:x":1:needle'


# -- what is searched ----------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_texts_in_the_encodings_that_people_have(call: Call, context: Any, encoding: str) -> None:
    (context.folder / "a.txt").write_bytes("Höhe und Größe\n".encode(encoding))

    assert call("search_files", pattern="größe") == "a.txt:1:Höhe und Größe"


def test_what_is_no_text_is_left_out(call: Call, context: Any) -> None:
    (context.folder / "a.bin").write_bytes(b"needle\0\1\2")
    os.mkfifo(context.folder / "pipe")

    assert call("search_files", pattern="needle").startswith("[there is no text file")
    with pytest.raises(ToolRetry, match=r"'a\.bin' is no text file"):
        call("search_files", pattern="needle", path="a.bin")
    with pytest.raises(ToolError, match="'pipe' is no plain file"):
        call("search_files", pattern="needle", path="pipe")


def test_a_huge_file_is_named_and_left_out(call: Call, context: Any) -> None:
    with (context.folder / "huge").open("wb") as file:
        file.truncate(60_000_000)
    (context.folder / "a.txt").write_text("needle")

    assert call("search_files", pattern="needle").splitlines() == [
        "a.txt:1:needle",
        "[huge has 60 MB: it was not searched]",
    ]


@pytest.mark.parametrize("path", ["..", "/etc", "../elsewhere", "link", "file"])
def test_what_was_not_granted_is_not_searched(
    call: Call, context: Any, elsewhere: Path, path: str
) -> None:
    (context.folder / "link").symlink_to(elsewhere)
    (context.folder / "file").symlink_to(elsewhere / "secret.txt")

    with pytest.raises(ToolError, match="may not be read"):
        call("search_files", pattern="secret", path=path)
    assert "the secret" not in call("search_files", pattern="secret")


def test_links_are_not_followed(call: Call, context: Any) -> None:
    (context.granted / "a.txt").write_text("needle")
    (context.folder / "file").symlink_to(context.granted / "a.txt")
    (context.folder / "folder").symlink_to(context.granted)
    (context.folder / "circle").symlink_to(context.folder)

    assert call("search_files", pattern="needle").startswith("[there is no text file")
    assert call("search_files", pattern="needle", path="folder") == "folder/a.txt:1:needle"


# -- some of the words -----------------------------------------------------------------------------


@pytest.fixture
def club(context: Any) -> None:
    """Minutes and lists of a club."""
    for name, text in {
        "2026-01.md": "# January\n\n- Tom is the treasurer.\n- The rent is 1,150.\n- Cake.\n",
        "2026-03.md": "# March\n\n- Ola was elected treasurer.\n- The market is in June.\n",
        "landlord.md": "# Letters\n\nFrom July on the rent for the workshop is 1,204.\n",
        "telephones.md": "# Extensions\n\n- Tom: 209\n- Ola: 214\n",
    }.items():
        (context.folder / name).write_text(text)


SOME = "[no line has it as it is written, these have some words]"


@pytest.mark.usefixtures("club")
def test_a_question_finds_the_lines_that_have_its_words_with_those_around_them(call: Call) -> None:
    found = call("search_files", pattern="How much is the rent for the workshop from July on")

    assert found.splitlines() == [
        "landlord.md:1:# Letters",
        "landlord.md:3:From July on the rent for the workshop is 1,204.",
        SOME,
    ]


@pytest.mark.usefixtures("club")
def test_all_that_is_about_as_telling_is_shown(call: Call) -> None:
    found = call("search_files", pattern="treasurers now").splitlines()

    assert [line for line in found if "treasurer" in line] == [
        "2026-01.md:3:- Tom is the treasurer.",
        "2026-03.md:3:- Ola was elected treasurer.",
    ]
    assert found[-1] == SOME


@pytest.mark.usefixtures("club")
def test_the_name_of_a_file_counts_for_its_lines(call: Call) -> None:
    found = call("search_files", pattern="telephone of Ola")

    assert found.splitlines()[:3] == [
        "telephones.md:1:# Extensions",
        "telephones.md:3:- Tom: 209",
        "telephones.md:4:- Ola: 214",
    ]


@pytest.mark.usefixtures("club")
def test_words_that_are_nowhere_are_told(call: Call) -> None:
    found = call("search_files", pattern="What is the telephone of our plumber, or of Ola?")

    assert found.endswith("these have some words; nowhere: plumber]")


@pytest.mark.usefixtures("club")
@pytest.mark.parametrize("pattern", ["the plumber", "what is it", "of to", "Zebra crossings?"])
def test_where_no_line_has_a_telling_word_nothing_is_found(call: Call, pattern: str) -> None:
    assert call("search_files", pattern=pattern).startswith("[no line of 4 files has")


@pytest.mark.usefixtures("club")
def test_what_stands_there_as_it_is_written_is_found_alone(call: Call) -> None:
    assert call("search_files", pattern="elected treasurer") == (
        "2026-03.md:3:- Ola was elected treasurer."
    )


def test_no_more_than_a_handful_of_lines_is_shown(call: Call, context: Any) -> None:
    for number in range(50):
        (context.folder / f"{number}.txt").write_text(f"x\n\nA lamp, number {number}\n\ny\n")

    assert len(call("search_files", pattern="lamps that burn").splitlines()) == 6 * 3 + 1


def test_searching_can_be_cancelled(call: Call, context: Any) -> None:
    context.cancel.cancel()

    with pytest.raises(Cancelled):
        call("search_files", pattern="needle")


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1))
def test_every_text_is_found_as_it_is(call_anywhere: Call, anywhere: Path, text: str) -> None:
    """Whatever it would mean as an expression."""
    path = anywhere / "searched.txt"
    path.write_text(f"one\nbefore {text} after\n")

    if text.strip():
        found = call_anywhere("search_files", pattern=text, path="searched.txt")
        assert re.search(r"^searched\.txt:2:", found, re.MULTILINE)


def test_of_notes_with_dates_the_newest_is_shown_last(call: Call, context: Any) -> None:
    for name, text in {
        "2026-01-12-board.md": "Tom asks for another treasurer to be elected.",
        "2026-03-16-board.md": "The elected treasurer was away.",
        "2026-02-09-board.md": "Priya Nair was elected treasurer.",
        "rules.md": "A treasurer is elected for a year.",
    }.items():
        (context.folder / name).write_text(text)

    lines = call("search_files", pattern="Who was elected treasurer").splitlines()
    shown = [line.partition(":")[0] for line in lines[:-1]]

    assert [name for name in shown if name[0] == "2"] == [
        "2026-01-12-board.md", "2026-02-09-board.md", "2026-03-16-board.md",
    ]  # fmt: skip
