"""What an agent leaves for a person: an answer, what was done, and what each claim rests on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from agentkit.agent.budget import StopReason
from agentkit.agent.sources import Place, Source, behind, places, sources
from agentkit.agent.state import AgentState

WHY: dict[StopReason, str] = {
    "done": "The objective was worked through to its end.",
    "nothing_left": "No task is left, but not all of them succeeded.",
    "tasks": "It stopped at the limit of tasks: this is what there is so far.",
    "steps": "It stopped at the limit of steps: this is what there is so far.",
    "tokens": "It stopped at the limit of tokens: this is what there is so far.",
    "seconds": "It stopped at the limit of time: this is what there is so far.",
    "stuck": "It stopped because it went round in circles: this is what there is so far.",
    "context": "It stopped because the model's context is full: this is what there is so far.",
    "cancelled": "It was cancelled: this is what there is so far.",
    "failed": "It failed: this is what there is so far.",
}

NAME = 200
"""Characters of the name of a source."""

MARKS = {"done": "x", "failed": "!", "dropped": "-"}

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that do something to a terminal, or to the order of others."""

_MARKUP = re.compile(r"^(?=[ \t]*(?:#|(?:=+|-+)[ \t]*$))|(?=<[a-z/!?])|(?<=!)(?=\[)", re.I | re.M)
"""Where a heading, HTML or a picture would begin."""

_SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?](?!\s|$)[^.!?\n]*)*[.!?]?\s*")


def write_report(state: AgentState, reason: StopReason, answer: str) -> str:
    """Markdown; what tools and model said stands in it as text."""
    found = sources(state)
    there = places(found)
    given = "\n".join([state.objective, *(task.text for task in state.tasks.tasks)])
    said = [
        (sentence, behind(sentence, there, given))
        for sentence in _SENTENCE.findall(_text(answer.strip()))
        if sentence
    ]
    numbers = _numbered(place for _, cited in said for place in cited)
    body = "".join(_marked(sentence, [numbers[one] for one in cited]) for sentence, cited in said)
    lines = [f"# {_line(state.objective)}", "", body.rstrip(), ""]
    lines += [f"*{WHY[reason]}*", "", "## What was done", ""]
    for task in state.tasks.tasks:
        evidence = [str(n) for n, one in enumerate(found, 1) if one.call in task.evidence]
        lines.append(f"- [{MARKS.get(task.status, ' ')}] {_line(task.text)}{_marks(evidence)}")
        if task.result and task.result.strip() != answer.strip():
            lines.append(f"  {_line(task.result)}")
    if state.lessons:
        lines += ["", "## What went wrong on the way", ""]
        lines += [f"- {_line(lesson)}" for lesson in state.lessons]
    if found:
        lines += ["", "## Sources", "", *_listed(found, numbers)]
    return "\n".join(lines) + "\n"


def _numbered(cited: Iterable[Place]) -> dict[Place, str]:
    """The number of each place: that of its source, or 2.1, 2.2 for what source 2 showed."""
    numbers: dict[Place, str] = {}
    for place in dict.fromkeys(cited):
        before = sum(one.source == place.source and bool(one.name) for one in numbers)
        numbers[place] = f"{place.source}.{before + 1}" if place.name else str(place.source)
    return numbers


def _marked(sentence: str, numbers: Sequence[str]) -> str:
    text = sentence.rstrip()
    return text + _marks(numbers) + sentence[len(text) :]


def _marks(numbers: Iterable[str]) -> str:
    return "".join(f" [{number}]" for number in numbers)


def _listed(found: Sequence[Source], numbers: Mapping[Place, str]) -> list[str]:
    """The sources, each followed by what of it is cited."""
    lines = list[str]()
    for number, source in enumerate(found, 1):
        name = _code(source.name) if source.code else _line(source.name)[:NAME]
        lines.append(f"{number}. {name}")
        lines += [
            f"   - [{cited}] {_code(place.name)}"
            for place, cited in numbers.items()
            if place.source == number and place.name
        ]
    return lines


def _code(name: str) -> str:
    told = " ".join(_UNSEEN.sub("\ufffd", name).split())
    return "`" + told.replace("`", "'")[:NAME] + "`"


def _line(text: str) -> str:
    return _text(" ".join(text.split()))


def _text(text: str) -> str:
    return _MARKUP.sub(r"\\", _UNSEEN.sub("\ufffd", text))
