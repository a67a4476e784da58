"""What is in a folder: names and sizes, hidden ones left out.

Folders are walked by their open handles, and links are not followed: where one leads is told only
if that may be read.
"""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Annotated

from pydantic import Field

from agentkit import ToolContext, tool
from agentkit.errors import ToolError, ToolRetry, did_you_mean, human_bytes
from agentkit.permissions import ReadPath

SHOWN = 200
"""Entries that are listed; the others are counted."""
COUNTED = 5
"""From so many files on, their number is told, of all and of each folder: models cannot count."""
KINDS = 8
"""Endings that are counted each on its own."""
SEEN = 50_000
"""Entries that are looked at."""
TABLES = (".csv", ".tsv")
"""Ends of names of tables."""
BEGINNINGS = 30
"""Files of which the first line is shown."""
BEGINNING = 60
"""Characters of it."""
SMALL = 100_000
"""Bytes of a file that is opened for its first line."""
DEEPEST = 30
"""Folders in folders."""
WILD = frozenset("*?[")


@tool(effects=("reads",))
def list_files(
    path: ReadPath = Path(),
    pattern: Annotated[str, Field(pattern=r"^[\w./-]*(\*\*/)?[\w.-]*\*?[\w.-]*$")] = "*",
    recursive: bool = False,
    first_lines: bool = False,
    *,
    context: ToolContext,
) -> str:
    """List the files in a folder, with their sizes.

    Args:
        path: The folder.
        pattern: Only names such as *.py.
        recursive: Also look into its folders.
        first_lines: Show how each text file begins.
    """
    place = context.files.locate(path)
    if place.is_file():
        return f"{_name(path)}  {human_bytes(place.stat().st_size)}"
    if not place.is_dir():
        raise ToolRetry(_no_folder(path, place, context))
    if pattern.startswith("**/"):
        pattern, recursive = pattern[3:], True
    if "/" in pattern:
        raise ToolRetry(_two_arguments(path / pattern))
    entries = [*islice(_entries(place, recursive, context), SEEN)]
    found = sorted(entry for entry in entries if fnmatchcase(entry[0].name, pattern))
    if not found:
        return _nothing([name for name, _ in entries], pattern, recursive)
    inside = _inside(found) if recursive else {}
    lines = [
        f"{_name(path / name)}{about}{_counted(inside.get(name, Counter()), '  {}')}"
        for name, about in found[:SHOWN]
    ]
    if first_lines:
        begun = [_first_line(path / name, context) for name, _ in found[:BEGINNINGS]]
        lines[: len(begun)] = map("".join, zip(lines, begun, strict=False))
    ends = Counter(name.suffix.lower() for name, about in found if about.endswith("B"))
    lines += filter(None, [_counted(ends, "[{}]")])
    if len(found) > SHOWN:
        least = "at least " if len(entries) == SEEN else ""
        lines.append(f"[{least}{len(found) - SHOWN} more: choose with path and pattern]")
    return "\n".join(lines)


def _inside(found: Sequence[tuple[Path, str]]) -> dict[Path, Counter[str]]:
    """The endings of the files in each folder and in those inside it."""
    ends: dict[Path, Counter[str]] = {}
    for name, about in found:
        for folder in name.parents if about.endswith("B") else ():
            ends.setdefault(folder, Counter())[name.suffix.lower()] += 1
    return ends


def _counted(ends: Counter[str], form: str) -> str:
    """How many files there are, and of which endings; nothing of a few."""
    if ends.total() < COUNTED:
        return ""
    kinds = [f"{count} {end or 'without an ending'}" for end, count in ends.most_common(KINDS)]
    listed = f": {', '.join(kinds)}{', …' * (len(ends) > KINDS)}" if len(ends) > 1 else ""
    return form.format(f"{ends.total()} files{listed}")


def _entries(top: Path, recursive: bool, context: ToolContext) -> Iterator[tuple[Path, str]]:
    """What is in a folder, relative to it, and what is to be said about each."""
    for folder, folders, names, handle in os.fwalk(top):
        context.cancel.check()
        context.files.locate(f"/proc/self/fd/{handle}")  # what was opened, whatever its name was
        here = Path(folder)
        visible = [name for name in (*folders, *names) if not name.startswith(".")]
        for name in visible:
            yield (here / name).relative_to(top), _about(here / name, handle, context)
        deeper = recursive and len(here.relative_to(top).parts) < DEEPEST
        folders[:] = sorted(set(folders) & set(visible)) if deeper else []


def _about(path: Path, folder: int, context: ToolContext) -> str:
    """What follows the name of an entry: the size of a file, the slash of a folder."""
    try:
        found = os.stat(path.name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            found = context.files.locate(path).stat()
    except (ToolError, OSError, RuntimeError):  # RuntimeError: links in a circle
        return "  (a link to nothing that may be read)"
    if stat.S_ISDIR(found.st_mode):
        return "/"
    return f"  {human_bytes(found.st_size)}" if stat.S_ISREG(found.st_mode) else "  (no plain file)"


def _first_line(path: Path, context: ToolContext) -> str:
    """How a text begins, to stand after its size; nothing of a folder, or of what is no text.

    Of a table it is the header and a row: names of columns do not say what is in them.
    """
    try:
        text = context.files.read(path, limit=SMALL).decode()
    except (ToolError, UnicodeDecodeError):
        return ""
    written = (line.strip() for line in text.splitlines() if line.strip())
    lines = [line[:BEGINNING] for line in islice(written, 2 if path.suffix in TABLES else 1)]
    return f"  {' | '.join(lines)}" if lines and all(map(str.isprintable, lines)) else ""


def _name(path: Path) -> str:
    """As it is, or as JSON writes it: a line end in a name would make two names of one."""
    text = str(path)
    return text if text.isprintable() else json.dumps(text)


# -- when there is nothing to list ---------------------------------------------------------------


def _nothing(names: Sequence[Path], pattern: str, recursive: bool) -> str:
    if not names:
        return "the folder is empty"
    there = ", ".join(_name(name) for name in sorted(names)[:20])
    more = "" if recursive else "; recursive=true looks into its folders, too"
    return f"nothing in it is named like {pattern!r}; there is: {there}{more}"


def _no_folder(path: Path, place: Path, context: ToolContext) -> str:
    if WILD & set(str(path)):
        return _two_arguments(path)
    try:
        there = [entry.name for entry in context.files.locate(place.parent).iterdir()]
    except (ToolError, OSError):
        there = []
    return f"there is no folder {str(path)!r}.{did_you_mean(place.name, there)}"


def _two_arguments(path: Path) -> str:
    """How to say a path with wildcards in it."""
    last = len(path.parts) - 1
    first = next((n for n, part in enumerate(path.parts[:last]) if WILD & set(part)), last)
    folder = Path(*path.parts[:first])
    deeper = ", recursive=true" if first < last else ""
    return (
        "a pattern is for names, and path for the folder: "
        f"path={str(folder)!r}, pattern={path.name!r}{deeper}"
    )
