"""Check what a model noted about the lines of a transcript against the words that were said.

A small model finds what matters in a line, and now and then makes something up.  What it names
must stand in that line: a note whose words do not is dropped, a person or a date that was not said
is taken off it and flagged.  Each note that stays gets the verbatim words it rests on and their
time.  Where a later line says the same again, the later one counts: that is how people correct
themselves.
"""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel

from agentkit import tool

COMMON = frozenset(
    "a an and are as at be been by can do for from have i if in is it its me my not of on or our "
    "please so that the their them then there they this to us was we will with you your".split()
)
"""Words that prove nothing."""

SPEAKER = frozenset(["i", "me", "we"])
NOBODY = SPEAKER | set("us you he she they it somebody someone anybody everyone group all".split())

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
    words: list[dict[str, Any]] = []


class Task(BaseModel):
    """Something to do; `who` and `due` are empty where nobody or no date was named."""

    who: str
    what: str
    due: str


class Notes(BaseModel):
    """What a model noted about one line."""

    tasks: list[Task] = []
    decisions: list[str] = []
    unknown: list[str] = []


@tool
def verify_notes(lines: list[Line], notes: list[Notes | None]) -> dict[str, Any]:
    """Keep the notes that a transcript supports, each with its quote and time.

    Args:
        lines: The numbered lines, as `number_lines` makes them.
        notes: For each line, in the same order, what was noted about it.
    """
    findings = _Findings()
    unread = [line.number for line, found in zip(lines, notes, strict=True) if found is None]
    for line, found in zip(lines, notes, strict=True):
        for task in found.tasks if found else []:
            findings.add("tasks", line, task.what, who=task.who.strip(), due=task.due.strip())
        for decision in found.decisions if found else []:
            findings.add("decisions", line, decision)
        for unknown in found.unknown if found else []:
            findings.add("open_questions", line, unknown)
    return {**findings.kept, "dropped": findings.dropped, "unread": unread}


class _Findings:
    """What stays, by kind, and what does not, with the reason."""

    def __init__(self) -> None:
        self.kept: dict[str, list[dict[str, Any]]] = {
            "tasks": [],
            "decisions": [],
            "open_questions": [],
        }
        self.dropped: list[dict[str, Any]] = []

    def add(self, kind: str, line: Line, what: str, *, who: str = "", due: str = "") -> None:
        """Check one note and keep or drop it."""
        note = {"kind": kind, "what": what.strip().rstrip("."), "who": who, "due": due}
        fault = _fault(note, line)
        if fault:
            self.dropped.append({"line": line.number, "note": note, "reason": fault})
            return
        checked = _with_evidence(note, line)
        kept = self.kept[kind]
        for earlier in [other for other in kept if _same(other, checked)]:
            kept.remove(earlier)
            reason = f"line {line.number} says it again"
            self.dropped.append({"line": earlier["line"], "note": earlier, "reason": reason})
        kept.append(checked)


def _fault(note: dict[str, Any], line: Line) -> str:
    """Why a note cannot stay; empty if it can."""
    said = _words(line.text)
    words = _telling(note["what"])
    present = sum(any(_alike(word, other) for other in said) for word in words)
    if len(words) < 2 and note["kind"] != "open_questions":
        return "says too little"
    if present < ENOUGH * len(words) or not words:
        return f"only {present} of its {len(words)} words stand in the line"
    if note["kind"] == "open_questions" and line.text.rstrip().endswith("?"):
        return "is a question, and nobody says that it stays open"
    who = _words(note["who"])
    if note["kind"] == "tasks":
        if note["who"] and not who:
            return f"{note['who']!r} is nobody"
        if who and who[0] in NOBODY - SPEAKER:
            return "is meant for nobody in particular"
        if not set(who) <= set(said):
            return f"{note['who']} is not in the line"
    return ""


def _with_evidence(note: dict[str, Any], line: Line) -> dict[str, Any]:
    """The note with quote and time, less a date or a person that was not named."""
    doubts = []
    who, due = note["who"], note["due"]
    if note["kind"] == "tasks" and (not who or _words(who)[0] in SPEAKER):
        who = ""
        doubts.append("who speaks here is not known")
    if due and not _contains(_words(line.text), _words(due)):
        doubts.append(f"{due!r} was not said")
        due = ""
    quote = _quote(line.text, _telling(note["what"]))
    return {
        **note,
        "who": who,
        "due": due,
        "quote": quote,
        "start": _start(quote, line),
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


def _start(quote: str, line: Line) -> float:
    """When the quote begins: the time of its first word, if the words of the line have times."""
    before = len(line.text[: line.text.index(quote)].split())
    if len(line.words) != len(line.text.split()):
        return line.start
    return float(line.words[before]["start"])


def _same(earlier: dict[str, Any], later: dict[str, Any]) -> bool:
    """Whether two notes of one kind are about one thing, so that the later replaces the earlier."""
    if earlier["who"] != later["who"]:
        return False
    one, two = set(_telling(earlier["what"])), set(_telling(later["what"]))
    return len(one & two) / min(len(one), len(two)) > SAME


def _telling(text: str) -> list[str]:
    """The words that carry the meaning."""
    return [word for word in _words(text) if word not in COMMON]


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
    return bool(needle) and any(
        haystack[at : at + size] == needle for at in range(len(haystack) - size + 1)
    )
