"""Files get other names, and none of them is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from agentkit.errors import ToolError, ToolRetry

Call = Callable[..., Any]


@pytest.fixture
def photos(context: Any) -> Path:
    folder: Path = context.folder
    for name in ("IMG_1.jpg", "IMG_2.jpg", "list.txt"):
        (folder / name).write_text(name)
    return folder


def there(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*")) if path.is_file()
    }  # fmt: skip


def rename(call: Call, moves: Mapping[str, str], **more: Any) -> str:
    files = [{"old": old, "new": new} for old, new in moves.items()]
    told: str = call("rename_files", files=files, **more)
    return told


def test_files_are_renamed_and_the_others_are_named(call: Call, photos: Path, context: Any) -> None:
    told = rename(call, {"IMG_1.jpg": "trip-1.jpg", "IMG_2.jpg": "best/trip-2.jpg"})

    assert told == (
        "IMG_1.jpg -> trip-1.jpg\nIMG_2.jpg -> best/trip-2.jpg\n[not renamed: list.txt]"
    )
    assert there(photos) == {
        "best/trip-2.jpg": "IMG_2.jpg", "list.txt": "list.txt", "trip-1.jpg": "IMG_1.jpg",
    }  # fmt: skip
    assert photos / "trip-1.jpg" in context.artifacts


def test_a_name_may_be_passed_on(call: Call, photos: Path) -> None:
    rename(call, {"IMG_1.jpg": "IMG_2.jpg", "IMG_2.jpg": "IMG_3.jpg"})

    assert there(photos) == {
        "IMG_2.jpg": "IMG_1.jpg", "IMG_3.jpg": "IMG_2.jpg", "list.txt": "list.txt",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("moves", "fault"),
    [
        ({"IMG_1.jpg": "a.jpg", "IMG_9.jpg": "b.jpg"}, "there is no file 'IMG_9.jpg'"),
        ({"IMG_1.jpg": "a.jpg", "IMG_2.jpg": "a.jpg"}, "two files would be called 'a.jpg'"),
        ({"IMG_1.jpg": "list.txt"}, "there is a 'list.txt' already"),
        ({"IMG_1.jpg": "IMG_2.jpg", "IMG_2.jpg": "IMG_1.jpg"}, "exchange their names"),
        ({"IMG_1.jpg": "IMG_1.jpg"}, "nothing would change"),
    ],
)
def test_nothing_is_done_where_something_is_wrong(
    call: Call, photos: Path, moves: dict[str, str], fault: str
) -> None:
    before = there(photos)

    with pytest.raises(ToolRetry, match=fault):
        rename(call, moves)

    assert there(photos) == before


def test_nothing_leaves_what_was_granted(call: Call, photos: Path, elsewhere: Path) -> None:
    before = there(photos)

    with pytest.raises(ToolError, match="may not be written"):
        rename(call, {"IMG_1.jpg": f"{elsewhere}/a.jpg"})
    with pytest.raises(ToolError, match="may not be written"):
        rename(call, {"IMG_1.jpg": "../a.jpg"})
    (photos / "link.txt").symlink_to(elsewhere)
    with pytest.raises(ToolError, match=r"no plain file|may not"):
        rename(call, {"link.txt/secret.txt": "mine.txt"})

    assert there(photos) == before


def test_what_is_not_granted_is_refused_before_anything_is_done(
    call: Call, photos: Path, elsewhere: Path
) -> None:
    before = there(photos)

    for outside in (f"{elsewhere}/a.jpg", "../elsewhere/a.jpg"):
        with pytest.raises(ToolError, match="may not be written"):
            rename(call, {"IMG_1.jpg": "a.jpg", "IMG_2.jpg": outside})
        with pytest.raises(ToolError, match="may not be written"):
            rename(call, {"IMG_1.jpg": "a.jpg", outside: "b.jpg"})  # nor is told if it is there

    assert there(photos) == before
