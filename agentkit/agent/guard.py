"""Notice that an agent goes round in circles, and what to do about it.

Small models copy their own last call.  So each call has a fingerprint (its name and arguments in
canonical form), and so have its error and its result.  A repetition is not made: its result stands
above.  The first is called one (warn), and the tool cannot be chosen in the next step; after the
second (refuse) it cannot be chosen for the rest of the attempt; the third ends the work on the task
with an answer from what is there.  A call that changed something makes reading again worthwhile:
counting starts over.  Of an error or a result that comes again, whatever the arguments were, the
model is told once before it ends the work, too.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Advice = Literal["go", "warn", "refuse", "answer"]

WARN, REFUSE, ANSWER = 1, 2, 3
"""How often something was there before."""

SAME_ERROR = 3
"""So many equal errors, whatever the arguments were, end the work on a task."""

WARNED: Mapping[bool, str] = {
    True: "[Another call gave this result, too: do something else, or answer.]\n",
    False: "[Another call failed like this, too: do something else.]\n",
}
"""What stands before an observation that came again: of a result, and of an error."""

UNKNOWN = "unverified"
"""The status of a call of which nobody knows what it did: it may be made again."""


@dataclass(frozen=True, slots=True)
class Step:
    """A call that was made (or refused), and what came of it."""

    tool: str
    arguments: Mapping[str, Any]
    status: str
    text: str
    changes: bool = False
    """Whether the tool may have changed something: what was read before may read otherwise now."""


def fingerprint(tool: str, arguments: Mapping[str, Any]) -> str:
    """The same for the same call, in whatever order its arguments stand."""
    return tool + json.dumps(arguments, sort_keys=True, ensure_ascii=False, default=str)


def advice(steps: Sequence[Step], tool: str, arguments: Mapping[str, Any]) -> Advice:
    """What to do about a call that is about to be made, after the steps of a task so far."""
    times = made(steps)[fingerprint(tool, arguments)]
    if times >= ANSWER:
        return "answer"
    if times >= REFUSE:
        return "refuse"
    return "warn" if times >= WARN else "go"


def worked(steps: Sequence[Step], tool: str, arguments: Mapping[str, Any]) -> bool:
    """Whether the same call gave something before."""
    same = fingerprint(tool, arguments)
    return any(
        step.status == "returned" and fingerprint(step.tool, step.arguments) == same
        for step in steps
    )


def stuck(steps: Sequence[Step]) -> str:
    """Why it makes no sense to go on, in a sentence; empty while it does."""
    if any(count > ANSWER for count in made(steps).values()):
        return "the same call was made again and again"
    if any(count >= SAME_ERROR for count in _errors(steps).values()):
        return "the same error came again and again"
    if any(count > ANSWER for count in _results(steps).values()):
        return "other calls gave the same result again and again"
    return ""


def warned(steps: Sequence[Step], tool: str, status: str, text: str) -> str:
    """What came of a call after these steps, with a word about it if it came before."""
    worked = status == "returned"
    same = _results(steps)[tool, text] if worked else _errors(steps)[text]
    unmade = status in (UNKNOWN, "refused")
    return text if unmade or same != WARN else WARNED[worked] + text


def made(steps: Sequence[Step]) -> Counter[str]:
    """How often each call was made (or refused) since something changed, by fingerprint."""
    return Counter(
        fingerprint(step.tool, step.arguments)
        for step in _since_last_change(steps)
        if step.status != UNKNOWN
    )


def left_out(steps: Sequence[Step]) -> set[str]:
    """The tools that cannot be chosen now, because their calls were repeated."""
    refused = Counter(step.tool for step in steps if step.status == "refused")
    out = {tool for tool, count in refused.items() if count >= REFUSE}
    return out | ({steps[-1].tool} if steps and steps[-1].status == "refused" else set())


def _errors(steps: Sequence[Step]) -> Counter[str]:
    """How often each error came since something changed."""
    fresh = _since_last_change(steps)
    return Counter(_plain(step) for step in fresh if step.status not in ("returned", UNKNOWN))


def _results(steps: Sequence[Step]) -> Counter[tuple[str, str]]:
    """How often each result of a tool came since something changed."""
    fresh = _since_last_change(steps)
    return Counter((step.tool, _plain(step)) for step in fresh if step.status == "returned")


def _plain(step: Step) -> str:
    """What came of it, without our own word about it."""
    text = step.text
    for warning in WARNED.values():
        text = text.removeprefix(warning)
    return text


def _since_last_change(steps: Sequence[Step]) -> Sequence[Step]:
    """The steps after the last one that changed something, and that one itself."""
    for position in range(len(steps) - 1, -1, -1):
        if steps[position].changes and steps[position].status == "returned":
            return steps[position:]
    return steps
