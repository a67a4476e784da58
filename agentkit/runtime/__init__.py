"""The composition root: settings in, live objects out.  The only room that knows the adapters.

models    a name becomes a model that can be asked
offers    how each kind of model would be loaded into the memory there is
tools     where tools come from, in which order
trust     projects whose tools may be loaded
lent      what tools borrow: sandbox, other machines, memory, options
permits   settings, a run and a workflow in, grants out
agents    an objective that a person typed, as a workflow
library   workflows and agents: found by name, read again from text
runs      runs of workflows: carried out, gone on with
terms     how one is carried out, and what of that outlives a process
publishing what happens in one is told, to the journal first
control   what is to become of one, said from outside
retention how long they are kept, and how they go
services  what one run borrows
places    places in queues and groups, shared by all processes
away      the near end of steps that are done on another machine
workplace the far end of them
orders    what both say to each other
groups    how many runs of a group there are at a time
secrets   where secrets are, and where they must not appear
one_call  a run of a single tool call
background runs that nobody waits for
keeper    runs that could go on, and nobody tells them to
scheduling what starts by itself: decided, on record, begun
timetable  the same for people: looked at, explained, paused, started by hand
scheduled the files that say so
starting  triggers as entries of a plan, what happened as fires
arrivals  files that arrive in folders
hooked    webhooks that are genuine
tokens    what other people and programs may do
held      a run is held by one process at a time
listening a run hears that it is to stop
memories  what is remembered
bench     how fast a chat model is here
part      what is made when it is first asked for, once
root      everything a face needs, opened when it is first asked for
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentkit.runtime.agents import COMMAND, Wish
    from agentkit.runtime.background import Background
    from agentkit.runtime.keeper import Keeper
    from agentkit.runtime.library import (
        answer_schema,
        starter,
        workflow_reference,
        workflow_schema,
    )
    from agentkit.runtime.publishing import Subscriber
    from agentkit.runtime.root import Runtime
    from agentkit.runtime.runs import new_run_id
    from agentkit.runtime.scheduling import Scheduling
    from agentkit.runtime.terms import How
    from agentkit.runtime.timetable import Timetable
    from agentkit.runtime.tokens import SCOPES, Scope, Tokens
    from agentkit.toolbox.approvals import Approver, nobody, settle, standing_answer

_HOMES = {
    "agentkit.runtime.agents": ("COMMAND", "Wish"),
    "agentkit.runtime.background": ("Background",),
    "agentkit.runtime.keeper": ("Keeper",),
    "agentkit.runtime.library": (
        "answer_schema",
        "starter",
        "workflow_reference",
        "workflow_schema",
    ),
    "agentkit.runtime.publishing": ("Subscriber",),
    "agentkit.runtime.root": ("Runtime",),
    "agentkit.runtime.runs": ("new_run_id",),
    "agentkit.runtime.scheduling": ("Scheduling",),
    "agentkit.runtime.terms": ("How",),
    "agentkit.runtime.timetable": ("Timetable",),
    "agentkit.runtime.tokens": ("SCOPES", "Scope", "Tokens"),
    "agentkit.toolbox.approvals": ("Approver", "nobody", "settle", "standing_answer"),
}
"""Where the names are that faces use: imported when first used, as in `agentkit` itself.

A run in this process needs nothing of a service, and nothing of its schedule.
"""

_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "COMMAND",
    "SCOPES",
    "Approver",
    "Background",
    "How",
    "Keeper",
    "Runtime",
    "Scheduling",
    "Scope",
    "Subscriber",
    "Timetable",
    "Tokens",
    "Wish",
    "answer_schema",
    "new_run_id",
    "nobody",
    "settle",
    "standing_answer",
    "starter",
    "workflow_reference",
    "workflow_schema",
]


def __getattr__(name: str) -> object:
    """A name that faces use."""
    if name not in _HOME:
        raise AttributeError(f"module 'agentkit.runtime' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
