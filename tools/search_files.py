"""Find the lines of text files that have a text in them, or match a regular expression.

A line is found if it has the pattern in it as it is written, or if it matches it: a model rarely
says which it means, and `print(x)` is both.  Small letters also find capitals; capitals only
themselves.  Where no line has several words as they are written, the lines that have the most
telling of them are shown, with those around them: a question in plain words finds what it is about.

Expressions come from models, and some would keep Python's `re` busy for years, with no way to stop
it.  They are matched by the engine that pydantic brings, Rust's `regex`, whose time grows with the
length of the line and no faster; what it does not know (look-around, back-references) is said.
Large expressions still cost seconds for each ten thousand characters: so they are not matched with
very long lines, and between two lines there is a look at the clock.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import SchemaError, SchemaValidator, core_schema

from agentkit import ToolContext, tool
from agentkit.errors import ToolError, ToolRetry, human_bytes
from agentkit.permissions import ReadPath
from agentkit.toolbox.telling import Telling

SHOWN = 100
"""Lines that are shown."""
COUNTED = 5
"""From so many lines on, their number is told: models do not count well."""
OF_ONE = 20
"""Lines of one file that are shown."""
WIDEST = 200
"""Characters of a line that are shown."""
LARGEST = 50_000_000
"""Bytes of a file that is searched."""
SEARCHED = 20_000
"""Files that are searched."""
LONGEST = 20_000
"""Characters of a line that an expression is matched with."""
SPECIAL = frozenset(".^$*+?()[]{}|\\")
"""What makes an expression of a text."""
DEEPEST = 30
"""Folders in folders."""
NOTES = 10
"""Notes on what is not shown."""
SNIFFED = 8192
"""Bytes at the beginning that tell text from anything else."""


Glob = Annotated[str, Field(pattern=r"^[\w./-]*(\*\*/)?[\w.-]*\*?[\w.-]*$")]
"""Names with one star: small models that may write more of them never stop."""


class Options(BaseModel):
    """What settings can say: `tools: {options: {search_files: {seconds: 300}}}`."""

    model_config = ConfigDict(extra="forbid")

    seconds: float = Field(60.0, gt=0)


@tool(effects=("reads",))
def search_files(
    pattern: str,
    path: ReadPath = Path(),
    files: Glob = "*",
    *,
    context: ToolContext,
) -> str:
    """Find lines in the text files of a folder.

    Args:
        pattern: Text, some words, or a regular expression, in one line.
        path: The folder, or one file.
        files: Only files with names such as *.py.
    """
    if not pattern.strip() or "\n" in pattern:
        raise ToolRetry("pattern is a text in one line: write a word or two of what you look for")
    files = files.removeprefix("**/")
    if "/" in files:
        folder, _, name = files.rpartition("/")
        raise ToolRetry(f"files is for names: path={str(path / folder)!r}, files={name!r}")
    end = time.monotonic() + context.options(Options).seconds
    search = _Search(_Pattern(pattern), Telling(pattern), context, end)
    place = context.files.locate(path)
    if place.is_dir():
        search.folder(place, path, files)
    elif not search.file(context.files.read(path, limit=LARGEST), _name(path)):
        raise ToolRetry(f"{str(path)!r} is no text file: read_file reads PDF and Word")
    return search.told(files)


class _Pattern:
    """What is looked for."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.fault = ""
        """Why it is no regular expression; empty if it is one."""
        self.long_lines = 0
        """Lines that were too long for it."""
        self._any_case = not any(letter.isupper() for letter in re.sub(r"\\.", "", text))
        self._plain = text.lower() if self._any_case else text
        self._expression = self._compiled() if SPECIAL & set(text) else None

    def _compiled(self) -> SchemaValidator | None:
        flags = "(?i)" if self._any_case else ""
        schema = core_schema.str_schema(pattern=flags + self.text, regex_engine="rust-regex")
        try:
            return SchemaValidator(schema)
        except SchemaError as error:
            self.fault = str(error).rpartition("rror: ")[2].strip()
            return None

    def finds(self, line: str) -> bool:
        """Whether a line has it."""
        if self._plain in (line.lower() if self._any_case else line):
            return True
        if self._expression is None:
            return False
        if len(line) > LONGEST:
            self.long_lines += 1
            return False
        return self._expression.isinstance_python(line)

    def part_of(self, line: str) -> str:
        """As much of a line as can be shown."""
        if len(line) <= WIDEST:
            return line
        at = max(0, line.lower().find(self._plain.lower()) - WIDEST // 4)
        return "…" * (at > 0) + line[at : at + WIDEST] + "…" * (at + WIDEST < len(line))


@dataclass
class _Search:
    """What was found so far."""

    pattern: _Pattern
    words: Telling
    context: ToolContext
    end: float
    searched: int = 0
    lines: list[str] = field(default_factory=list)
    hidden: int = 0
    notes: list[str] = field(default_factory=list)

    def folder(self, place: Path, name: Path, files: str) -> None:
        """Search all text files of a folder whose names are like `files`."""
        for path, size in _files(place, files, self.context):
            if self.searched == SEARCHED or self._late():
                return
            shown = name / path.relative_to(place)
            if size > LARGEST:
                self.notes.append(f"{_name(shown)} has {human_bytes(size)}: it was not searched")
                continue
            with suppress(ToolError):  # gone meanwhile, or it leads elsewhere by now
                self.file(self.context.files.read(path, limit=LARGEST), _name(shown))

    def file(self, data: bytes, name: str) -> bool:
        """Search one file; False if it is no text."""
        text = _text(data)
        if text is None:
            return False
        self.searched += 1
        lines = text.removesuffix("\n").split("\n")
        found = [
            f"{name}:{number}:{self.pattern.part_of(line.rstrip())}"
            for number, line in enumerate(lines, start=1)
            if not self._late() and self.pattern.finds(line)
        ]
        if self.words.several and not self.lines and not found:
            self.words.read(name, lines)
        shown = found[: min(OF_ONE, SHOWN - len(self.lines))]
        self.lines += shown
        if len(shown) == OF_ONE < len(found):
            self.notes.append(f"{len(found) - OF_ONE} more lines in {name}")
        else:
            self.hidden += len(found) - len(shown)
        return True

    def _late(self) -> bool:
        self.context.cancel.check()
        return time.monotonic() > self.end

    def _some_words(self) -> list[str]:
        """Lines that have some of the words."""
        return [
            f"{name}:{at}:{line.rstrip()[:WIDEST]}"
            for name, lines in self.words.best().items()
            for at, line in lines
        ]

    def told(self, files: str) -> str:
        """What the caller reads."""
        notes = self.notes
        if self.searched == SEARCHED or self._late():
            stopped = f"stopped after {self.searched} files: choose with path and files"
            notes = [stopped, *notes]
        if self.pattern.long_lines:
            notes = [*notes, f"{self.pattern.long_lines} lines are too long for an expression"]
        if self.hidden:
            notes = [*notes, f"{self.hidden} more lines in other files: choose with path and files"]
        if len(self.lines) >= COUNTED and not notes:
            notes = [f"{len(self.lines)} lines"]
        if not self.searched:
            notes = [f"there is no text file named like {files!r} in it", *notes]
        elif not self.lines and (some := self._some_words()):
            self.lines = some
            missing = ", ".join(self.words.nowhere)
            nowhere = f"; nowhere: {missing}" if missing else ""
            notes = [f"no line has it as it is written, these have some words{nowhere}", *notes]
        elif not self.lines:
            fault = self.pattern.fault and f", which is no regular expression: {self.pattern.fault}"
            notes = [f"no line of {self.searched} files has {self.pattern.text!r}{fault}", *notes]
        return "\n".join([*self.lines, *(f"[{note}]" for note in notes[:NOTES])])


def _files(top: Path, pattern: str, context: ToolContext) -> Iterator[tuple[Path, int]]:
    """The plain files below a folder with their sizes, without hidden ones and links."""
    for folder, folders, names, handle in os.fwalk(top):
        context.cancel.check()
        context.files.locate(f"/proc/self/fd/{handle}")  # what was opened, whatever its name was
        deep = len(Path(folder).relative_to(top).parts) >= DEEPEST
        folders[:] = [] if deep else sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith(".") or not fnmatchcase(name, pattern):
                continue
            with suppress(OSError):  # gone meanwhile
                found = os.stat(name, dir_fd=handle, follow_symlinks=False)
                if stat.S_ISREG(found.st_mode):
                    yield Path(folder, name), found.st_size


def _text(data: bytes) -> str | None:
    """A text in one of the usual encodings; None if it is none."""
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    if b"\0" in data[:SNIFFED]:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _name(path: Path) -> str:
    """As it is, or as JSON writes it: a line end in a name would make two lines of one."""
    text = str(path)
    return text if text.isprintable() else json.dumps(text)
