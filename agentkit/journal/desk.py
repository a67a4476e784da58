"""Questions to a person, and remembered answers: `ports.Desk` in the journal's file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, select, update

from agentkit.errors import UnknownName, UserError
from agentkit.journal import tables as t
from agentkit.journal.database import Database
from agentkit.permissions import Access, Request, Rule


class JournalDesk:
    """May be used from any thread, and by several processes at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # -- questions -------------------------------------------------------------------------------

    def file(self, request: Request) -> Request:
        """See `ports.Desk.file`."""
        same = (
            select(t.requests)
            .where(
                t.requests.c.run == request.run,
                t.requests.c.key == request.key,
                t.requests.c.used.is_(False),
            )
            .limit(1)
        )
        with self._database.write() as connection:
            self._database.alone(connection)  # nobody asks between look and question
            row = connection.execute(same).first()
            if row is not None:
                return _request(row)
            connection.execute(
                t.requests.insert().values(
                    id=request.id,
                    run=request.run,
                    tool=request.tool,
                    arguments=json.dumps(request.arguments),
                    key=request.key,
                    accesses=json.dumps([[a.effect, a.what] for a in request.accesses]),
                    question=_storable(request.question),
                    choices=json.dumps(request.choices),
                    asked=request.asked.isoformat(),
                    used=False,
                )
            )
        return request

    def answer(self, request: str, answer: str) -> None:
        """See `ports.Desk.answer`."""
        with self._database.write() as connection:
            done = connection.execute(
                update(t.requests)
                .where(t.requests.c.id == request, t.requests.c.answer.is_(None))
                .values(answer=_storable(answer), answered=datetime.now(UTC).isoformat())
            )
            if done.rowcount:
                return
            before = self._find(connection, request)
        raise UserError(f"{request} has an answer already: {before.answer}")

    def use(self, request: str) -> None:
        """See `ports.Desk.use`."""
        unused = (t.requests.c.id == request) & t.requests.c.used.is_(False)
        with self._database.write() as connection:
            if connection.execute(update(t.requests).where(unused).values(used=True)).rowcount:
                return
            self._find(connection, request)
        raise UserError(f"the answer to {request} was acted upon already")

    def find(self, name: str) -> Request:
        """A question by its id.  Raises `UnknownName`."""
        with self._database.read() as connection:
            return self._find(connection, name)

    def requests(self, *, open_only: bool = False, limit: int = 50) -> list[Request]:
        """Questions, the newest first."""
        query = select(t.requests).order_by(t.requests.c.asked.desc()).limit(limit)
        if open_only:
            query = query.where(t.requests.c.answer.is_(None))
        with self._database.read() as connection:
            return [_request(row) for row in connection.execute(query)]

    def answered(self) -> list[Request]:
        """Questions with an answer that nobody has acted upon yet, the oldest answer first."""
        open_ = t.requests.c.answer.is_not(None) & t.requests.c.used.is_(False)
        query = select(t.requests).where(open_).order_by(t.requests.c.answered)
        with self._database.read() as connection:
            return [_request(row) for row in connection.execute(query)]

    def _find(self, connection: Connection, name: str) -> Request:
        row = connection.execute(select(t.requests).where(t.requests.c.id == name)).first()
        if row is None:
            known = connection.execute(select(t.requests.c.id)).scalars()
            raise UnknownName("request", name, known, hint="agentkit approvals list")
        return _request(row)

    # -- rules -----------------------------------------------------------------------------------

    def rules(self) -> list[Rule]:
        """See `ports.Desk.rules`."""
        with self._database.read() as connection:
            rows = connection.execute(select(t.rules).order_by(t.rules.c.made.desc()))
            return [Rule(row.tool, row.effect, row.pattern, row.verdict) for row in rows]

    def remember(self, rules: Sequence[Rule]) -> None:
        """See `ports.Desk.remember`."""
        now = datetime.now(UTC).isoformat()
        with self._database.write() as connection:
            for rule in rules:
                pattern = _storable(rule.pattern)
                key = {"tool": rule.tool, "effect": rule.effect, "pattern": pattern}
                changed = {"verdict": rule.verdict, "made": now}
                connection.execute(
                    self._database.insert(t.rules)
                    .values(**key, **changed)
                    .on_conflict_do_update(index_elements=list(key), set_=changed)
                )

    def forget(self, tool: str) -> int:
        """Forget what is remembered about a tool, and say how many answers that was."""
        with self._database.write() as connection:
            return connection.execute(t.rules.delete().where(t.rules.c.tool == tool)).rowcount


def _storable(text: str) -> str:
    """A text without bytes that are no characters: a rule about such a file covers no other."""
    return text.encode("utf-8", "backslashreplace").decode()


def _request(row: Row[Any]) -> Request:
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
        used=row.used,
    )
