"""The folder of a run: which files there are, and which of them a task speaks of."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

TEST = re.compile(r"(?:^|/)(?:test_[\w-]+|[\w-]+_test)\.(?:py|sh)$")
"""The name of a file that is a test."""

FEW_BYTES = 2400
"""Of files that are read as a whole before anything else: about 700 tokens."""

LONG_TEXT, MANY_TEXTS = 100_000, 4_000_000
"""Bytes of a file, and of all, from which on nobody looks through them."""

TABLES, SHORT_TABLE = (".csv", ".tsv"), 600
"""Ends of names of tables, and the bytes of one that is read like any file."""

LOOKED_AT = 2000
"""Entries of folders that are looked at for files to offer."""

FILE = re.compile(r"(?<![\w./~-])(?:[\w-]+/)*[\w-]+\.(?:[a-z][a-z0-9]{1,4}|[chr])\b(?![\w/])")
"""The name of a file, maybe with folders before it."""

DOMAINS = (".com", ".net", ".org")
"""Ends of what is a site, and no file."""

URL = re.compile(r"https?://[^\s<>\"'`)\]}|\\]+[^\s<>\"'`)\]}|\\.,;:]")


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths in it are relative, and nothing that begins with a dot is seen.

    `computes`: there are programs or queries, which read long tables better than a model does.
    """

    root: Path
    computes: bool

    def paths(self, *, folders: bool = False) -> Iterator[str]:
        """Files, or folders and the folder itself; of many, the first."""
        if folders:
            yield "."
        looked_at = 0
        for place, below, names in os.walk(self.root):
            below[:] = sorted(name for name in below if not name.startswith("."))
            for name in below if folders else sorted(names):
                looked_at += 1
                if looked_at > LOOKED_AT:
                    return
                if not name.startswith("."):
                    yield str((Path(place) / name).relative_to(self.root))

    def readable(self) -> Iterator[str]:
        """The files, but for long tables where there are programs or queries, which read them
        better: a model that has seen a column of figures guesses its sum.
        """
        for path in self.paths():
            file = self.root / path
            table = self.computes and file.suffix in TABLES and file.is_file()
            if not table or file.stat().st_size <= SHORT_TABLE:
                yield path

    def mentioned(self, task: str) -> list[str]:
        """The files whose names stand in a task."""
        return [
            path
            for path in self.readable()
            if re.search(rf"(?<![\w./-]){re.escape(Path(path).name)}(?![\w-])", task)
        ]

    def named(self, task: str) -> list[str]:
        """The files that a task names, if they are short, and more than it does not name: of many,
        it names one as an example.
        """
        there, named = [*self.readable()], self.mentioned(task)
        sizes = [(self.root / path).stat().st_size for path in named]
        return named if 2 * len(named) > len(there) and sum(sizes) <= FEW_BYTES else []

    def missing(self, text: str, seen: Sequence[str]) -> list[str]:
        """Files that a text names, and that neither are in the folder nor were ever seen there."""
        known = "\n".join(seen)
        return [
            name
            for name in dict.fromkeys(FILE.findall(URL.sub(" ", text)))
            if name not in known and not name.endswith(DOMAINS) and not (self.root / name).exists()
        ]

    def texts(self, task: str) -> Iterator[tuple[str, str]]:
        """The files of the folder that a task names, with what is in them; no long ones."""
        for name in dict.fromkeys(FILE.findall(URL.sub(" ", task))):
            file = self.root / name
            if file.is_file() and file.stat().st_size <= LONG_TEXT:
                yield name, file.read_text(errors="replace")

    def others(self, name: str) -> list[str] | None:
        """What is in all files of the folder but one; None where that is too much."""
        there = [path for path in self.paths() if path != name]
        files = [file for path in there if (file := self.root / path).is_file()]
        if len(there) >= LOOKED_AT or sum(file.stat().st_size for file in files) > MANY_TEXTS:
            return None
        return [file.read_text(errors="replace") for file in files]
