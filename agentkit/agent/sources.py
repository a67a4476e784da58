"""What a claim can rest on: calls and what they showed, what memory told, what a person said.

A call that searches shows lines of many files, pages or entries.  What it gave says where each is
from, and that is what is cited; what stands nowhere in particular is cited by the call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentkit.agent import claims
from agentkit.agent.known import PAGER, SEARCH, SEARCH_SITE
from agentkit.agent.memory import told
from agentkit.agent.state import Act, AgentState

NAMED = ("path", "url", "query", "id", "audio", "command")
"""Arguments that say where something is from."""

SOME = 3
"""Places that are cited, of those that each show all that a sentence states."""

BEGINNING = 80
"""Characters of an entry that say which one it is."""

_FILE = re.compile(r'^("(?:[^"\\]|\\.)*"|[^"\[\n][^\n]*?):\d+:')
"""How a line of a file begins, as `search_files` shows it."""
_PAGE = re.compile(r"^.* \((https?://\S+)\):$")
"""What stands above the lines of a page, as `search_site` shows them."""
_FROM = re.compile(r"^\[from (.+)\]$")
"""What stands below an entry, as `memory_search` shows it."""
_RESULT = re.compile(r'(?=\{"title": )')
_URL = re.compile(r'"url": ("(?:[^"\\]|\\.)*")')

Part = tuple[str, str]
"""A text that a call showed, and where it is from; empty: nothing says so."""


@dataclass(frozen=True, slots=True)
class Place:
    """Something that a source showed: a file, a page, an entry, or (without a name) all of it."""

    source: int
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """A call, an entry, or a note of a person."""

    name: str
    parts: tuple[Part, ...]
    call: str = ""
    code: bool = False
    """Whether the name is one that programs would read."""


def sources(state: AgentState) -> list[Source]:
    """All that there is, in the order in which it is numbered: calls, memory, a person."""
    acts = [act for act in state.acts() if act.step.status == "returned"]
    by_call = {act.call: act for act in acts}
    calls = [_called(act, by_call) for act in acts]
    entries = dict.fromkeys(entry for text in state.recalled for entry in told(text))
    notes = dict.fromkeys(turn.text for turn in state.turns if turn.kind == "note")
    remembered = [Source(f"from memory: {entry}", (("", entry),)) for entry in entries]
    return [*calls, *remembered, *(Source(f"a note: {note}", (("", note),)) for note in notes)]


def places(found: Sequence[Source]) -> list[Place]:
    """What can be cited, in order; what one call showed of one file is one place."""
    all_places = list[Place]()
    for number, source in enumerate(found, 1):
        texts: dict[str, list[str]] = {}
        for name, text in source.parts:
            texts.setdefault(name, []).append(text)
        all_places += [Place(number, name, "\n".join(parts)) for name, parts in texts.items()]
    return all_places


def behind(sentence: str, there: Sequence[Place], given: str = "") -> list[Place]:
    """The places that show what a sentence states: each of them all of it, or together.

    Nothing is cited for a sentence of which a part stands nowhere: it would look as if it did.
    What was `given` with the question needs to stand nowhere else.
    """
    showing = {
        claim: [place for place in there if claims.shows(place.text, claim)]
        for claim in claims.stated(sentence)
    }
    wanted = {
        claim: found for claim, found in showing.items() if found or not claims.shows(given, claim)
    }
    if not wanted or not all(wanted.values()):
        return []
    whole = [place for place in there if all(place in found for found in wanted.values())]
    return whole[:SOME] or _together(wanted, there)


def _together(wanted: Mapping[str, Sequence[Place]], there: Sequence[Place]) -> list[Place]:
    """Few places that show all claims between them: the one that shows most comes first."""
    left, taken = dict(wanted), list[Place]()
    while left:
        best = max(there, key=lambda place: sum(place in found for found in left.values()))
        taken.append(best)
        left = {claim: found for claim, found in left.items() if best not in found}
    return [place for place in there if place in taken]


# -- calls -----------------------------------------------------------------------------------------


def _called(act: Act, by_call: Mapping[str, Act]) -> Source:
    """A page of what an earlier call gave is from where that is from."""
    step, first = act.step, by_call.get(str(act.step.arguments.get("id")))
    if step.tool == PAGER and first is not None and first.step.tool != PAGER:
        made = first.step
        name = f"{_call(made.tool, made.arguments)}, page {step.arguments.get('page', 1)}"
        return Source(name, tuple(_parts(made.tool, step.text)), act.call, code=True)
    parts = tuple(_parts(step.tool, step.text))
    return Source(_call(step.tool, step.arguments), parts, act.call, code=True)


def _call(tool: str, arguments: Mapping[str, Any]) -> str:
    named = {name: arguments[name] for name in NAMED if arguments.get(name)} or arguments
    values = ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in named.items()
    )
    return f"{tool}({values})"


def _parts(tool: str, text: str) -> Iterator[Part]:
    read = READERS.get(tool)
    return iter([("", text)]) if read is None else read(text)


def _lines_of_files(text: str) -> Iterator[Part]:
    for line in text.splitlines():
        found = _FILE.match(line)
        if found is None:
            yield "", line
        else:
            name = _unquoted(found[1])
            yield name, f"{name}: {line[found.end() :]}"  # its name may say when it was


def _lines_of_pages(text: str) -> Iterator[Part]:
    url = ""
    for line in text.splitlines():
        found = _PAGE.match(line)
        url = found[1] if found else "" if line.startswith("[") else url
        yield url, line


def _entries(text: str) -> Iterator[Part]:
    """An entry ends with a line that says where it is from."""
    _, _, shown = text.partition("\n")  # the first line says that this is data
    lines = list[str]()
    for line in shown.splitlines():
        found = _FROM.match(line)
        if found is None:
            lines.append(line)
            continue
        entry = " ".join(" ".join(lines).split())
        yield f"{_cut(entry)} (from {found[1]})", f"{entry}\n{found[1]}"
        lines = []
    yield "", "\n".join(lines)


def _results(text: str) -> Iterator[Part]:
    for result in _RESULT.split(text):
        found = _URL.search(result)
        yield _unquoted(found[1]) if found else "", result


def _unquoted(name: str) -> str:
    """A name that may be written as JSON writes it."""
    try:
        return str(json.loads(name)) if name.startswith('"') else name
    except ValueError:
        return name


def _cut(text: str) -> str:
    return text if len(text) <= BEGINNING else text[: BEGINNING - 1] + "…"


READERS: Mapping[str, Callable[[str], Iterator[Part]]] = {
    SEARCH: _lines_of_files,
    SEARCH_SITE: _lines_of_pages,
    "memory_search": _entries,
    "web_search": _results,
}
"""Tools that say of each part of what they show where it is from."""
