"""Give files other names, many at once, and overwrite nothing.

All is looked at before anything is done: a rule that a model got half right must not cost files.
Names that are passed on (a to b, b to c) are moved in an order in which each is free.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from agentkit import ToolContext, tool
from agentkit.errors import ToolError, ToolRetry
from agentkit.permissions import WritePath

MOST = 100
"""Files that are renamed by one call."""
LONGEST = 200
LISTED = 10
"""Names of others that are told."""


class Renaming(BaseModel):
    """A file, and what it is called from now on; with folders, if it is to move."""

    model_config = ConfigDict(extra="forbid")

    old: Annotated[str, Field(min_length=1, max_length=LONGEST)]
    new: Annotated[str, Field(min_length=1, max_length=LONGEST)]


@tool(effects=("writes",), each={"files": "old"})
def rename_files(
    files: Annotated[Sequence[Renaming], Field(min_length=1, max_length=MOST)],
    folder: WritePath = Path(),
    *,
    context: ToolContext,
) -> str:
    """Rename or move files; nothing is overwritten.

    Args:
        files: All files to rename, each with its old and its new name.
        folder: The folder that they are in.
    """
    moves = {one.old: one.new for one in files if one.old != one.new}
    if len({one.old for one in files}) < len(files):
        raise ToolRetry("a file stands in the list twice: give each one new name")
    if not moves:
        raise ToolRetry("all new names are the old ones: nothing would change")
    _check(moves, folder, context)
    for old in [*_in_order(moves)]:  # all of them, before the first one
        context.files.rename(folder / old, folder / moves[old])
    told = [f"{old} -> {new}" for old, new in moves.items()]
    return "\n".join([*told, *_left(moves, folder, context)])


def _check(moves: dict[str, str], folder: Path, context: ToolContext) -> None:
    """Raise `ToolRetry` with all that is wrong, before anything was done."""
    for name in (*moves, *moves.values()):
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ToolError(f"{name!r} may not be written: it is not in {str(folder)!r}")
    there = {name: context.files.locate(folder / name) for name in (*moves, *moves.values())}
    faults = [f"there is no file {old!r}" for old in moves if not there[old].is_file()]
    taken = set[str]()
    for new in moves.values():
        if new in taken:
            faults.append(f"two files would be called {new!r}")
        elif new not in moves and there[new].exists():
            faults.append(f"there is a {new!r} already")
        taken.add(new)
    if faults:
        raise ToolRetry(f"nothing was renamed: {'; '.join(faults[:LISTED])}")


def _in_order(moves: dict[str, str]) -> Iterator[str]:
    """The old names, each after the one whose place its file takes."""
    left = dict(moves)
    while left:
        free = [old for old, new in left.items() if new not in left]
        if not free:
            circle = ", ".join(left)
            raise ToolRetry(f"these exchange their names: {circle}: take a third name in between")
        for old in free:
            del left[old]
        yield from free


def _left(moves: dict[str, str], folder: Path, context: ToolContext) -> Iterator[str]:
    """The files beside them that keep their names, in a line."""
    place = context.files.locate(folder)
    new = {str(Path(name)) for name in moves.values()}
    there = sorted(path.name for path in place.iterdir() if path.is_file())
    names = [name for name in there if name not in new and not name.startswith(".")]
    if names:
        yield f"[not renamed: {', '.join(names[:LISTED])}{', …' * (len(names) > LISTED)}]"
