"""Questions to a person, and remembered answers: `ports.Desk` in the journal's file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from agentkit.errors import UnknownName, UserError
from agentkit.journal.database import Connection, Database
from agentkit.journal.statements import insert, put
from agentkit.permissions import Access, Request, Rule

_ASK = insert("requests", (
    "id", "run", "tool", "arguments", "key", "accesses", "question", "choices", "asked", "used",
))  # fmt: skip
_SAME = "SELECT * FROM requests WHERE run = :run AND key = :key AND used = :used LIMIT 1"
_ANSWER = """
    UPDATE requests SET answer = :answer, answered = :answered WHERE id = :id AND answer IS NULL
"""
_USE = "UPDATE requests SET used = :yes WHERE id = :id AND used = :no"
_FIND = "SELECT * FROM requests WHERE id = :id"
_NEWEST = "SELECT * FROM requests ORDER BY asked DESC LIMIT :limit"
_OPEN = "SELECT * FROM requests WHERE answer IS NULL ORDER BY asked DESC LIMIT :limit"
_ANSWERED = """
    SELECT * FROM requests WHERE answer IS NOT NULL AND used = :used ORDER BY answered
"""
_REMEMBER = put("rules", ("tool", "effect", "pattern"), ("verdict", "made"), ("verdict", "made"))


class JournalDesk:
    """May be used from any thread, and by several processes at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- questions -------------------------------------------------------------------------------

    def file(self, request: Request) -> Request:
        """See `ports.Desk.file`."""
        asked = {
            "id": request.id,
            "run": request.run,
            "tool": request.tool,
            "arguments": json.dumps(request.arguments),
            "key": request.key,
            "accesses": json.dumps([[a.effect, a.what] for a in request.accesses]),
            "question": _storable(request.question),
            "choices": json.dumps(request.choices),
            "asked": request.asked.isoformat(),
            "used": False,
        }
        with self._database.write(alone=True) as connection:  # between look and question
            row = connection.execute(_SAME, asked).fetchone()
            if row is not None:
                return _request(row)
            connection.execute(_ASK, asked)
        return request

    def answer(self, request: str, answer: str) -> None:
        """See `ports.Desk.answer`."""
        with self._database.write() as connection:
            now = datetime.now(UTC).isoformat()
            given = {"id": request, "answer": _storable(answer), "answered": now}
            if connection.execute(_ANSWER, given).rowcount:
                return
            before = self._find(connection, request)
        raise UserError(f"{request} has an answer already: {before.answer}")

    def use(self, request: str) -> None:
        """See `ports.Desk.use`."""
        with self._database.write() as connection:
            if connection.execute(_USE, {"id": request, "yes": True, "no": False}).rowcount:
                return
            self._find(connection, request)
        raise UserError(f"the answer to {request} was acted upon already")

    def find(self, name: str) -> Request:
        """A question by its id.  Raises `UnknownName`."""
        with self._database.read() as connection:
            return self._find(connection, name)

    def requests(self, *, open_only: bool = False, limit: int = 50) -> list[Request]:
        """Questions, the newest first."""
        with self._database.read() as connection:
            found = connection.execute(_OPEN if open_only else _NEWEST, {"limit": limit})
            return [_request(row) for row in found]

    def answered(self) -> list[Request]:
        """Questions with an answer that nobody has acted upon yet, the oldest answer first."""
        with self._database.read() as connection:
            return [_request(row) for row in connection.execute(_ANSWERED, {"used": False})]

    def _find(self, connection: Connection, name: str) -> Request:
        row = connection.execute(_FIND, {"id": name}).fetchone()
        if row is None:
            known = [one for (one,) in connection.execute("SELECT id FROM requests")]
            raise UnknownName("request", name, known, hint="agentkit approvals list")
        return _request(row)

    # -- rules -----------------------------------------------------------------------------------

    def rules(self) -> list[Rule]:
        """See `ports.Desk.rules`."""
        with self._database.read() as connection:
            rows = connection.execute("SELECT * FROM rules ORDER BY made DESC")
            return [Rule(row.tool, row.effect, row.pattern, row.verdict) for row in rows]

    def remember(self, rules: Sequence[Rule]) -> None:
        """See `ports.Desk.remember`."""
        now = datetime.now(UTC).isoformat()
        with self._database.write() as connection:
            for rule in rules:
                remembered = {
                    "tool": rule.tool,
                    "effect": rule.effect,
                    "pattern": _storable(rule.pattern),
                    "verdict": rule.verdict,
                    "made": now,
                }
                connection.execute(_REMEMBER, remembered)

    def forget(self, tool: str) -> int:
        """Forget what is remembered about a tool, and say how many answers that was."""
        with self._database.write() as connection:
            return connection.execute(
                "DELETE FROM rules WHERE tool = :tool", {"tool": tool}
            ).rowcount


def _storable(text: str) -> str:
    """A text without bytes that are no characters: a rule about such a file covers no other."""
    return text.encode("utf-8", "backslashreplace").decode()


def _request(row: Any) -> Request:
    return Request(
        id=row.id,
        run=row.run,
        tool=row.tool,
        arguments=json.loads(row.arguments),
        key=row.key,
        accesses=tuple(Access(effect, what) for effect, what in json.loads(row.accesses)),
        asked=datetime.fromisoformat(row.asked),
        question=row.question,
        choices=tuple(json.loads(row.choices)),
        answer=row.answer,
        answered=datetime.fromisoformat(row.answered) if row.answered else None,
        used=bool(row.used),
    )
