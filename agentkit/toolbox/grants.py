"""Whether a call may touch what it would touch: a pure function of what was granted.

A tool asks, and only settings grant (and a person, by answering).  What a workflow says about
permissions can only take away.  For each thing that a call touches, the first of these that speaks
of it decides:

    a remembered answer       of this tool, about this folder or host
    the tool's own line       tools: {NAME: allow | ask | deny}
    folders and hosts         read, write, hosts: they allow
    the effect's line         effects: {executes: allow}
    otherwise                 ask or deny

A name with a dot in front, in a folder that was granted, is not covered: keys and tokens live
there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from agentkit.hosts import covers_host
from agentkit.permissions import Access, Effect, Rule, Verdict

SEVERITY: Mapping[Verdict, int] = {"allow": 0, "ask": 1, "deny": 2}


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

    def permits(self, tool: str, access: Access) -> bool:
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
    """What tools may touch in one run.

    `own` are folders that belong to the run, or that a person handed in: they are read (and those
    of `own_write` written) whatever their names begin with.
    """

    tools: Mapping[str, Verdict] = field(default_factory=dict)
    read: Sequence[Path] = ()
    write: Sequence[Path] = ()
    hosts: Sequence[str] = ()
    effects: Mapping[Effect, Verdict] = field(default_factory=dict)
    otherwise: Verdict = "ask"
    own: Sequence[Path] = ()
    own_write: Sequence[Path] = ()
    narrowings: Sequence[Narrowing] = ()

    def decide(
        self, tool: str, accesses: Sequence[Access], remembered: Sequence[Rule] = ()
    ) -> Decision:
        """The strictest verdict over everything that a call touches."""
        for narrowing in self.narrowings:
            if not narrowing.permits_tool(tool):
                return Decision("deny", f"{narrowing.source} does not name the tool {tool!r}")
        verdicts = [(self._verdict(tool, access, remembered), access) for access in accesses]
        for narrowing in self.narrowings:
            refused = tuple(
                access
                for access in accesses
                if not self._is_own(access) and not narrowing.permits(tool, access)
            )
            if refused:
                return Decision("deny", f"{narrowing.source} does not let it {refused[0]}", refused)
        if not accesses and self._line(tool) in ("ask", "deny"):
            verdicts = [(self._line(tool) or "ask", Access("executes"))]
        said: list[Verdict] = [verdict for verdict, _ in verdicts]
        worst: Verdict = max(said, key=SEVERITY.__getitem__, default="allow")
        if worst == "allow":
            return Decision("allow")
        open_ = tuple(access for verdict, access in verdicts if verdict == worst)
        touched = ", ".join(dict.fromkeys(str(access) for access in open_))
        return Decision(worst, f"{tool} would {touched}", open_)

    def plus(self, accesses: Sequence[Access]) -> Grants:
        """These grants, and what a person allowed for one call."""
        paths = {
            effect: [Path(a.what) for a in accesses if a.effect == effect and a.what != "*"]
            for effect in ("reads", "writes")
        }
        hosts = [a.what for a in accesses if a.effect == "network" and a.what != "*"]
        return replace(
            self,
            own=(*self.own, *paths["reads"], *paths["writes"]),
            own_write=(*self.own_write, *paths["writes"]),
            hosts=(*self.hosts, *hosts),
        )

    def reads(self, path: Path) -> bool:
        """Whether a file may be read without asking, whatever the tool is."""
        return self._is_own(Access("reads", str(path))) or covers_path(self.read, str(path))

    def writes(self, path: Path) -> bool:
        """Whether a file may be written without asking, whatever the tool is."""
        return self._is_own(Access("writes", str(path))) or covers_path(self.write, str(path))

    def _is_own(self, access: Access) -> bool:
        if access.effect not in ("reads", "writes") or access.what == "*":
            return False
        folders = (*self.own, *self.own_write) if access.effect == "reads" else self.own_write
        return any(Path(access.what).is_relative_to(folder) for folder in folders)

    def _verdict(self, tool: str, access: Access, remembered: Sequence[Rule]) -> Verdict:
        for rule in remembered:
            if rule.tool == tool and rule.effect == access.effect and rule_covers(rule, access):
                return rule.verdict
        line = self._line(tool)
        if line is not None and (line != "allow" or access.effect != "network"):
            return line
        if self._is_own(access) or self._is_listed(access):
            return "allow"
        if line is not None:
            return line
        return self.effects.get(access.effect, self.otherwise)

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

    def _line(self, tool: str) -> Verdict | None:
        """What is said of the tool by name: a name in full counts more than a pattern."""
        if tool in self.tools:
            return self.tools[tool]
        fitting = [verdict for name, verdict in self.tools.items() if fnmatchcase(tool, name)]
        return max(fitting, key=SEVERITY.__getitem__, default=None)


def covers_path(folders: Sequence[Path], path: str) -> bool:
    """Whether a path lies in one of the folders, and no name below it begins with a dot."""
    if path == "*":
        return False
    for folder in folders:
        if Path(path).is_relative_to(folder.resolve()):
            below = Path(path).relative_to(folder.resolve()).parts
            if not any(part.startswith(".") for part in below):
                return True
    return False


def rule_covers(rule: Rule, access: Access) -> bool:
    """Whether a remembered answer speaks of an access."""
    if rule.pattern == "*":
        return True
    if access.effect == "network":
        return covers_host((rule.pattern,), access.what)
    return access.what != "*" and covers_path((Path(rule.pattern),), access.what)


def rules_for(
    tool: str, accesses: Sequence[Access], verdict: Literal["allow", "deny"]
) -> tuple[Rule, ...]:
    """What `always` and `never` mean for a call: the folder of a file, the host of an address."""
    return tuple(dict.fromkeys(Rule(tool, a.effect, _pattern(a), verdict) for a in accesses))


def _pattern(access: Access) -> str:
    if access.what == "*" or access.effect in ("executes", "spends"):
        return "*"
    if access.effect == "network":
        return access.what
    path = Path(access.what)
    return str(path if path.is_dir() else path.parent)
