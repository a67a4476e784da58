"""What an objective is: files, a sentence, tools, and a judge of what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

SITE = "{site}"
"""Stands in a sentence for the address of the website, which is known when it is served."""

Check = Callable[[Path, str], str]
"""What is wrong with a folder and an answer; empty if nothing is."""

Attempt = Callable[[Path], str]
"""Does something in a folder, and answers."""


@dataclass(frozen=True, slots=True)
class Objective:
    """Something that a person would ask for.

    `solve` does it right, by plain Python and from the files alone, and `mistake` in a way that
    somebody might take for right: with them a test proves that `check` can tell.  `facts` are in
    memory before it begins.
    """

    name: str
    family: str
    ask: str
    tools: tuple[str, ...]
    check: Check
    solve: Attempt
    mistake: Attempt
    files: Mapping[str, str] = field(default_factory=dict)
    facts: tuple[str, ...] = ()

    def prepare(self, folder: Path) -> None:
        """Put the files into an empty folder: the same ones each time."""
        for name, text in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def at(self, site: str) -> Objective:
        """The same, with the address of the website in its sentence."""
        return replace(self, ask=self.ask.replace(SITE, site))


def names(folder: Path) -> set[str]:
    """The files that a person would see there, without what agents keep for themselves."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {
        str(path)
        for path in found
        if path.parts[0] != "tool-outputs"
        and not any(part.startswith((".", "__pycache__")) for part in path.parts)
    }


def text_of(path: Path) -> str | None:
    """The text of a file; None where there is none."""
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return None


def changed(folder: Path, files: Mapping[str, str], but: tuple[str, ...] = ()) -> str:
    """Which of the files are not as they were, in words; empty if all are."""
    for name, text in files.items():
        if name not in but and (found := text_of(folder / name)) != text:
            return f"{name} was {'changed' if found is not None else 'removed'}"
    return ""
