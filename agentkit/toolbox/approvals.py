"""Questions that only a person can answer: on record before anybody is asked, and afterwards.

A person in front of the run answers at once.  Where nobody is there, the question stays open, the
run is parked, and the answer counts when the same call comes again.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from agentkit.cancel import CancelToken
from agentkit.errors import ApprovalNeeded, UserError, did_you_mean
from agentkit.permissions import Access, Request, Rule
from agentkit.ports import Desk
from agentkit.toolbox.grants import rules_for

ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"

Approver = Callable[[Request, CancelToken], str | None]
"""Asks a person and returns the answer; None where there is nobody."""

YES = ("once", "always")
ANSWERS = ("once", "always", "no", "never")


def nobody(request: Request, cancel: CancelToken) -> None:
    """The approver of a run that nobody watches."""


@dataclass(frozen=True, slots=True)
class Approvals:
    """Asks on behalf of one run."""

    desk: Desk
    approver: Approver
    run: str

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
        """Whether a person allows a call.  Raises `ApprovalNeeded` while nobody has answered."""
        return self._answer(self._request(tool, arguments, tuple(accesses)), cancel) in YES

    def text(self, tool: str, question: str, choices: Sequence[str], cancel: CancelToken) -> str:
        """What a person says to a question.  Raises `ApprovalNeeded` while nobody has answered."""
        request = self._request(tool, {"question": question}, (), question, tuple(choices))
        return self._answer(request, cancel)

    def _answer(self, request: Request, cancel: CancelToken) -> str:
        """The answer, which is used up by being given: the next same call asks again."""
        filed = self.desk.file(request)
        answer = filed.answer
        if answer is None:
            answer = self.approver(filed, cancel)
            if answer is None:
                raise ApprovalNeeded(filed.id, _sentence(filed))
            settle(self.desk, filed, answer)
        self.desk.use(filed.id)
        return answer

    def _request(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        accesses: tuple[Access, ...],
        question: str = "",
        choices: tuple[str, ...] = (),
    ) -> Request:
        plain = json.loads(json.dumps(arguments, default=str))
        about = json.dumps([tool, plain, [str(access) for access in accesses]], sort_keys=True)
        return Request(
            id="".join(secrets.choice(ALPHABET) for _ in range(6)),
            run=self.run,
            tool=tool,
            arguments=plain,
            key=hashlib.sha256(about.encode()).hexdigest(),
            accesses=accesses,
            asked=datetime.now(UTC),
            question=question,
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
