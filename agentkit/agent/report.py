"""What an agent leaves for a person: an answer, what was done, and what each claim rests on."""

from __future__ import annotations

import json
import re

from agentkit.agent import claims
from agentkit.agent.budget import StopReason
from agentkit.agent.state import Act, AgentState

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

MARKS = {"done": "x", "failed": "!", "dropped": "-"}

NAMED = ("path", "url", "query", "id", "audio", "command")
"""Arguments that say where something is from."""

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that do something to a terminal, or to the order of others."""

_MARKUP = re.compile(r"^(?=[ \t]*(?:#|(?:=+|-+)[ \t]*$))|(?=<[a-z/!?])|(?<=!)(?=\[)", re.I | re.M)
"""Where a heading, HTML or a picture would begin."""

_SENTENCE = re.compile(r"[^.!?\n]*(?:[.!?](?!\s|$)[^.!?\n]*)*[.!?]?\s*")


def write_report(state: AgentState, reason: StopReason, answer: str) -> str:
    """Markdown; what tools and model said stands in it as text."""
    sources = [act for act in state.acts() if act.step.status == "returned"]
    lines = [f"# {_line(state.objective)}", "", _with_sources(_text(answer.strip()), sources), ""]
    lines += [f"*{WHY[reason]}*", "", "## What was done", ""]
    for task in state.tasks.tasks:
        evidence = [n for n, act in enumerate(sources, 1) if act.call in task.evidence]
        lines.append(f"- [{MARKS.get(task.status, ' ')}] {_line(task.text)}{_marks(evidence)}")
        if task.result and task.result.strip() != answer.strip():
            lines.append(f"  {_line(task.result)}")
    if state.lessons:
        lines += ["", "## What went wrong on the way", ""]
        lines += [f"- {_line(lesson)}" for lesson in state.lessons]
    if sources:
        lines += ["", "## Sources", ""]
        lines += [f"{number}. {_source(act)}" for number, act in enumerate(sources, 1)]
    return "\n".join(lines) + "\n"


def _with_sources(answer: str, sources: list[Act]) -> str:
    """The answer with the numbers of the calls behind each sentence that states something."""
    return "".join(
        _marked(sentence, sources) for sentence in _SENTENCE.findall(answer) if sentence
    ).rstrip()


def _marked(sentence: str, sources: list[Act]) -> str:
    stated = claims.stated(sentence)
    shown = [
        number
        for number, act in enumerate(sources, 1)
        if stated and all(claims.shows(act.step.text, claim) for claim in stated)
    ]
    text = sentence.rstrip()
    return text + _marks(shown[:3]) + sentence[len(text) :]


def _marks(numbers: list[int]) -> str:
    return "".join(f" [{number}]" for number in numbers)


def _source(act: Act) -> str:
    arguments = act.step.arguments
    told = {name: arguments[name] for name in NAMED if arguments.get(name)} or arguments
    values = ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in told.items()
    )
    called = " ".join(_UNSEEN.sub("\ufffd", f"{act.step.tool}({values})").split())
    return "`" + called.replace("`", "'")[:200] + "`"


def _line(text: str) -> str:
    return _text(" ".join(text.split()))


def _text(text: str) -> str:
    return _MARKUP.sub(r"\\", _UNSEEN.sub("\ufffd", text))
