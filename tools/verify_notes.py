"""Check what a model noted about the lines of a transcript against the words that were said.

A small model finds what matters in a line, and now and then makes something up.  What it names
must stand in that line: a note whose words do not is dropped, a person or a date that was not said
is taken off it and flagged.  Each note that stays gets the verbatim words it rests on and their
time.  Where a later line says the same again, the later one counts: that is how people correct
themselves.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel

from agentkit import tool

COMMON = frozenset(
    "a an and are as at be been by can do for from have i if in is it its me my not of on or our "
    "please so that the their them then there they this to us was we will with you your".split()
)
"""Words that prove nothing."""

NOBODY = frozenset("i me we us you he she they it somebody someone anybody everyone group all".split())

ENOUGH = 0.6
"""Share of a note's words that must stand in its line."""

SAME = 0.5
"""Share of words that two notes have in common when they are about the same thing."""


class Line(BaseModel):
    """A line of the transcript; seconds."""

    number: int
    start: float
    end: float
    text: str


class Note(BaseModel):
    """What a model noted about one line; `who` and `due` are empty where nobody was named."""

    kind: Literal["task", "decision", "open question"]
    what: str
    who: str = ""
    due: str = ""


@tool
def verify_notes(lines: list[Line], notes: list[list[Note] | None]) -> dict[str, Any]:
    """Keep the notes that the transcript supports, each with its verbatim quote and time.

    Args:
        lines: The numbered lines, as `number_lines` makes them.
        notes: For each line, in the same order, what was noted about it.
    """
    kept: list[dict[str, Any]] = []
    dropped: list[dict[str, Any]] = []
    spoken = _words(" ".join(line.text for line in lines))
    for line, found in zip(lines, notes, strict=True):
        for note in found or []:
            checked = _check(note, line, spoken)
            if isinstance(checked, str):
                dropped.append({"line": line.number, "note": note.model_dump(), "reason": checked})
                continue
            earlier = next((k for k in kept if _same(k, checked)), None)
            if earlier:
                kept.remove(earlier)
                reason = f"line {line.number} says it again"
                dropped.append({"line": earlier["line"], "note": earlier, "reason": reason})
            kept.append(checked)
    kinds = {"task": "tasks", "decision": "decisions", "open question": "open_questions"}
    return {
        **{
            plural: [note for note in kept if note["kind"] == kind]
            for kind, plural in kinds.items()
        },
        "dropped": dropped,
    }


def _check(note: Note, line: Line, spoken: list[str]) -> dict[str, Any] | str:
    """The note with its evidence, or why it cannot stay."""
    said = _words(line.text)
    words = [word for word in _words(note.what) if word not in COMMON]
    if not words:
        return "says nothing"
    present = sum(any(_alike(word, other) for other in said) for word in words)
    if present / len(words) < ENOUGH:
        return f"only {present} of its {len(words)} words stand in the line"
    doubts = []
    who, due = note.who.strip(), note.due.strip()
    if note.kind == "task":
        if not who or _words(who)[:1] == [] or _words(who)[0] in NOBODY:
            who = ""
            doubts.append("nobody is named")
        elif not all(word in said for word in _words(who)):
            if not all(word in spoken for word in _words(who)):
                return f"{who} is not in the recording"
            return f"{who} is not in the line"
        if due and not _contains(said, _words(due)):
            doubts.append(f"{due!r} was not said")
            due = ""
    return {
        "kind": note.kind,
        "what": note.what.strip().rstrip("."),
        "who": who,
        "due": due,
        "quote": _quote(line.text, words),
        "start": line.start,
        "line": line.number,
        "doubts": doubts,
    }


def _quote(text: str, words: list[str]) -> str:
    """The shortest run of whole clauses of a line that holds all the words it can hold."""
    clauses = re.findall(r"[^,.;!?]+[,.;!?]*", text)
    reachable = {word for word in words if any(_alike(word, said) for said in _words(text))}
    best = text.strip()
    for first in range(len(clauses)):
        for last in range(first, len(clauses)):
            piece = "".join(clauses[first : last + 1]).strip()
            said = _words(piece)
            if len(piece) < len(best) and all(
                any(_alike(word, other) for other in said) for word in reachable
            ):
                best = piece
    return best.strip(" ,;")


def _same(earlier: dict[str, Any], later: dict[str, Any]) -> bool:
    """Whether two notes are about one thing, so that the later replaces the earlier."""
    if earlier["kind"] != later["kind"] or earlier["who"] != later["who"]:
        return False
    one = {word for word in _words(earlier["what"]) if word not in COMMON}
    two = {word for word in _words(later["what"]) if word not in COMMON}
    return len(one & two) / min(len(one), len(two)) > SAME


def _alike(one: str, two: str) -> bool:
    """Equal up to an ending: invite, invited, invitation."""
    if one == two:
        return True
    shorter = min(len(one), len(two))
    return shorter >= 4 and one[: max(4, shorter - 2)] == two[: max(4, shorter - 2)]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+(?:['’]\w+)?", text.lower())


def _contains(haystack: list[str], needle: list[str]) -> bool:
    """Whether the words stand there in one run."""
    size = len(needle)
    return any(haystack[at : at + size] == needle for at in range(len(haystack) - size + 1))
