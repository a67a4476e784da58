"""What is wrong with the result of a task, as far as code and a question can tell.

A small model says that it is done before it is.  What it claims is compared with what the tools
showed and did; only what code cannot see is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from agentkit.agent import claims, forms
from agentkit.agent.account import Account
from agentkit.agent.folder import URL
from agentkit.agent.known import COMPUTING
from agentkit.agent.outdated import in_time
from agentkit.agent.tasks import Kind, Task
from agentkit.toolbox.telling import Telling

SHOWN = 0.2
"""How likely the model has to find that its own result was shown by the tools."""

ANSWERED = 0.6
"""How likely the lines with a result's figures have to be about what a question has no word for in
them, and to answer it by themselves.
"""

NOT_FOUND = "It was not found: nothing that was read says {words}."
"""What is answered instead, where the lines with a figure are about something else."""

FIGURES = 2
"""Claims of an answer to a question for one thing; the second may be the question's own."""

NOTE = "["
"""What a line begins with that a tool says about what it has found: which words stand nowhere."""

UNREADABLE = "garbled"
"""The status of a call that the model did not get written."""

NOT_DONE = ("retry", "failed", UNREADABLE)
"""Statuses of calls after which a result that claims something comes too early."""

CALL = re.compile(r'\{\s*"name"\s*:|</?tool_call>')
"""A call that a model wrote as text."""

LISTED = 5
"""Figures that are named, of those that nothing has shown."""


class Files(Protocol):
    """The folder of a run."""

    def missing(self, text: str, seen: Sequence[str]) -> list[str]:
        """Files that a text names, and that neither are there nor were ever seen."""

    def texts(self, task: str) -> Iterable[tuple[str, str]]:
        """The files that a task names, with what is in them."""

    def others(self, name: str) -> list[str] | None:
        """What is in all other files; None where that is too much."""


