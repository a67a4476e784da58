"""Replace a piece of a text file by another.  What was not named stays as it is, byte for byte.

The piece has to stand in the file exactly once, or an edit would be a guess.  Where it does not,
the answer shows what stands there, so that the next try can copy it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from difflib import SequenceMatcher
from itertools import islice, takewhile
from pathlib import Path
from typing import Annotated

from pydantic import Field

from agentkit import ToolContext, tool
from agentkit.errors import ToolError, ToolRetry
from agentkit.permissions import ChangedPath

AROUND = 2
"""Lines of the file that are shown before and after a change."""
SHOWN = 60
"""Lines of a diff that are shown."""
SEARCHED = 20_000
"""Lines of a file among which the nearest is looked for."""
WIDEST = 300
"""Characters of a line that are compared and shown."""
COMPARED = 1000
"""Lines of a change that are compared one by one."""
NEAR, FAR = 2, 3
"""Lines by which the number of a line may be wrong, where there are more places and only one."""
PLACES = 10
"""Lines that are named where old stands more than once."""
OTHERS, LARGE = 500, 1_000_000
"""Other files in which the same text is looked for, and their bytes."""
LIKE = 0.6
"""How like two lines are that may have been meant for each other, from 0 to 1."""


@tool(effects=("writes",))
def edit_file(
    path: ChangedPath,
    old: str,
    new: str,
    line: Annotated[int, Field(ge=0)] = 0,
    all: bool = False,
    *,
    context: ToolContext,
) -> str:
    """Change a text file: replace old by new.

    Args:
        path: The file.
        old: The text to replace, copied exactly, with its spaces.
        new: The text to put there.
        line: The line in which old begins; 0 if there is only one.
        all: Replace every occurrence.
    """
    text = _text(context.files.read(path), str(path))
    old, new = _with_line_ends_of(text, old, new)
    if not old:
        raise ToolRetry("old is empty: copy the lines to replace; write_file writes a whole file")
    if old == new:
        raise ToolRetry("old and new are the same: nothing would change")
    places = [found.start() for found in re.finditer(re.escape(old), text)]
    if not places:
        others = ", ".join(_elsewhere(old, path, context))
        told = f". It stands in: {others}" if others else ""
        raise ToolRetry(_missing(text, old, str(path)) + told)
    if not all:
        places = [_meant(text, places, line, str(path))]
    changed = _replaced(text, places, old, new)
    context.files.write(path, changed.encode("utf-8", "surrogateescape"))
    times = "once" if len(places) == 1 else f"{len(places)} times"
    also = _elsewhere(old, path, context)
    told = f"\n[old stands also in: {', '.join(also)}]" if also else ""
    return f"replaced {times} in {path}:\n{_diff(text, changed)}{told}"


def _elsewhere(old: str, path: Path, context: ToolContext) -> list[str]:
    """Other files of the folder of the run in which the same text stands, and may be meant, too."""
    here, wanted = context.files.locate(path), old.encode("utf-8", "surrogateescape")
    others = (file for file in islice(_beside(context.folder), OTHERS) if file != here)
    found = (file for file in others if wanted in _read(file, context))
    return [str(file.relative_to(context.folder)) for file in islice(found, PLACES)]


def _read(file: Path, context: ToolContext) -> bytes:
    """Nothing where it may not or cannot be read: an edit that was made must not fail for that."""
    with suppress(ToolError, OSError):
        if file.stat().st_size <= LARGE:
            return context.files.read(file)
    return b""


def _beside(folder: Path) -> Iterator[Path]:
    """The files of a folder and those below it, without hidden ones and links."""
    for place, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if not name.startswith("."))
        files = (Path(place) / name for name in sorted(names) if not name.startswith("."))
        yield from (file for file in files if file.is_file() and not file.is_symlink())


def _meant(text: str, places: Sequence[int], line: int, path: str) -> int:
    """The only place, or the one in a line; models miscount by one or two.

    Raises `ToolRetry` where it would be a guess.
    """
    lines = [text.count("\n", 0, at) + 1 for at in places]
    if len(places) == 1 and (not line or abs(lines[0] - line) <= FAR):
        return places[0]
    if len(places) == 1:
        raise ToolRetry(
            f"old stands in {path!r}, but not near line {line}: only in line {lines[0]}"
        )
    for near in range(NEAR + 1):
        found = [at for at, place in zip(places, lines, strict=True) if abs(place - line) == near]
        if line and len(found) == 1:
            return found[0]
        if found:
            break
    if line in lines:
        raise ToolRetry(f"old stands in line {line} of {path!r} more than once: take more of it")
    listed = ", ".join(map(str, lines[:PLACES]))
    raise ToolRetry(
        f"old stands {len(places)} times in {path!r}: say which with line, one of {listed}, or "
        "say all=true"
    )


def _replaced(text: str, places: Sequence[int], old: str, new: str) -> str:
    pieces, done = [], 0
    for at in places:
        pieces += [text[done:at], new]
        done = at + len(old)
    return "".join([*pieces, text[done:]])


def _text(data: bytes, path: str) -> str:
    """Bytes that are no UTF-8 are kept as they are, in characters that no text has."""
    if b"\0" in data:
        raise ToolError(f"{path!r} is no UTF-8 text: run_python can change its bytes")
    return data.decode("utf-8", "surrogateescape")


def _with_line_ends_of(text: str, old: str, new: str) -> tuple[str, str]:
    """Models write plain line ends, also into files from Windows."""
    if "\n" not in text or text.count("\n") > text.count("\r\n"):
        return old, new
    plain = [piece.replace("\r\n", "\n") for piece in (old, new)]
    return plain[0].replace("\n", "\r\n"), plain[1].replace("\n", "\r\n")


# -- what changed --------------------------------------------------------------------------------


def _diff(before: str, after: str) -> str:
    """The lines that changed, with a few around them, numbered as they are now."""
    one, two = before.split("\n"), after.split("\n")
    head = _common(one, two)
    tail = _common(one[head:][::-1], two[head:][::-1])
    start = max(0, head - AROUND)
    one, two = (lines[start : len(lines) - max(0, tail - AROUND)] for lines in (one, two))
    if len(one) + len(two) > COMPARED:
        return f"lines {start + 1} to {start + len(two)}, too many to show"
    rows = list[str]()
    for group in SequenceMatcher(None, one, two, autojunk=False).get_grouped_opcodes(AROUND):
        rows.append(f"@@ line {start + group[0][3] + 1} @@")
        for kind, a, b, c, d in group:
            if kind == "equal":
                rows += [" " + line for line in one[a:b]]
            else:
                rows += ["-" + line for line in one[a:b]] + ["+" + line for line in two[c:d]]
    cut = [f"[{len(rows) - SHOWN} more lines]"] if len(rows) > SHOWN else []
    return "\n".join([*map(_clean, rows[:SHOWN]), *cut])


def _common(one: Sequence[str], two: Sequence[str]) -> int:
    """How many lines are the same at the beginning."""
    pairs = zip(one, two, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _clean(line: str) -> str:
    """A line that can be shown: not too wide, without bytes that are no text."""
    shown = line if len(line) <= WIDEST else line[:WIDEST] + "…"
    return shown.rstrip("\r").encode("utf-8", "replace").decode()


# -- what stands there instead -------------------------------------------------------------------


def _missing(text: str, old: str, path: str) -> str:
    """Why old was not found, and what to copy."""
    if not text.strip():
        return f"{path!r} is empty: write_file writes a whole file"
    written_out = old.replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"')
    if written_out != old and written_out in text:
        return (
            "old has a backslash and a letter where the file has line ends, tabs or quotes: write "
            "old and new with real ones"
        )
    if not old.strip():
        return f"old is only space, and not the one in {path!r}: copy the lines around it, too"
    if same_words := re.search(r"\s+".join(map(re.escape, old.split())), text):
        return _to_copy(text, *same_words.span(), path, "which differ in spaces or line ends")
    near = _nearest(text, old)
    if near is None and (told := _lines_with_words(text, old)):
        return f"old is not in {path!r}. Copy it exactly from one of these lines:\n{told}"
    if near is None:
        return f"old is not in {path!r}, and nothing like it: read_file shows what is"
    return _to_copy(text, *near, path, "which come nearest")


def _lines_with_words(text: str, old: str) -> str:
    """The lines that have most words of it, with their numbers; they may be the ones that are meant
    by somebody who writes of a file in the words of another language.
    """
    words = {word.lower() for word in re.findall(r"\w{3,}", old)}
    lines = text.split("\n")[:SEARCHED]
    shared = [len(words & set(re.findall(r"\w{3,}", line.lower()))) for line in lines]
    most = max(shared, default=0)
    found = [n for n, count in enumerate(shared) if count == most > 0][:PLACES]
    return "\n".join(f"line {n + 1}: {_clean(lines[n])}" for n in found)


def _to_copy(text: str, start: int, end: int, path: str, why: str) -> str:
    """The lines of a piece of the text, whole and as they are."""
    first, last = (text.count("\n", 0, at) for at in (start, end))
    lines = text.split("\n")[first : last + 1]
    shown = "\n".join(map(_clean, lines[:SHOWN]))
    return (
        f"old is not in {path!r}. Copy it exactly from lines {first + 1} to {last + 1}, {why}:\n"
        f"{shown}"
    )


def _nearest(text: str, old: str) -> tuple[int, int] | None:
    """Where the lines are that are most like old: those around the one like its longest line."""
    wanted = old.strip("\r\n").split("\n")
    anchor = max(wanted, key=lambda line: len(line.strip()))
    lines = text.split("\n")
    matcher = SequenceMatcher(b=anchor.strip()[:WIDEST], autojunk=False)
    best, found = LIKE, None
    for number, line in enumerate(lines[:SEARCHED]):
        matcher.set_seq1(line.strip()[:WIDEST])
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best:
            ratio = matcher.ratio()
            if ratio > best:
                best, found = ratio, number
    if found is None:
        return None
    first = max(0, found - wanted.index(anchor))
    start = sum(len(line) + 1 for line in lines[:first])
    return start, start + len("\n".join(lines[first : first + len(wanted)]))
