"""All objectives, by family: `notes` to `plain`, one module each.

To add one, put it into the module of its family: what it has to have is told in `objective.py`, and
the tests prove of every one that its check tells right from wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentkit.errors import UnknownName
from bench.agent.objective import Objective
from bench.agent.objectives import (
    browsing,
    comparing,
    converting,
    counting,
    editing,
    fixing,
    notes,
    plain,
    remembering,
    renaming,
    restraint,
    sums,
    tables,
    writing,
)

FAMILIES = (notes, tables, counting, renaming, writing, editing, fixing, comparing, converting,
            remembering, browsing, restraint, sums, plain)  # fmt: skip

OBJECTIVES: tuple[Objective, ...] = tuple(
    objective for family in FAMILIES for objective in family.OBJECTIVES
)


def chosen(only: Sequence[str]) -> tuple[Objective, ...]:
    """Those of some families or with some names, in their order; nothing is all.

    Raises `UnknownName`.
    """
    known = {name for objective in OBJECTIVES for name in (objective.name, objective.family)}
    for name in only:
        if name not in known:
            raise UnknownName(
                "objective or family", name, sorted(known), hint="python -m bench.agent --help"
            )
    return tuple(one for one in OBJECTIVES if not only or {one.name, one.family} & set(only))
