"""Leases: one process at a time works on a run, and a process that lost its lease writes nothing.

A lease has a fencing number that grows with each holder.  It is renewed by every write and by a
heartbeat; every write names its number, in the same transaction, so that a process that was stopped
for too long finds another number there and ends, whatever the clock of the machine did meanwhile.
Ages are measured with a clock that nobody sets and that stands still while the machine sleeps.
"""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path
from typing import Any

from agentkit.errors import Fenced, UserError
from agentkit.journal.database import Connection, Database
from agentkit.journal.statements import RENEW, put
from agentkit.values import dataclass

_FIND = "SELECT * FROM leases WHERE run = :run"
_HOLD = put("leases", ("run",), ("fence", "owner", "boot", "renewed", "wall"),
            ("fence", "owner", "boot", "renewed", "wall"))  # fmt: skip
_LET_GO = "UPDATE leases SET owner = '' WHERE run = :run AND fence = :fence"

SECONDS = 30.0
"""After so long without a sign, a process counts as dead."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a run; `fence` grows with each holder."""

    run: str
    fence: int


class Leases:
    """Those of one journal.  May be used from any thread, and by several processes at once."""

    def __init__(self, database: Database, seconds: float = SECONDS) -> None:
        self._database = database
        self.seconds = seconds

    def take(self, run: str) -> Lease:
        """Hold a run that nobody holds, or whose holder is dead.  Raises `UserError` if one is."""
        with self._database.write(alone=True) as connection:
            row = connection.execute(_FIND, {"run": run}).fetchone()
            if row is not None and row.owner and self._alive(row):
                hint = f"agentkit runs cancel {run}, or wait for its end: agentkit runs show {run}"
                raise UserError(f"the run {run} is at work in another process", hint=hint)
            lease = Lease(run, 1 if row is None else row.fence + 1)
            held = {"run": run, "fence": lease.fence, "owner": _me(), **_now()}
            connection.execute(_HOLD, held)
        return lease

    def held(self, run: str) -> bool:
        """Whether a process that lives has a run."""
        with self._database.read() as connection:
            row = connection.execute(_FIND, {"run": run}).fetchone()
        return row is not None and bool(row.owner) and self._alive(row)

    def renew(self, lease: Lease) -> None:
        """Give a sign of life.  Raises `Fenced` if somebody else has the run by now."""
        with self._database.write() as connection:
            check(connection, lease)

    def give_back(self, lease: Lease) -> None:
        """Let go of a run, unless somebody else has it already."""
        with self._database.write() as connection:
            connection.execute(_LET_GO, {"run": lease.run, "fence": lease.fence})

    def _alive(self, row: Any) -> bool:
        if row.boot != _boot():  # another machine, or this one before it was started again
            return time.time() - float(row.wall) < self.seconds
        return _clock() - float(row.renewed) < self.seconds and _lives(row.owner)


def check(connection: Connection, lease: Lease) -> None:
    """Renew a lease within a transaction.  Raises `Fenced`, which undoes the transaction."""
    sign = {"run": lease.run, "fence": lease.fence, **_now()}
    if not connection.execute(RENEW, sign).rowcount:
        raise Fenced(lease.run)


def _now() -> dict[str, object]:
    return {"boot": _boot(), "renewed": _clock(), "wall": time.time()}


def _clock() -> float:
    return time.clock_gettime(time.CLOCK_MONOTONIC)


@cache
def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _me() -> str:
    return f"{os.getpid()}:{_born(os.getpid())}"


def _lives(owner: str) -> bool:
    """Whether a process is there that was born when the owner was: numbers are used again."""
    pid, _, born = owner.partition(":")
    return _born(int(pid)) == born


def _born(pid: int) -> str:
    """When a process began, in ticks since the machine did; empty if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in ("Z", "X") else fields[19]
