"""How a run is carried out: by whom, for whom, in which folder; and what of it outlives a process.

What was granted when a run began is on record with it, so that whoever goes on with the run can
neither widen nor lose it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from agentkit.cancel import CancelToken
from agentkit.permissions import Profile
from agentkit.runtime.publishing import Subscriber
from agentkit.toolbox.approvals import Approver

if TYPE_CHECKING:
    from agentkit.agent.run import Part


class How(TypedDict, total=False):
    """How a run is carried out.

    `by` is the name of a token, if it is done for a program and not for the person whose home this
    is.  `handed` False: the inputs were chosen by a program, not by a person, and the files among
    them are not readable for that.  `here` is the folder in which the person is, if that is not the
    one of this process; `looked_into` one in which a person was when the run began.  `work` is a
    folder of a person's in which the run works: it may read and change what is there.  `without`
    leaves parts of agents out, for comparison.
    """

    profile: Profile
    approver: Approver
    by: str
    handed: bool
    here: Path
    looked_into: Path
    work: Path | None
    without: frozenset[Part]
    cancel: CancelToken | None
    subscribers: tuple[Subscriber, ...]


def on_record(how: How) -> dict[str, Any]:
    """What of it counts as long as the run lasts, whoever goes on with it: see `granted`."""
    attended = how.get("profile", "interactive") == "interactive"
    here = how.get("here") or (Path.cwd() if attended else None)
    return {
        "by": how.get("by", ""),
        "handed": how.get("handed", True),
        "here": None if here is None else str(here),
        "attended": attended,
    }


def granted(terms: Mapping[str, Any], how: How) -> How:
    """How a run goes on: as whoever does, with what was granted to it when it began."""
    how = {**how}
    if terms.get("here"):
        how.setdefault("here", Path(terms["here"]))
        if terms.get("attended") and Path(terms["here"]) != Path("/"):
            how["looked_into"] = Path(terms["here"])
    if "handed" in terms:
        how["handed"] = terms["handed"]
    return how
