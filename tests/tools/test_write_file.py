"""Files are written where that is granted, and those of a run are recorded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import InvalidInput, ToolError, ToolRetry

Call = Callable[..., Any]


def test_a_file_is_written_and_recorded(call: Call, context: Any) -> None:
    made = call("write_file", path="sub/notes.md", content="größe\n")

    target = context.folder / "sub" / "notes.md"
    assert made == {"path": "sub/notes.md", "bytes": 8}
    assert target.read_bytes() == "größe\n".encode()
    assert context.artifacts == [target]
    assert [path.name for path in target.parent.iterdir()] == ["notes.md"]


def test_a_full_path_into_the_folder_is_told_as_a_relative_one(call: Call, context: Any) -> None:
    made = call("write_file", path=str(context.folder / "sub" / ".." / "a.txt"), content="x")

    assert made == {"path": "a.txt", "bytes": 1}


def test_a_second_time_replaces_the_first(call: Call, context: Any) -> None:
    call("write_file", path="a.txt", content="a long text")
    call("write_file", path="a.txt", content="short")

    assert (context.folder / "a.txt").read_text() == "short"


def test_an_empty_file_is_a_file(call: Call, context: Any) -> None:
    assert call("write_file", path="a.txt", content="") == {"path": "a.txt", "bytes": 0}
    assert (context.folder / "a.txt").read_bytes() == b""


def test_line_ends_stay_as_they_were_given(call: Call, context: Any) -> None:
    call("write_file", path="a.txt", content="one\r\ntwo\n")

    assert (context.folder / "a.txt").read_bytes() == b"one\r\ntwo\n"


@pytest.mark.parametrize("path", ["../elsewhere/a", "{there}/a", "sub/../../elsewhere/a", "link/a"])
def test_nothing_is_written_where_that_is_not_granted(
    call: Call, context: Any, elsewhere: Path, path: str
) -> None:
    (context.folder / "link").symlink_to(elsewhere)

    with pytest.raises(ToolError, match="may not be written: it is not in a folder that was gr"):
        call("write_file", path=path.format(there=elsewhere), content="x")

    assert [entry.name for entry in elsewhere.iterdir()] == ["secret.txt"]
    assert context.artifacts == []


def test_a_link_to_elsewhere_is_replaced_and_not_followed(
    call: Call, context: Any, elsewhere: Path
) -> None:
    (context.folder / "link").symlink_to(elsewhere / "secret.txt")

    call("write_file", path="link", content="x")

    assert (context.folder / "link").read_text() == "x"
    assert (elsewhere / "secret.txt").read_text() == "the secret\n"


@pytest.mark.parametrize("path", [".", "", "sub", "sub/", "sub/.."])
def test_a_folder_is_no_file(call: Call, context: Any, path: str) -> None:
    (context.folder / "sub").mkdir()

    with pytest.raises(ToolRetry, match="is a folder: name a file in it"):
        call("write_file", path=path, content="x")


def test_a_file_where_a_folder_should_be_is_an_error_of_the_tool(call: Call) -> None:
    call("write_file", path="a", content="x")

    with pytest.raises(ToolError, match="'a/b' cannot be written"):
        call("write_file", path="a/b", content="x")


def test_a_text_is_no_path(call: Call) -> None:
    with pytest.raises(ToolError, match="cannot be written: File name too long"):
        call("write_file", path="a text " * 50, content="x")


def test_half_a_character_is_not_written(call: Call, context: Any) -> None:
    with pytest.raises(ToolRetry, match=r"\\ud83d in content is half of a character"):
        call("write_file", path="a", content="smile \ud83d")
    assert list(context.folder.iterdir()) == []


def test_data_are_no_text(call: Call) -> None:
    with pytest.raises(InvalidInput, match='"content": must be'):
        call("write_file", path="a.json", content={"a": 1})
