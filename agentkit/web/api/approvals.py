"""Questions to a person.  The answers are the owner's alone."""

from __future__ import annotations

from fastapi import APIRouter

from agentkit.permissions import Request
from agentkit.runtime import settle
from agentkit.web.api.bodies import Body
from agentkit.web.service import Here

router = APIRouter(prefix="/api/approvals", tags=["approvals"])


class Answer(Body):
    """`once`, `always`, `no` or `never` for a call; words, or a choice, for a question."""

    answer: str


@router.get("")
def open_questions(here: Here, everything: bool = False) -> list[Request]:
    """The newest first; `everything`: those that were answered, too."""
    return here.runtime.journal.desk.requests(open_only=not everything)


@router.post("/{request}")
def answer(request: str, said: Answer, here: Here) -> Request:
    """Answer one; a run that waits for it goes on by itself."""
    desk = here.runtime.journal.desk
    settle(desk, desk.find(request), said.answer)
    return desk.find(request)
