"""Whether a call may touch what it would touch: a pure function of what was granted.

A tool asks, and only settings grant (and a person, by answering).  For each thing that a call
touches, the first of these that speaks of it decides:

    the tool's own line     tools: {NAME: allow | ask | deny}
    folders and hosts       read, write, hosts, and the folder of the run: they allow
    the effect's line       effects: {executes: allow}
    otherwise               ask or deny

A remembered answer comes last, and it answers a question: `always` where the lines above say ask.
What they deny it does not allow; what they allow, `never` refuses.  What a workflow says about
permissions can only take away: what it does not leave is denied, whatever else was said.

Two things need more than a line that allows the tool or the effect, because a model that is led
astray would ask for them first.  An address of this machine or its network is granted by its own
name.  A name with a dot in front, in a folder that was granted, is not covered, nor is what the
kernel shows in /proc, /sys and /dev: keys and tokens live there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from agentkit.hosts import HostPattern, covers_host
from agentkit.permissions import Access, Effect, Rule, Verdict
from agentkit.values import dataclass

SEVERITY: Mapping[Verdict, int] = {"allow": 0, "ask": 1, "deny": 2}

KERNEL = (Path("/dev"), Path("/proc"), Path("/sys"))


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What is left of the grants; None: all of it.  Anything that is not covered is denied.

    `source` says who took the rest away.
    """

    source: str
    tools: Sequence[str] | None = None
    read: Sequence[Path] | None = None
    write: Sequence[Path] | None = None
    hosts: Sequence[str] | None = None

    def permits(self, access: Access) -> bool:
        """Whether this thing is still there to be granted."""
        if access.effect == "network":
            return self.hosts is None or covers_host(self.hosts, access.what)
        if access.effect in ("reads", "writes"):
            folders = self.read if access.effect == "reads" else self.write
            return folders is None or covers_path(folders, access.what)
        return True

    def permits_tool(self, tool: str) -> bool:
        """Whether the tool may be called at all."""
        return self.tools is None or any(fnmatchcase(tool, pattern) for pattern in self.tools)


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a call: `open` are the accesses that made it so, `reason` says it."""

    verdict: Verdict
    reason: str = ""
    open: tuple[Access, ...] = ()


@dataclass(frozen=True, slots=True)
class Grants:
    """What tools may touch in one run.  Folders have all their links resolved.

    `own` are folders that belong to the run, or that a person handed in: they are read (and those
    of `own_write` written) whatever their names begin with, and no narrowing takes them away.
    """

    tools: Mapping[str, Verdict] = field(default_factory=dict)
    read: Sequence[Path] = ()
    write: Sequence[Path] = ()
    hosts: Sequence[str] = ()
    effects: Mapping[Effect, Verdict] = field(default_factory=dict)
    otherwise: Literal["ask", "deny"] = "ask"
    own: Sequence[Path] = ()
    own_write: Sequence[Path] = ()
    narrowings: Sequence[Narrowing] = ()

    # -- before a call ---------------------------------------------------------------------------

    def decide(
        self, tool: str, accesses: Sequence[Access], remembered: Sequence[Rule] = ()
    ) -> Decision:
        """The strictest verdict over everything that a call touches."""
        for narrowing in self.narrowings:
            if not narrowing.permits_tool(tool):
                return Decision("deny", f"{narrowing.source} does not name the tool {tool!r}")
            refused = tuple(access for access in accesses if not self._is_left(access, narrowing))
            if refused:
                return Decision("deny", f"{narrowing.source} does not let it {refused[0]}", refused)
        if not accesses and self._line(tool) in ("ask", "deny"):
            accesses = [Access("executes")]  # a tool that computes only, and has a line
        verdicts = [(self._verdict(tool, access, remembered), access) for access in accesses]
        said: list[Verdict] = [verdict for verdict, _ in verdicts]
        worst: Verdict = max(said, key=SEVERITY.__getitem__, default="allow")
        if worst == "allow":
            return Decision("allow")
        open_ = tuple(access for verdict, access in verdicts if verdict == worst)
        reason = f"{tool} would {', '.join(dict.fromkeys(map(str, open_)))}"
        if worst == "deny":
            by_settings = any(self._settled(tool, access) == "deny" for access in open_)
            never = f"a person said never (agentkit approvals forget {tool})"
            reason += f": {'settings deny that' if by_settings else never}"
        return Decision(worst, reason, open_)

    def _verdict(self, tool: str, access: Access, remembered: Sequence[Rule]) -> Verdict:
        settled = self._settled(tool, access)
        answers = {r.verdict for r in remembered if r.tool == tool and rule_covers(r, access)}
        if "deny" in answers:
            return "deny"
        return "allow" if settled == "ask" and "allow" in answers else settled

    def _settled(self, tool: str, access: Access) -> Verdict:
        """What settings say."""
        line = self._line(tool)
        if line in ("ask", "deny"):
            return line
        if self._is_own(access) or self._is_listed(access):
            return "allow"
        verdict = line or self.effects.get(access.effect, self.otherwise)
        return self.otherwise if verdict == "allow" and _is_private(access) else verdict

    def _line(self, tool: str) -> Verdict | None:
        """What is said of the tool by name: a name in full counts more than a pattern."""
        if tool in self.tools:
            return self.tools[tool]
        fitting = [verdict for name, verdict in self.tools.items() if fnmatchcase(tool, name)]
        return max(fitting, key=SEVERITY.__getitem__, default=None)

    # -- during a call ---------------------------------------------------------------------------

    def plus(self, accesses: Sequence[Access]) -> Grants:
        """These grants, and what was decided for one call.

        What it may write it may also read.  Where it may talk to machines that its arguments do not
        name, these are the public ones.
        """
        named = [access for access in accesses if access.what != "*"]
        reads = [Path(one.what) for one in named if one.effect in ("reads", "writes")]
        writes = [Path(one.what) for one in named if one.effect == "writes"]
        hosts = [one.what for one in accesses if one.effect == "network"]
        return replace(
            self,
            read=(*self.read, *reads),
            write=(*self.write, *writes),
            hosts=(*self.hosts, *hosts),
        )

    def reads(self, path: Path) -> bool:
        """Whether a file may be read without asking, whatever the tool is."""
        return self._is_free(Access("reads", str(path)))

    def writes(self, path: Path) -> bool:
        """Whether a file may be written without asking, whatever the tool is."""
        return self._is_free(Access("writes", str(path)))

    @property
    def reachable(self) -> tuple[str, ...]:
        """The hosts that may be talked to without asking, as patterns."""
        hosts = tuple(self.hosts)
        for narrowing in self.narrowings:
            if narrowing.hosts is not None:
                hosts = common_hosts(hosts, narrowing.hosts)
        return hosts

    def _is_free(self, access: Access) -> bool:
        left = all(self._is_left(access, narrowing) for narrowing in self.narrowings)
        return left and (self._is_own(access) or self._is_listed(access))

    def _is_left(self, access: Access, narrowing: Narrowing) -> bool:
        return self._is_own(access) or narrowing.permits(access)

    def _is_own(self, access: Access) -> bool:
        if access.effect not in ("reads", "writes") or ".." in Path(access.what).parts:
            return False
        folders = (*self.own, *self.own_write) if access.effect == "reads" else self.own_write
        return any(Path(access.what).is_relative_to(folder) for folder in folders)

    def _is_listed(self, access: Access) -> bool:
        if access.what == "*":
            return False
        match access.effect:
            case "reads":
                return covers_path(self.read, access.what)
            case "writes":
                return covers_path(self.write, access.what)
            case "network":
                return covers_host(self.hosts, access.what)
        return False


def covers_path(folders: Iterable[Path], path: str) -> bool:
    """Whether a full path lies in one of the folders, at a place that is not hidden there."""
    return any(_covers(folder, Path(path)) for folder in folders)


def _covers(folder: Path, path: Path) -> bool:
    if not path.is_relative_to(folder):
        return False
    if any(part.startswith(".") for part in path.relative_to(folder).parts):  # also ..
        return False
    return not any(path.is_relative_to(k) and not folder.is_relative_to(k) for k in KERNEL)


def common_hosts(some: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    """Patterns for the hosts that both cover."""
    pairs = ((HostPattern.of(one), HostPattern.of(other)) for one in some for other in others)
    common = (_narrower(*pair) for pair in pairs)
    return tuple(dict.fromkeys(str(pattern) for pattern in common if pattern))


def _narrower(*pair: HostPattern) -> HostPattern | None:
    """What two patterns cover both: one of them, for one holds the other or they do not meet."""
    wide, narrow = sorted(pair, key=lambda pattern: (not pattern.below, len(pattern.host)))
    ports = {pattern.port for pattern in pair if pattern.port is not None}
    if len(ports) > 1:
        return None
    port = ports.pop() if ports else None
    an_example = f"x.{narrow.host}" if narrow.below and narrow.host else narrow.host
    same = (wide.host, wide.below) == (narrow.host, narrow.below)
    if same or replace(wide, port=None).covers(an_example, 0):
        return replace(narrow, port=port)
    return None


def _is_private(access: Access) -> bool:
    """Whether it is known to be on this machine or its network."""
    known = access.effect == "network" and access.what != "*"
    return known and not covers_host(("*",), access.what)


# -- answers that are remembered -------------------------------------------------------------------


def rule_covers(rule: Rule, access: Access) -> bool:
    """Whether a remembered answer speaks of an access."""
    if rule.effect != access.effect:
        return False
    if "*" in (rule.pattern, access.what):  # what is not named is all that is meant by it
        return rule.pattern == access.what
    if access.effect == "network":
        return covers_host((rule.pattern,), access.what)
    return covers_path((Path(rule.pattern),), access.what)


def rules_for(
    tool: str, accesses: Sequence[Access], verdict: Literal["allow", "deny"]
) -> tuple[Rule, ...]:
    """What `always` and `never` mean for a call: the folder of a file, the host of an address."""
    return tuple(dict.fromkeys(Rule(tool, a.effect, _pattern(a), verdict) for a in accesses))


def _pattern(access: Access) -> str:
    if access.effect not in ("reads", "writes") or access.what == "*":
        return access.what
    path = Path(access.what)
    hidden = any(part.startswith(".") for part in path.parts)
    alone = hidden or _is_wide(path.parent) or os.path.isdir(path)  # noqa: PTH112 (never raises)
    return str(path if alone else path.parent)


def _is_wide(folder: Path) -> bool:
    """Whether nobody means all of it who allows one file that lies there."""
    home = os.path.realpath(os.path.expanduser("~"))  # noqa: PTH111 (there may be none)
    return folder in (Path("/"), Path(home))