class Able(Protocol):
    """Knows what calls can do."""

    def changes(self, tool: str) -> bool:
        """Whether a tool may change files."""

    def test(self, task: str) -> tuple[str, Mapping[str, Any]] | None:
        """The call that runs the test which a task names, if it does."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A fault (empty: there is none), and the tools that can mend it, if only some can; or what is
    true instead.
    """

    fault: str = ""
    tools: tuple[str, ...] = ()
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Judge:
    """Looks at results with what the agent knows."""

    account: Account
    hands: Able
    files: Files
    tools: Sequence[str]
    _kinds: dict[str, Kind] = field(default_factory=dict)

    def kind(self, task: Task) -> Kind:
        """What a task asks for; the model is asked once."""
        if task.id not in self._kinds:
            self._kinds[task.id] = self.account.mind.kind(self.account.state, task.text)
        return self._kinds[task.id]

    @property
    def able(self) -> tuple[str, ...]:
        """The tools that may change something."""
        return tuple(tool for tool in self.tools if self.hands.changes(tool))

    def test(self, task: Task) -> tuple[str, Mapping[str, Any]] | None:
        """The call that says whether a task is done: where it names a test, and has to mend."""
        found = self.hands.test(task.text)
        return found if found and self.kind(task) == "change" else None

    def missing(self, text: str) -> list[str]:
        """Files that a text names and that are nowhere: they are to be made."""
        return self.files.missing(text, [act.step.text for act in self.account.state.acts()])

    def verdict(self, task: Task, result: str) -> Verdict:
        """The first fault, from what is certain to what is likely."""
        for look in (self._of_its_words, self._of_its_work, self._of_its_claims):
            found = look(task, result)
            if found is not None:
                return found
        return Verdict()

    def _of_its_words(self, task: Task, result: str) -> Verdict | None:
        if not result:
            return Verdict("there is no result")
        if CALL.search(result):
            return Verdict("a call that is written into an answer is not made: make it")
        return None

    def _of_its_work(self, task: Task, result: str) -> Verdict | None:
        """What was to be done and was not; a result without any work is taken as it is."""
        state, able = self.account.state, self.able
        did = any(act.step.changes and act.step.status == "returned" for act in state.acts())
        idle = bool(able) and not did and self.kind(task) == "change"
        if did and self.kind(task) == "change" and (fault := self._misformed(task)):
            return Verdict(fault, able)
        if claims.admits_nothing(result) and not (idle and not state.objections(task)):
            return Verdict()
        missing = self.missing(f"{task.text}\n{result}")  # asked for, or said to be written
        if missing and able:
            return Verdict(f"there is no file {missing[0]} yet: make it", able)
        if idle:
            return Verdict("nothing was written or changed yet", able)
        steps, test = state.steps(task), self.test(task)
        if steps and steps[-1].status in NOT_DONE:
            last = f"the last call did not work: make a better one of {steps[-1].tool}"
            passes = test and f"the test does not pass yet: {test[1]['command']}"
            return Verdict(passes, able) if passes else Verdict(last)
        looked = steps or state.tasks[task.id].attempts > 1  # what was rejected stays rejected
        return None if looked else Verdict()

    def _of_its_claims(self, task: Task, result: str) -> Verdict | None:
        """What it says and nothing has shown."""
        unshown = claims.unshown(result, self._known())
        if unshown:
            return Verdict(f"no tool has shown this: {', '.join(unshown[:LISTED])}")
        if words := self._made_up(task, result):
            return Verdict(instead=NOT_FOUND.format(words=", ".join(words)))
        if newer := self._newer(task, result):
            return Verdict(instead=newer)
        state, mind = self.account.state, self.account.mind
        if mind.likely(state, "found", task=task.text, result=result) < SHOWN:
            return Verdict("the tools have not shown it")
        return None

    def _misformed(self, task: Task) -> str:
        """What of a list is not as the task says."""
        made = self._made(task)
        for name, text in self.files.texts(task.text):
            if name not in made:
                continue
            for fault in forms.faults(task.text, name, text):
                return fault
            if forms.COPIED.search(task.text) and (line := self._new_line(name, text)):
                return f"{name} has a line that stands nowhere as it is: {line!r}"
        return ""

    def _made(self, task: Task) -> set[str]:
        """The files of a task that are its work, and not what it was given to work from: those that
        a call has written by name, and those that nothing had shown before something was changed.
        """
        acts = [act.step for act in self.account.state.acts()]
        first = next((at for at, step in enumerate(acts) if step.changes), len(acts))
        before = "\n".join(f"{step.arguments} {step.text}" for step in acts[:first])
        written = {str(step.arguments.get("path", "")) for step in acts if step.changes}
        return written | {name for name, _ in self.files.texts(task.text) if name not in before}

    def _new_line(self, name: str, text: str) -> str:
        """The first line of a file that was not copied from another one, nor from what was read."""
        others = self.files.others(name)
        read = [act.step.text for act in self.account.state.acts() if not act.step.changes]
        return "" if others is None else forms.new_line(name, text, [*others, *read])

    def _made_up(self, task: Task, result: str) -> list[str]:
        """The words of a question that stand nowhere, where a result's figures do not answer it.

        Each by itself is no proof: notes call things by other names, and a model is not sure.  And
        what states a lot is a summary, in words of its own.
        """
        state, mind = self.account.state, self.account.mind
        if self.kind(task) == "change" or len(claims.stated(result)) > FIGURES:
            return []
        computed = [act.step.text for act in state.acts() if act.step.tool in COMPUTING]
        if claims.lines(result, computed):
            return []  # it was asked for in other words, those of a query or a program
        seen = [act.step for act in state.acts() if act.step.tool not in COMPUTING]
        if all(claims.shows(task.text, claim) for claim in claims.named(result)):
            return []  # it repeats what was asked
        telling = Telling(_asked(task.text))
        for step in seen:
            name = str(step.arguments.get("path", ""))
            told = step.text.splitlines()
            telling.read(name, (line for line in told if not line.startswith(NOTE)))
        lines = "\n".join(claims.lines(result, [step.text for step in seen]))
        words = telling.nowhere
        if not words or not lines or 2 * len(words) > len(telling.words):
            return []
        sure = mind.likely(None, "about", lines=lines, words=", ".join(words))
        if sure >= ANSWERED:
            sure *= mind.likely(None, "answers", lines=lines, task=task.text)
        return [f'"{word}"' for word in words] if sure < ANSWERED else []

    def _newer(self, task: Task, result: str) -> str:
        """What the notes of the last day say instead, where those of several days speak of it."""
        if self.kind(task) != "look":
            return ""
        acts = [act.step for act in self.account.state.acts() if act.step.tool not in COMPUTING]
        lines = in_time(task.text, [step.text for step in acts])
        if not lines:
            return ""
        said = self.account.mind.words(None, "newest", lines="\n".join(lines), task=task.text)
        other = set(claims.named(said)) - set(claims.named(result))
        day, _, _ = lines[-1].partition(":")
        last = "\n".join(line for line in lines if line.startswith(day))
        return said if other and all(claims.shows(last, one) for one in other) else ""

    def _known(self) -> list[str]:
        """All that a result may rest on: what was asked, what was called, what came of it."""
        state = self.account.state
        tasks = [part for task in state.tasks.tasks for part in (task.text, task.result)]
        notes = [turn.text for turn in state.turns if turn.kind in ("note", "task")]
        acts = [
            part
            for act in state.acts()
            for part in (act.step.text, *map(str, act.step.arguments.values()))
        ]
        return [state.objective, *tasks, *notes, *acts]


def _asked(task: str) -> str:
    """What a task asks, without the sentence that says on which site."""
    sentences = re.split(r"(?<=[.!?])\s+", task)
    return " ".join(one for one in sentences if not URL.search(one)) or task
