"""An agent's calls, and what is possible now: guards live in the grammar.

What does not exist cannot be asked for.  Where a tool takes a file of the folder of the run, the
files that are there are an enumeration; where it takes an address, it is one that was seen, or one
of the same site.  What was done already is taken out.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from agentkit.agent.guard import UNKNOWN, Step, fingerprint
from agentkit.agent.tasks import Kind
from agentkit.cancel import CancelToken, Deadline
from agentkit.errors import ApprovalNeeded, Cancelled
from agentkit.messages import ToolSchema
from agentkit.outcomes import Failed, NeedsApproval, Outcome, Retry, Returned
from agentkit.toolbox.caller import Caller, new_call_id
from agentkit.toolbox.context import Report
from agentkit.toolbox.output import CUT, show

PAGER = "read_more"

ARITHMETIC, PYTHON, QUERY = "calculate", "run_python", "query_tables"
"""Ways to compute: where there are files, programs and queries can do what arithmetic can."""

COMPUTING = frozenset((ARITHMETIC, PYTHON, QUERY))
"""Tools whose results stand in no file."""

SHELL = "run_shell"
"""Runs a test."""

PROGRAMS = frozenset((PYTHON, SHELL))

LOOK = "list_files"
"""Shows what there is."""

READ = "read_file"

SEARCH = "search_files"
"""Shows lines of files."""

SEARCH_SITE = "search_site"
"""Shows lines of a website."""

ALL_LINES = {"pattern": "."}
EVERYTHING = fingerprint(SEARCH, ALL_LINES)
TEST = re.compile(r"(?:^|/)(?:test_[\w-]+|[\w-]+_test)\.(?:py|sh)$")
"""The name of a file that is a test."""

READERS = (LOOK, SEARCH, READ)
"""What these can tell is known when all lines were shown and nothing has changed since."""

LITTLE, VERY_LITTLE = 2400, 800
"""Bytes of files that are read as a whole before anything else: about 700 tokens, and 250 for a
question, to which a few lines are the answer.
"""

LONG_TEXT, MANY_TEXTS = 100_000, 4_000_000
"""Bytes of a file, and of all, from which on nobody looks through them."""

EMPTY = " is empty"
"""What a tool says of a file that a program has made and found nothing for."""

ALSO = "stands also in:"
"""What a tool says that has changed one of several places."""

SEVERAL = re.compile(r"\b(?:all|both|each|every)\b", re.IGNORECASE)
"""What a task says that is not done by one change."""

WORD = re.compile(r"[\w@-]+")

TABLES, SHORT_TABLE = (".csv", ".tsv"), 600
"""Ends of names of tables, and the bytes of one that is read like any file."""

MOST = 60
"""Files or addresses that are offered as an enumeration; of more, the model knows the name."""

LOOKED_AT = 2000
"""Entries of folders that are looked at for files to offer."""

OUTSIDE = re.compile(r"(?:^|[\s'\"`(=])~?/(?=[\w.])")
"""Something said about a path that does not lie in the folder of the run."""

ANYWHERE = {"type": "string", "pattern": r"^[~/][^\n]{1,200}$"}
INSIDE = {
    "type": "string",
    "pattern": r"^([^\n\\/.~][^\n\\/]{0,40}/){0,5}[^\n\\/.~]{1,60}([.][^\n\\/.]{1,12}){0,3}$",
}
"""A few folders, a name, a few dots: a small model goes on with .txt.txt.txt."""

EACH = 24
"""Files that a list goes through one by one; of more, the model names those that it means."""

FEW, LONG = 4, 400
"""Entries of a list, and characters of a string, that are not bound otherwise."""

FILE = re.compile(r"(?<![\w./~-])(?:[\w-]+/)*[\w-]+\.(?:[a-z][a-z0-9]{1,4}|[chr])\b(?![\w/])")
"""The name of a file, maybe with folders before it."""

DOMAINS = (".com", ".net", ".org")
"""Ends of what is a site, and no file."""

URL = re.compile(r"https?://[^\s<>\"'`)\]}|\\]+[^\s<>\"'`)\]}|\\.,;:]")


@dataclass(frozen=True, slots=True)
class Seen:
    """A call that is over: its status, what the model sees of it, and whether it changed something;
    None: it may have.
    """

    status: str
    text: str
    changed: bool | None = None


@dataclass
class ToolHands:
    """The tools of a toolbox; a result has at most `budget` tokens.

    `earlier` has what is on record of calls of this run, by id: status and outcome.
    """

    caller: Caller
    tools: Sequence[str]
    report: Report
    cancel: CancelToken
    count: Callable[[str], int]
    budget: int
    earlier: Mapping[str, tuple[str, Any]]

    def schemas(self) -> tuple[ToolSchema, ...]:
        """The tools as the prompt tells of them."""
        return tuple(self._told.values())

    @cached_property
    def _told(self) -> dict[str, ToolSchema]:
        """The same by name; a tool that is edited meanwhile must not change what was read."""
        return {name: self.caller.tools[name].schema for name in self.tools}

    def schema(
        self,
        tool: str,
        done: set[str],
        said: Sequence[str],
        kind: Callable[[], Kind],
        *,
        tested: bool = False,
    ) -> ToolSchema | None:
        """A tool with what is possible now; None if it can do nothing new, or nothing that a task
        of this kind is about.

        `done` are the fingerprints of what was called already, `said` the objective and what was
        seen since.  What is `tested` is mended in its files: the test is run after each change, and
        a model that could run programs would do in one of them what it has to mend.
        """
        found, told = self.caller.tools[tool], self._told[tool]
        parameters: dict[str, Any] = json.loads(json.dumps(told.parameters))
        properties = parameters.get("properties", {})
        if not properties and fingerprint(tool, {}) in done:
            return None
        if tool == ARITHMETIC and self._computes and next(self._paths(folders=False), None):
            return None  # a model takes it for files, too, and what is in them for numbers
        if tool == ARITHMETIC and kind() != "compute":
            return None  # a model multiplies what it should read
        if tool == QUERY and not any(
            Path(path).suffix in TABLES for path in self._paths(folders=False)
        ):
            return None
        if tool in READERS and EVERYTHING in done and not any(CUT in text for text in said):
            return None
        if tool == READ and not any(self._readable()) and any(self._paths(folders=False)):
            return None
        if tested and (tool in (*PROGRAMS, LOOK) or (tool == READ and not self._unread(done))):
            return None
        if tool == PAGER:
            kept = sorted(path.stem for path in self.caller.outputs.glob("*.txt"))
            if not kept:
                return None
            properties["id"] = {"enum": kept}
        for about in properties.values():
            _bind(about)
        elsewhere = any(map(OUTSIDE.search, said[:1]))
        files = [*self._paths(folders=False)] if found.each and not elsewhere else []
        for argument, name in found.each.items() if 0 < len(files) <= EACH else ():
            properties[argument] = _one_by_one(parameters, argument, name, files)
            for place in [one for one in found.touches if properties[one].get("default") == "."]:
                del properties[place]  # the names are those of the folder itself
        for argument, effect in found.touches.items():
            about = properties.get(argument, {})
            if about.get("type") == "array" and not elsewhere:
                del properties[argument]  # what lies in the folder is there anyway
            if about.get("type") != "string":
                continue
            options: list[dict[str, Any]] = []
            if effect == "network":
                options = _addresses(tool, argument, done, said)
            elif about.get("default") == ".":
                options = self._places(tool, argument, done, said, folders=True)
            elif effect == "reads":
                options = self._places(tool, argument, done, said, folders=False)
            elif argument in found.there:
                options = self._changeable(said, tested=tested)
            elif not any(map(OUTSIDE.search, said[:1])):
                options = [INSIDE]
            if options:
                properties[argument] = {"anyOf": options}
        return ToolSchema(tool, told.description, told.parameters, parameters)

    def first_looks(self, task: str, kind: Callable[[], Kind]) -> list[tuple[str, dict[str, Any]]]:
        """What is in the folder of the run: all lines if they are few, the files that the task
        names, lines that have to do with it, or names and beginnings.  Where nothing is: lines of
        the site that it names.
        """
        there = (self.caller.folder / path for path in self._paths(folders=False))
        files = [path for path in there if path.is_file()]  # no link that leads nowhere
        if not files:
            return self._elsewhere(task)
        size = sum(path.stat().st_size for path in files)
        asked = kind()
        apart = asked == "compute" and len(files) > 1  # files, or what is in some, to be counted
        test = self.test(task) if asked == "change" else None
        few = LITTLE if asked == "change" else VERY_LITTLE
        if SEARCH in self.tools and size <= few and not apart:
            return [(SEARCH, ALL_LINES)]
        named = self._named(task)
        if READ in self.tools and named:
            return [*((READ, {"path": path}) for path in named), *([test] if test else ())]
        tables = self._computes and any(path.suffix in TABLES for path in files)
        one = asked == "compute" and len(files) == 1  # to count in, not to find some lines of
        if SEARCH in self.tools and asked != "change" and not tables and not one:
            return [(SEARCH, {"pattern": " ".join(WORD.findall(task))})]
        if LOOK in self.tools:
            return [(LOOK, {"recursive": True, "first_lines": True})]
        return []

    def test(self, task: str) -> tuple[str, dict[str, Any]] | None:
        """The call that runs the test which a task names: it is done when that passes."""
        named = [path for path in self._mentioned(task) if TEST.search(path)]
        if SHELL not in self.tools or len(named) != 1:
            return None
        runs = "python3 -B" if named[0].endswith(".py") else "sh"
        return SHELL, {"command": f"{runs} {shlex.quote(named[0])}"}

    def _changeable(self, said: Sequence[str], *, tested: bool) -> list[dict[str, Any]]:
        """The files that can be changed: a test that says when a task is done is none of them."""
        paths = [path for path in self._paths(folders=False) if not (tested and TEST.search(path))]
        if not paths or len(paths) > MOST:
            return []
        elsewhere = any(map(OUTSIDE.search, said[:1]))
        return [{"enum": paths}, *([ANYWHERE] if elsewhere else [])]

    def _mentioned(self, task: str) -> list[str]:
        """The files whose names stand in a task."""
        return [
            path
            for path in self._readable()
            if re.search(rf"(?<![\w./-]){re.escape(Path(path).name)}(?![\w-])", task)
        ]

    def _named(self, task: str) -> list[str]:
        """The files that a task names, if they are short, and more than it does not name: of many,
        it names one as an example.
        """
        there, named = [*self._readable()], self._mentioned(task)
        sizes = [(self.caller.folder / path).stat().st_size for path in named]
        return named if 2 * len(named) > len(there) and sum(sizes) <= LITTLE else []

    def _elsewhere(self, task: str) -> list[tuple[str, dict[str, Any]]]:
        """What the site of an address in a task has to do with it."""
        address, asked = URL.search(task), " ".join(URL.sub(" ", task).split())
        if address is None or not asked or SEARCH_SITE not in self.tools:
            return []
        return [(SEARCH_SITE, {"url": address[0], "question": asked})]

    def missing(self, text: str, seen: Sequence[str]) -> list[str]:
        """Files that a text names, and that neither are in the folder nor were ever seen there."""
        known = "\n".join(seen)
        return [
            name
            for name in dict.fromkeys(FILE.findall(URL.sub(" ", text)))
            if name not in known
            and not name.endswith(DOMAINS)
            and not (self.caller.folder / name).exists()
        ]

    def texts(self, task: str) -> Iterator[tuple[str, str]]:
        """The files of the folder that a task names, with what is in them; no long ones."""
        for name in dict.fromkeys(FILE.findall(URL.sub(" ", task))):
            file = self.caller.folder / name
            if file.is_file() and file.stat().st_size <= LONG_TEXT:
                yield name, file.read_text(errors="replace")

    def others(self, name: str) -> list[str] | None:
        """What is in all files of the folder but one; None where that is too much."""
        there = [path for path in self._paths(folders=False) if path != name]
        files = [file for path in there if (file := self.caller.folder / path).is_file()]
        if len(there) >= LOOKED_AT or sum(file.stat().st_size for file in files) > MANY_TEXTS:
            return None
        return [file.read_text(errors="replace") for file in files]

    def changes(self, tool: str) -> bool:
        """Whether a tool may change files."""
        return bool({"writes", "executes"} & set(self.caller.tools[tool].effects))

    def partly(self, step: Step, task: str) -> bool:
        """Whether a call that changed something did only a part of what a task asks for: it wrote
        a file with nothing in it, or changed one of several places.
        """
        found = self.caller.tools[step.tool]
        one = ALSO in step.text and not found.each and "executes" not in found.effects
        return EMPTY in step.text or bool(one and SEVERAL.search(task))

    def tells(self, tool: str) -> bool:
        """Whether it shows what it has changed: what was read need not be read again."""
        return bool(self.caller.tools[tool].there) if tool in self.tools else False

    def new_call(self) -> str:
        """An id."""
        return new_call_id()

    def act(self, call: str, tool: str, arguments: Mapping[str, Any], seconds: float) -> Seen:
        """Make a call, which is stopped like one that is cancelled when so many seconds are over.

        Raises `ApprovalNeeded`, `Cancelled`.
        """
        limit = Deadline(self.cancel, seconds, "the time was up")
        try:
            outcome = self.caller.call(tool, arguments, self.report, limit, call=call)
        except Cancelled:
            if not limit.over:
                raise
            return Seen(UNKNOWN, f"{tool} was stopped because the time was up, effect unverified.")
        made = isinstance(outcome, Returned) and outcome.made
        changed = made or "writes" in self.caller.tools[tool].effects
        return replace(self._seen(call, tool, outcome), changed=changed)

    def recall(self, call: str, tool: str, arguments: Mapping[str, Any], seconds: float) -> Seen:
        """A call that was begun before the process died.

        One that never reached the tool is made now; of one that ended the outcome is on record; of
        one in between nobody knows what it did.
        """
        status, outcome = self.earlier.get(call, ("", None))
        match status:
            case "":
                return self.act(call, tool, arguments, seconds)
            case "needs_approval":  # made again, maybe before the process died once more
                return self.recall(f"{call}a", tool, arguments, seconds)
            case "returned":
                return self._seen(call, tool, Returned(outcome))
            case "retry":
                return self._seen(call, tool, Retry(str(outcome)))
            case "failed":
                return self._seen(call, tool, Failed(str(outcome)))
        return Seen(
            UNKNOWN,
            f"{tool} was interrupted, effect unverified: check what it did before you call it "
            "again.",
        )

    def _seen(self, call: str, tool: str, outcome: Outcome) -> Seen:
        if isinstance(outcome, NeedsApproval):
            raise ApprovalNeeded(outcome.request, outcome.reason)
        shown = show(
            outcome,
            tool,
            call,
            budget=self.budget,
            count=self.count,
            folder=self.caller.outputs.parent,
            can_page=PAGER in self.tools,
        )
        return Seen(outcome.status, shown.text)

    def _unread(self, done: set[str]) -> list[str]:
        paths = self._readable()
        return [path for path in paths if fingerprint(READ, {"path": path}) not in done]

    def _places(
        self, tool: str, argument: str, done: set[str], said: Sequence[str], *, folders: bool
    ) -> list[dict[str, Any]]:
        paths = [*self._paths(folders=folders)] if folders else [*self._readable()]
        if len(paths) > MOST:
            return []
        new = [path for path in paths if fingerprint(tool, {argument: path}) not in done]
        options: list[dict[str, Any]] = [{"enum": new or paths}] if paths else []
        return (
            [*options, ANYWHERE] if any(map(OUTSIDE.search, said[:1])) or not options else options
        )

    @property
    def _computes(self) -> bool:
        """Whether tables can be computed from."""
        return PYTHON in self.tools or QUERY in self.tools

    def _readable(self) -> Iterator[str]:
        """The files, but for long tables where there are programs or queries, which read them
        better: a model that has seen a column of figures guesses its sum.
        """
        for path in self._paths(folders=False):
            file = self.caller.folder / path
            table = self._computes and file.suffix in TABLES and file.is_file()
            if not table or file.stat().st_size <= SHORT_TABLE:
                yield path

    def _paths(self, *, folders: bool) -> Iterator[str]:
        if folders:
            yield "."
        looked_at = 0
        for place, below, names in os.walk(self.caller.folder):
            below[:] = sorted(name for name in below if not name.startswith("."))
            for name in below if folders else sorted(names):
                looked_at += 1
                if looked_at > LOOKED_AT:
                    return
                if not name.startswith("."):
                    yield str((Path(place) / name).relative_to(self.caller.folder))


def _one_by_one(
    parameters: dict[str, Any], argument: str, name: str, files: Sequence[str]
) -> dict[str, Any]:
    """A list with an entry for each file: a small model ends a list of its own too early."""
    items = parameters["properties"][argument]["items"]
    entry = parameters.get("$defs", {}).get(items.get("$ref", "").rpartition("/")[2], items)
    _bind(entry)
    entries = [
        {**entry, "properties": {**entry["properties"], name: {"const": file}}} for file in files
    ]
    return {
        "type": "array",
        "prefixItems": entries,
        "items": False,
        "minItems": len(files),
        "maxItems": len(files),
    }


def _bind(about: dict[str, Any], most: int = LONG) -> None:
    """Keep an argument from going on for ever, which is what small models do in free strings."""
    if about.get("type") == "array":
        about.setdefault("maxItems", FEW)
        _bind(about.get("items", {}), LONG // FEW)
    if about.get("type") == "string" and "enum" not in about:
        about.setdefault("maxLength", most)


def _addresses(
    tool: str, argument: str, done: set[str], said: Sequence[str]
) -> list[dict[str, Any]]:
    """Those that were seen and not called yet, and others of the same sites."""
    seen = list(dict.fromkeys(url for text in said for url in URL.findall(text)))
    new = [url for url in seen if fingerprint(tool, {argument: url}) not in done]
    if not seen or len(new) > MOST:
        return []
    sites = dict.fromkeys("/".join(url.split("/")[:3]) for url in seen)
    same = [
        {"type": "string", "pattern": f"^{site.replace('.', '[.]')}/[A-Za-z0-9_./?=&%-]{{0,100}}$"}
        for site in list(sites)[:5]
    ]
    return [*([{"enum": new}] if new else []), *same]
