"""The statements that are executed for every step, built once: to build one takes longer than to
execute it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sqlalchemy import Executable, Table, bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from agentkit.journal import tables as t

AT = ("run", "step", "key")
"""What names a step, or an item of it."""

ENDS = ("status", "finished", "outputs", "error", "detail", "usage")
BEGINS = (*ENDS, "position", "action", "started", "inputs")
"""Columns that change when a step ends, and when it begins: one that begins again begins anew."""


@dataclass(frozen=True)
class Statements:
    """In the words of one database; each takes a mapping of values.

    `was_` stands before the name of a column in a condition.
    """

    event: Executable
    begin_step: Executable
    end_step: Executable
    begin_attempt: Executable
    end_attempt: Executable
    begin_call: Executable
    end_call: Executable
    text: Executable
    renew: Executable


@cache
def statements(dialect: str) -> Statements:
    """Those of a database, by the name that SQLAlchemy has for it."""
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert

    def put(table: Table, columns: tuple[str, ...], changing: tuple[str, ...]) -> Executable:
        made = insert(table).values({name: bindparam(name) for name in columns})
        new = {name: made.excluded[name] for name in changing}
        return made.on_conflict_do_update(index_elements=list(AT), set_=new)

    begun = select(func.count() + 1).select_from(t.attempts)
    for name in AT:
        begun = begun.where(t.attempts.c[name] == bindparam(name))
    return Statements(
        event=insert(t.events),
        begin_step=put(t.steps, (*AT, *BEGINS), BEGINS),
        end_step=put(t.steps, (*AT, *BEGINS), ENDS),
        begin_attempt=insert(t.attempts).values(
            **{name: bindparam(name) for name in (*AT, "status", "started", "error")},
            number=begun.scalar_subquery(),
        ),
        end_attempt=update(t.attempts)
        .where(
            *(t.attempts.c[name] == bindparam(f"was_{name}") for name in AT),
            t.attempts.c.status == "running",
        )
        .values({name: bindparam(name) for name in ("status", "finished", "error")}),
        begin_call=insert(t.calls).on_conflict_do_nothing(),
        end_call=update(t.calls)
        .where(t.calls.c.run == bindparam("was_run"), t.calls.c.id == bindparam("was_id"))
        .values({name: bindparam(name) for name in ("status", "seconds", "size", "outcome")}),
        text=insert(t.texts).on_conflict_do_nothing(),
        renew=update(t.leases)
        .where(t.leases.c.run == bindparam("was_run"), t.leases.c.fence == bindparam("was_fence"))
        .values({name: bindparam(name) for name in ("boot", "renewed", "wall")}),
    )
