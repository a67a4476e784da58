"""Letters to runs: `ports.Mailbox` in the journal's file, so that any process can write one."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime

from sqlalchemy import select, update

from agentkit.journal import tables as t
from agentkit.journal.database import Database
from agentkit.letters import Letter


class JournalMailbox:
    """May be used from any thread, and by several processes at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def post(self, run: str, letter: Letter) -> None:
        """Leave a letter for a run."""
        with self._database.write() as connection:
            connection.execute(
                t.letters.insert().values(
                    run=run,
                    kind=letter.kind,
                    text=letter.text.encode("utf-8", "replace").decode(),
                    sent=datetime.now(UTC).isoformat(),
                    taken=False,
                )
            )

    def take(self, run: str, *kinds: str) -> Generator[Letter, None, None]:
        """See `ports.Mailbox.take`."""
        waiting = (t.letters.c.run == run) & t.letters.c.taken.is_(False)
        if kinds:
            waiting &= t.letters.c.kind.in_(kinds)
        query = select(t.letters).where(waiting).order_by(t.letters.c.number)
        with self._database.read() as connection:
            rows = list(connection.execute(query))
        for row in rows:
            yield Letter(row.kind, row.text)
            with self._database.write() as connection:
                this = t.letters.c.number == row.number
                connection.execute(update(t.letters).where(this).values(taken=True))
