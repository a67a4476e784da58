"""One piece of a file is replaced; the rest stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import ToolError, ToolRetry

Call = Callable[..., Any]

CODE = """\
import math

def area(radius):
    return math.pi * radius

def volume(radius):
    return 4 / 3 * area(radius)
"""


@pytest.fixture
def code(context: Any) -> Path:
    path: Path = context.folder / "shapes.py"
    path.write_text(CODE)
    return path


def test_a_piece_is_replaced_and_the_change_is_shown(call: Call, code: Path, context: Any) -> None:
    told = call("edit_file", path="shapes.py", old="math.pi * radius", new="math.pi * radius**2")

    assert code.read_text() == CODE.replace("pi * radius", "pi * radius**2")
    assert told == (
        "replaced once in shapes.py:\n"
        "@@ line 2 @@\n"
        " \n"
        " def area(radius):\n"
        "-    return math.pi * radius\n"
        "+    return math.pi * radius**2\n"
        " \n"
        " def volume(radius):"
    )
    assert context.artifacts == [code]


def test_lines_can_be_added_and_taken_away(call: Call, code: Path) -> None:
    call("edit_file", path="shapes.py", old="import math\n", new="import math\nimport re\n")
    told = call("edit_file", path="shapes.py", old="import re\n", new="")

    assert code.read_text() == CODE
    assert told == (
        "replaced once in shapes.py:\n@@ line 1 @@\n import math\n-import re\n \n def area(radius):"
    )


def test_all_are_replaced_when_asked_for(call: Call, code: Path) -> None:
    told = call("edit_file", path="shapes.py", old="radius", new="r", all=True)

    assert code.read_text() == CODE.replace("radius", "r")
    assert told.startswith("replaced 4 times in shapes.py:\n@@ line 1 @@\n")
    assert told.count("\n+") == told.count("\n-") == 4


def test_far_changes_are_shown_apart(call: Call, context: Any) -> None:
    (context.folder / "a.txt").write_text("x\n" + "line\n" * 50 + "x\n")

    told = call("edit_file", path="a.txt", old="x", new="y", all=True)

    assert told == (
        "replaced 2 times in a.txt:\n@@ line 1 @@\n-x\n+y\n line\n line\n"
        "@@ line 50 @@\n line\n line\n-x\n+y\n "
    )


def test_a_large_change_is_not_shown_as_a_whole(call: Call, context: Any) -> None:
    (context.folder / "a.txt").write_text("x\n" * 100)

    some = call("edit_file", path="a.txt", old="x", new="y", all=True)
    (context.folder / "b.txt").write_text("x\n" * 1000)
    many = call("edit_file", path="b.txt", old="x", new="y" * 999, all=True)

    assert len(some.splitlines()) == 62
    assert some.endswith("\n[142 more lines]")
    assert many == "replaced 1000 times in b.txt:\nlines 1 to 1001, too many to show"


# -- where an edit would be a guess --------------------------------------------------------------


@pytest.mark.usefixtures("code")
def test_several_places_are_told_with_their_lines(call: Call) -> None:
    with pytest.raises(ToolRetry) as caught:
        call("edit_file", path="shapes.py", old="(radius)", new="(r)")
    assert str(caught.value) == (
        "old stands 3 times in 'shapes.py': say which with line, one of 3, 6, 7, or say all=true"
    )


def test_the_place_in_a_line_is_taken(call: Call, code: Path) -> None:
    before = code.read_text().splitlines()

    told = call("edit_file", path="shapes.py", old="(radius)", new="(r)", line=6)

    assert told.startswith("replaced once")
    after = code.read_text().splitlines()
    assert [n for n, pair in enumerate(zip(before, after, strict=True), 1) if len({*pair}) > 1] == [
        6
    ]
    assert call("edit_file", path="shapes.py", old="import math", new="import  math", line=4)
    with pytest.raises(ToolRetry) as caught:
        call("edit_file", path="shapes.py", old="import  math", new="import math", line=99)
    assert "not near line 99: only in line 1" in str(caught.value)


def test_where_else_it_stands_is_told(call: Call, context: Any) -> None:
    for name in ("a.txt", "b.txt", "in/c.txt", ".hidden"):
        (context.folder / name).parent.mkdir(exist_ok=True)
        (context.folder / name).write_text("call 118 now")

    told = call("edit_file", path="a.txt", old="118", new="900")
    assert told.endswith("\n[old stands also in: b.txt, in/c.txt]")
    with pytest.raises(ToolRetry, match=r"It stands in: b.txt, in/c.txt"):
        call("edit_file", path="a.txt", old="118", new="900")


def test_what_cannot_be_read_beside_it_costs_no_edit(
    call: Call, context: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.txt", "b.txt"):
        (context.folder / name).write_text("call 118 now")
    read = context.files.read

    def only_a(path: Path) -> bytes:
        if path.name == "b.txt":
            raise ToolError("not allowed")
        data: bytes = read(path)
        return data

    monkeypatch.setattr(type(context.files), "read", lambda _, path: only_a(path))

    assert "stands also" not in call("edit_file", path="a.txt", old="118", new="900")
    assert (context.folder / "a.txt").read_text() == "call 900 now"


@pytest.mark.parametrize(("line", "changed"), [(1, 3), (4, 3), (7, 8), (8, 8)])
def test_a_line_may_be_miscounted(call: Call, context: Any, line: int, changed: int) -> None:
    (context.folder / "a.txt").write_text("a\nb\nx\nd\ne\nf\ng\nx\n")

    call("edit_file", path="a.txt", old="x", new="y", line=line)

    lines = (context.folder / "a.txt").read_text().splitlines()
    assert [at for at, text in enumerate(lines, start=1) if text == "y"] == [changed]


def test_a_line_in_between_is_a_guess(call: Call, context: Any) -> None:
    (context.folder / "a.txt").write_text("x\nb\nx\nd\ne\nf\ng\nx\n")

    for line in (2, 11):
        with pytest.raises(ToolRetry, match="one of 1, 3, 8"):
            call("edit_file", path="a.txt", old="x", new="y", line=line)


def test_a_line_with_two_of_them_is_a_guess(call: Call, context: Any) -> None:
    (context.folder / "a.txt").write_text("x x\nx\n")

    with pytest.raises(ToolRetry, match=r"in line 1 of 'a.txt' more than once"):
        call("edit_file", path="a.txt", old="x", new="y", line=1)
    with pytest.raises(ToolRetry, match="one of 1, 1, 2"):
        call("edit_file", path="a.txt", old="x", new="y", line=7)


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize(
    ("old", "hint"),
    [
        (
            "def area(radius):\n  return math.pi * radius\n",
            "Copy it exactly from lines 3 to 4, which differ in spaces or line ends:\n"
            "def area(radius):\n    return math.pi * radius",
        ),
        (
            "def volume(radius)\n    return 3 / 4 * area(radius)",
            "Copy it exactly from lines 6 to 7, which come nearest:\n"
            "def volume(radius):\n    return 4 / 3 * area(radius)",
        ),
        ("7: return 4/3 * area(radius)", "Copy it exactly from lines 7 to 7, which come nearest"),
        ("import math\\n\\ndef area", "old has a backslash and a letter where the file has"),
        ("print('hello, world')", "old is not in 'shapes.py', and nothing like it: read_file"),
        ("", "old is empty: copy the lines to replace"),
        ("  \n \n ", "old is only space, and not the one in"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(
    call: Call, code: Path, old: str, hint: str
) -> None:
    with pytest.raises(ToolRetry) as caught:
        call("edit_file", path="shapes.py", old=old, new="x")
    assert hint in str(caught.value)
    assert code.read_text() == CODE


@pytest.mark.usefixtures("code")
def test_nothing_to_change(call: Call) -> None:
    with pytest.raises(ToolRetry, match="old and new are the same"):
        call("edit_file", path="shapes.py", old="math", new="math")


def test_an_empty_file_is_for_write_file(call: Call, context: Any) -> None:
    (context.folder / "a.txt").write_text("\n")

    with pytest.raises(ToolRetry, match=r"'a\.txt' is empty: write_file"):
        call("edit_file", path="a.txt", old="x", new="y")


def test_the_nearest_line_of_a_large_file_is_found(call: Call, context: Any) -> None:
    lines = [f"the value of item {n} is {n * 7919 % 1000} euros" for n in range(19_000)]
    (context.folder / "a.txt").write_text("\n".join(lines))

    with pytest.raises(ToolRetry, match="from lines 12346 to 12346") as caught:
        call("edit_file", path="a.txt", old="the valu of item 12345 is 555 Euros", new="x")
    assert lines[12345] in str(caught.value)


# -- bytes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        (b"a\r\nb\r\nc\r\n", "a\nb", "x\ny", b"x\r\ny\r\nc\r\n"),
        (b"a\r\nb\r\n", "b", "x\r\ny\nz", b"a\r\nx\r\ny\r\nz\r\n"),
        (b"a\r\nb\nc\n", "b\nc", "x\ny", b"a\r\nx\ny\n"),
        (b"\xef\xbb\xbfa\nb\n", "a\n", "x\n", b"\xef\xbb\xbfx\nb\n"),
        (b"gr\xfcn a \xff\n", "a", "ü", b"gr\xfcn \xc3\xbc \xff\n"),
        (b"no line end", "end", "END", b"no line END"),
        (b"a\x0bb\x85c\x1cd", "b", "x", b"a\x0bx\x85c\x1cd"),
    ],
)
def test_what_was_not_named_stays_byte_for_byte(
    call: Call, context: Any, before: bytes, old: str, new: str, after: bytes
) -> None:
    path = context.folder / "a.txt"
    path.write_bytes(before)

    told = call("edit_file", path="a.txt", old=old, new=new)

    assert path.read_bytes() == after
    told.encode("utf-8")


def test_what_is_no_text_is_not_edited(call: Call, context: Any) -> None:
    (context.folder / "a.bin").write_bytes("text".encode("utf-16"))

    with pytest.raises(ToolError, match=r"'a.bin' is no UTF-8 text: run_python can change"):
        call("edit_file", path="a.bin", old="t", new="x")


def test_the_permissions_of_a_file_stay(call: Call, code: Path) -> None:
    code.chmod(0o750)

    call("edit_file", path="shapes.py", old="import math", new="import  math")

    assert code.stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("path", ["link", "folder/secret.txt", "../elsewhere/secret.txt"])
def test_what_was_not_granted_is_not_edited(
    call: Call, context: Any, elsewhere: Path, path: str
) -> None:
    (context.folder / "link").symlink_to(elsewhere / "secret.txt")
    (context.folder / "folder").symlink_to(elsewhere)

    with pytest.raises(ToolError, match="may not be read"):
        call("edit_file", path=path, old="the secret", new="x")
    assert (elsewhere / "secret.txt").read_text() == "the secret\n"


def test_what_may_be_read_may_not_be_written(call: Call, context: Any) -> None:
    path = context.granted / "a.txt"
    path.write_text("one")

    with pytest.raises(ToolError, match="may not be written"):
        call("edit_file", path=str(path), old="one", new="two")
    assert path.read_text() == "one"


def test_a_file_that_is_not_there(call: Call) -> None:
    with pytest.raises(ToolRetry, match=r"there is no file 'a\.txt'"):
        call("edit_file", path="a.txt", old="one", new="two")


PIECES = st.text("ab \né", max_size=6)


@given(PIECES, PIECES, PIECES.filter(bool), PIECES, st.sampled_from(["\n", "\r\n"]))
def test_an_edit_is_a_replacement_or_changes_nothing(
    call_anywhere: Call,
    anywhere: Path,
    head: str,
    tail: str,
    old: str,
    new: str,
    line_end: str,
) -> None:
    """With the line ends of the file, whichever they are."""
    path = anywhere / "edited.txt"
    text = head + old + tail
    path.write_bytes(text.replace("\n", line_end).encode())

    try:
        call_anywhere("edit_file", path="edited.txt", old=old, new=new)
        expected = text.replace(old, new, 1)
        assert text.count(old) == 1
    except ToolRetry:
        expected = text
        assert old == new or text.count(old) > 1
    if "\n" in text:
        expected = expected.replace("\n", line_end)
    assert path.read_bytes().decode() == expected
