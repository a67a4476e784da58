"""Files of a run stay in its folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import ToolError

Call = Callable[..., Any]


def test_a_file_is_written_and_recorded(call: Call, context: Any) -> None:
    made = call("write_file", path="sub/notes.md", content="größe\n")

    target = context.folder / "sub" / "notes.md"
    assert made == {"path": "sub/notes.md", "bytes": 8}
    assert target.read_bytes() == "größe\n".encode()
    assert context.artifacts == [target]
    assert [path.name for path in target.parent.iterdir()] == ["notes.md"]


def test_a_second_time_replaces_the_first(call: Call, context: Any) -> None:
    call("write_file", path="a.txt", content="a long text")
    call("write_file", path="a.txt", content="short")

    assert (context.folder / "a.txt").read_text() == "short"


@pytest.mark.parametrize("path", ["../a", "/tmp/a", "sub/../../a", ".", "", "sub/..", "link/a"])
def test_nothing_is_written_outside_of_the_folder(
    call: Call, context: Any, tmp_path: Path, path: str
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (context.folder / "link").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(ToolError, match="leads out of the folder of the run"):
        call("write_file", path=path, content="x")

    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert context.artifacts == []


def test_a_file_where_a_folder_should_be_is_an_error_of_the_tool(call: Call) -> None:
    call("write_file", path="a", content="x")

    with pytest.raises(ToolError):
        call("write_file", path="a/b", content="x")
