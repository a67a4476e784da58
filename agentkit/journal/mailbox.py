"""Letters to runs: `ports.Mailbox` in the journal's file, so that any process can write one."""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime

from agentkit.journal.database import Database, one_of
from agentkit.journal.statements import insert
from agentkit.letters import Letter

_POST = insert("letters", ("run", "kind", "text", "sent", "taken"))
_DISCARD = "UPDATE letters SET taken = :taken WHERE run = :run AND taken = :waiting AND "
_TAKE = "UPDATE letters SET taken = :taken WHERE number = :number"


class JournalMailbox:
    """May be used from any thread, and by several processes at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def post(self, run: str, letter: Letter) -> None:
        """Leave a letter for a run."""
        with self._database.write() as connection:
            written = {
                "run": run,
                "kind": letter.kind,
                "text": letter.text.encode("utf-8", "replace").decode(),
                "sent": datetime.now(UTC).isoformat(),
                "taken": False,
            }
            connection.execute(_POST, written)

    def take(self, run: str, *kinds: str) -> Generator[Letter, None, None]:
        """See `ports.Mailbox.take`."""
        chosen, named = one_of("kind", kinds) if kinds else ("true", {})
        waiting = f"SELECT * FROM letters WHERE run = :run AND taken = :taken AND {chosen}"  # noqa: S608
        about = {"run": run, "taken": False, **named}
        with self._database.read() as connection:
            rows = connection.execute(f"{waiting} ORDER BY number", about).fetchall()
        for row in rows:
            yield Letter(row.kind, row.text)
            with self._database.write() as connection:
                connection.execute(_TAKE, {"number": row.number, "taken": True})

    def discard(self, run: str, *kinds: str) -> None:
        """Take what is waiting for a run unread."""
        chosen, named = one_of("kind", kinds)
        with self._database.write() as connection:
            connection.execute(
                _DISCARD + chosen, {"run": run, "taken": True, "waiting": False, **named}
            )
