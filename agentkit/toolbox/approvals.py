"""Questions that only a person can answer: on record before anybody is asked, and afterwards.

A person in front of the run answers at once.  Where nobody is there, the question stays open, the
run is parked, and the answer counts when the same call comes again.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field
from datetime import UTC, datetime
from typing import Any, Literal

from agentkit.cancel import CancelToken
from agentkit.errors import ApprovalNeeded, TimedOut, ToolError, UserError, did_you_mean
from agentkit.permissions import Access, Request, Rule
from agentkit.ports import Desk
from agentkit.toolbox.grants import rules_for
from agentkit.toolbox.plain import exact, readable
from agentkit.values import dataclass

ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"

Approver = Callable[[Request, CancelToken], str | None]
"""Asks a person and returns the answer; None where there is nobody."""

UNANSWERED = "(nobody answered in time)"
"""What stands on record for the answer to a question that was closed."""

YES = ("once", "always")
ANSWERS = ("once", "always", "no", "never")


def nobody(request: Request, cancel: CancelToken) -> None:
    """The approver of a run that nobody watches."""


@dataclass(frozen=True, slots=True)
class Approvals:
    """Asks on behalf of one run, one question at a time.  May be used from any thread."""

    desk: Desk
    approver: Approver
    run: str
    turn: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    hide: Callable[[Any], Any] = lambda value: value
    """What must not be on record, or shown, is taken out of a value."""

    def rules(self) -> Sequence[Rule]:
        """The answers that are remembered."""
        return self.desk.rules()

    def allows(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        accesses: Sequence[Access],
        cancel: CancelToken,
    ) -> bool:
        """Whether a person allows a call with these arguments, and no other.

        Raises `ApprovalNeeded` while nobody has answered, `ToolError` for arguments that cannot be
        shown to a person.
        """
        try:
            shown = exact(arguments)
        except ValueError as error:
            raise ToolError(f"its arguments cannot be shown to a person: {error}") from None
        return self._answer(self._request(tool, shown, tuple(accesses)), cancel) in YES

    def text(
        self,
        tool: str,
        question: str,
        choices: Sequence[str],
        cancel: CancelToken,
        about: Mapping[str, Any] | None = None,
        patience: float | None = None,
    ) -> str:
        """What a person says to a question.

        Questions of the same words are two where what they are `about` differs.  Raises
        `ApprovalNeeded` while nobody has answered, and `TimedOut` if that takes longer than
        `patience` seconds.
        """
        if not question.strip():
            raise ToolError("a question has words in it")
        question, offered = readable(question), tuple(map(readable, choices))
        arguments = {"question": question, "choices": list(offered), **(about or {})}
        request = self._request(tool, arguments, (), question, offered)
        return self._answer(request, cancel, patience)

    def _answer(self, request: Request, cancel: CancelToken, patience: float | None = None) -> str:
        """The answer, which is used up by being given: the next same call asks again.

        Whoever else asks the same (another thread, another process) needs an answer of its own.
        """
        with self._in_turn(cancel):
            while True:
                cancel.check()
                filed = self.desk.file(request)
                self._check_patience(filed, patience)
                answer = filed.answer or self._asked(filed, cancel)
                with suppress(UserError):  # somebody else was faster, and this answer is theirs
                    self.desk.use(filed.id)
                    return answer

    def _check_patience(self, filed: Request, patience: float | None) -> None:
        """A question that stood for too long is closed."""
        age = (datetime.now(UTC) - filed.asked).total_seconds()
        if filed.answer is not None or patience is None or age <= patience:
            return
        with suppress(UserError):  # somebody answers just now: too late
            self.desk.answer(filed.id, UNANSWERED)
        self.desk.use(filed.id)
        raise TimedOut(f"nobody answered {filed.id} in time")

    def _asked(self, filed: Request, cancel: CancelToken) -> str:
        answer = self.approver(filed, cancel)
        if answer is None:
            raise ApprovalNeeded(filed.id, _sentence(filed))
        settle(self.desk, filed, answer)
        return answer

    @contextmanager
    def _in_turn(self, cancel: CancelToken) -> Iterator[None]:
        while not self.turn.acquire(timeout=0.1):
            cancel.check()
        try:
            yield
        finally:
            self.turn.release()

    def _request(
        self,
        tool: str,
        arguments: dict[str, Any],
        accesses: tuple[Access, ...],
        question: str = "",
        choices: tuple[str, ...] = (),
    ) -> Request:
        touched = [(access.effect, access.what) for access in accesses]
        about = json.dumps([tool, arguments, touched, question], sort_keys=True)
        return Request(
            id="".join(secrets.choice(ALPHABET) for _ in range(6)),
            run=self.run,
            tool=tool,
            arguments=self.hide(arguments),
            key=hashlib.sha256(about.encode()).hexdigest(),
            accesses=accesses,
            asked=datetime.now(UTC),
            question=self.hide(question),
            choices=choices,
        )


def settle(desk: Desk, request: Request, answer: str) -> None:
    """Write down what a person said, and remember `always` and `never`.

    Raises `UserError` for what is no answer to this question, or for one that has an answer.
    """
    allowed = request.choices if request.question else ANSWERS
    if allowed and answer not in allowed:
        said = f"{answer!r} is no answer to this: {', '.join(allowed)}."
        raise UserError(said + did_you_mean(answer, allowed))
    desk.answer(request.id, answer)
    if not request.question and answer in ("always", "never"):
        verdict: Literal["allow", "deny"] = "allow" if answer == "always" else "deny"
        desk.remember(rules_for(request.tool, request.accesses, verdict))


def standing_answer(request: Request) -> str:
    """What `always` would allow, in words."""
    rules = rules_for(request.tool, request.accesses, "allow")
    touched = dict.fromkeys(str(Access(rule.effect, rule.pattern)) for rule in rules)
    return f"{request.tool} may {', '.join(touched) or 'be called'}"


def _sentence(request: Request) -> str:
    if request.question:
        return f"a person has to answer: {request.question}"
    touched = ", ".join(dict.fromkeys(str(access) for access in request.accesses))
    return f"{request.tool} needs approval: it would {touched or 'be called'}"
