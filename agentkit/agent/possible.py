"""What is possible now: guards live in the grammar.

What does not exist cannot be asked for.  Where a tool takes a file of the folder of the run, the
files that are there are an enumeration; where it takes an address, it is one that was seen, or one
of the same site.  What was done already is taken out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentkit.agent import known
from agentkit.agent.folder import TABLES, TEST, URL, Folder
from agentkit.agent.guard import fingerprint
from agentkit.agent.tasks import Kind
from agentkit.messages import ToolSchema
from agentkit.toolbox.caller import Caller
from agentkit.toolbox.output import CUT

MOST = 60
"""Files or addresses that are offered as an enumeration; of more, the model knows the name."""

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


@dataclass(frozen=True, slots=True)
class Possible:
    """What the tools of a caller can do in the folder of a run."""

    caller: Caller
    folder: Folder

    def schema(
        self,
        told: ToolSchema,
        done: set[str],
        said: Sequence[str],
        kind: Callable[[], Kind],
        *,
        tested: bool,
    ) -> ToolSchema | None:
        """A tool, as the prompt has `told` of it, with what is possible now; None if it can do
        nothing new, or nothing that a task of this kind is about.

        `done` are the fingerprints of what was called already, `said` the objective and what was
        seen since.  What is `tested` is mended in its files: the test is run after each change, and
        a model that could run programs would do in one of them what it has to mend.
        """
        tool, found = told.name, self.caller.tools[told.name]
        parameters: dict[str, Any] = json.loads(json.dumps(told.parameters))
        properties = parameters.get("properties", {})
        if not properties and fingerprint(tool, {}) in done:
            return None
        if self._is_pointless(tool, done, said, kind, tested=tested):
            return None
        if tool == known.PAGER:
            kept = sorted(path.stem for path in self.caller.outputs.glob("*.txt"))
            if not kept:
                return None
            properties["id"] = {"enum": kept}
        for about in properties.values():
            _bind(about)
        elsewhere = _is_elsewhere(said)
        files = [*self.folder.paths()] if found.each and not elsewhere else []
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
                options = self._places(tool, argument, done, said, self.folder.paths(folders=True))
            elif effect == "reads":
                options = self._places(tool, argument, done, said, self.folder.readable())
            elif argument in found.there:
                options = self._changeable(said, tested=tested)
            elif not elsewhere:
                options = [INSIDE]
            if options:
                properties[argument] = {"anyOf": options}
        return ToolSchema(tool, told.description, told.parameters, parameters)

    def _is_pointless(
        self,
        tool: str,
        done: set[str],
        said: Sequence[str],
        kind: Callable[[], Kind],
        *,
        tested: bool,
    ) -> bool:
        """Whether a tool that is known by name could tell nothing, or would be used amiss."""
        paths, readable = self.folder.paths, self.folder.readable
        all_was_shown = known.EVERYTHING in done and not any(CUT in text for text in said)
        if tool in known.READERS and all_was_shown:
            return True
        if tested and tool in (*known.PROGRAMS, known.LOOK):
            return True
        if tested and tool == known.READ and not self._unread(done):
            return True
        match tool:
            case known.ARITHMETIC:  # a model takes it for files, too, and multiplies what they say
                return (self.folder.computes and any(paths())) or kind() != "compute"
            case known.QUERY:
                return not any(Path(path).suffix in TABLES for path in paths())
            case known.READ:
                return any(paths()) and not any(readable())
        return False

    def _changeable(self, said: Sequence[str], *, tested: bool) -> list[dict[str, Any]]:
        """The files that can be changed: a test that says when a task is done is none of them."""
        paths = [path for path in self.folder.paths() if not (tested and TEST.search(path))]
        if not paths or len(paths) > MOST:
            return []
        return [{"enum": paths}, *([ANYWHERE] if _is_elsewhere(said) else [])]

    def _unread(self, done: set[str]) -> list[str]:
        paths = self.folder.readable()
        return [path for path in paths if fingerprint(known.READ, {"path": path}) not in done]

    def _places(
        self, tool: str, argument: str, done: set[str], said: Sequence[str], there: Iterable[str]
    ) -> list[dict[str, Any]]:
        """What is there and was not looked at yet, and what is not there if it may be elsewhere."""
        paths = [*there]
        if len(paths) > MOST:
            return []
        new = [path for path in paths if fingerprint(tool, {argument: path}) not in done]
        options: list[dict[str, Any]] = [{"enum": new or paths}] if paths else []
        return options if options and not _is_elsewhere(said) else [*options, ANYWHERE]


def _is_elsewhere(said: Sequence[str]) -> bool:
    """Whether an objective speaks of paths that do not lie in the folder of the run."""
    return any(map(OUTSIDE.search, said[:1]))


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
