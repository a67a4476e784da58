"""Where tools come from.  A source is scanned again and again: what did not change is not loaded
again, and of a file that was broken by an edit the version from before goes on.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Protocol

from agentkit.errors import ToolError
from agentkit.toolbox import python, script
from agentkit.toolbox.tool import MARK, Tool

ENTRY_POINTS = "agentkit.tools"
"""The group in which installed packages name modules or functions with tools."""


@dataclass(frozen=True, slots=True)
class BadTool:
    """A file (or an entry point, or a server) that should give a tool and does not."""

    source: Path
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a source has now: tools in the order of their files, and what could not be loaded."""

    tools: tuple[Tool, ...] = ()
    bad: tuple[BadTool, ...] = ()


class Source(Protocol):
    """Gives tools."""

    @property
    def label(self) -> str:
        """What people call it."""

    @property
    def prefix(self) -> str:
        """How the names of its tools begin, if it is asked only when one of them is wanted."""

    def scan(self) -> Scan:
        """What it has now.  Never raises for what is wrong with a single tool."""


@dataclass
class FolderSource:
    """A folder: `.py` files with `@tool` functions, and files with a header that can be executed.

    What begins with an underscore or a dot is no tool, nor is a file without a header that cannot
    be executed.
    """

    folder: Path
    label: str = ""
    prefix: str = ""
    _known: dict[Path, tuple[tuple[int, ...], Scan]] = field(default_factory=dict)

    def scan(self) -> Scan:
        """See `Source.scan`."""
        before, self._known = self._known, {}
        for path in sorted(self.folder.glob("*")):
            if path.name[0] in "._" or not path.is_file():
                continue
            stat = path.stat()
            state = (stat.st_mtime_ns, stat.st_size, stat.st_ino, stat.st_mode)
            old_state, old = before.get(path, (None, Scan()))
            found = old if state == old_state else _with_what_was(_load(path), old)
            self._known[path] = (state, found)
        found_here = [found for _, found in self._known.values()]
        return Scan(
            tuple(tool for found in found_here for tool in found.tools),
            tuple(bad for found in found_here for bad in found.bad),
        )


def _with_what_was(found: Scan, old: Scan) -> Scan:
    """A file that broke keeps the tools that it had."""
    if not found.bad or not old.tools:
        return found
    names = {tool.name for tool in found.tools}
    kept = tuple(tool for tool in old.tools if tool.name not in names)
    note = " (the version from before goes on)" if kept else ""
    bad = tuple(BadTool(one.source, one.reason + note, one.detail) for one in found.bad)
    return Scan(found.tools + kept, bad)


def _load(path: Path) -> Scan:
    try:
        header = script.header_of(path)
        if header is not None:
            return Scan((script.tool_of(path, header),))
        if path.suffix == ".py":
            return _functions(python.load_module(path), path)
    except (Exception, SystemExit) as error:  # a broken file must not take the others with it
        return Scan(bad=(_bad(path, error),))
    if path.stat().st_mode & 0o111:
        reason = "has no header that says its arguments: see `agentkit tools --help`"
        return Scan(bad=(BadTool(path, reason),))
    return Scan()


def _functions(module: ModuleType, path: Path) -> Scan:
    functions = list(python.marked(module))
    if not functions:
        return Scan(bad=(BadTool(path, "has no function marked with @tool"),))
    tools, bad = [], []
    for function in functions:
        try:
            tools.append(python.tool_of(function, path))
        except Exception as error:  # nor one function the others of its file
            bad.append(_bad(path, error))
    return Scan(tuple(tools), tuple(bad))


@dataclass
class PackageSource:
    """Installed packages that have entry points in the group `agentkit.tools`: read once."""

    label: str = "installed packages"
    prefix: str = ""
    _found: Scan | None = None

    def scan(self) -> Scan:
        """See `Source.scan`."""
        if self._found is None:
            parts = [_entry(entry) for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)]
            self._found = Scan(
                tuple(tool for part in parts for tool in part.tools),
                tuple(bad for part in parts for bad in part.bad),
            )
        return self._found


def _entry(entry: importlib.metadata.EntryPoint) -> Scan:
    package = entry.dist.name if entry.dist else "?"
    place = Path(f"{package}: {entry.name} = {entry.value}")
    try:
        loaded = entry.load()
        path = Path(inspect.getfile(loaded))
        if isinstance(loaded, ModuleType):
            return _functions(loaded, path)
        if not hasattr(loaded, MARK):
            raise ToolError("is no module and no function marked with @tool")
        return Scan((python.tool_of(loaded, path),))
    except (Exception, SystemExit) as error:  # somebody else's package
        return Scan(bad=(_bad(place, error),))


def _bad(source: Path, error: BaseException) -> BadTool:
    kind = "" if isinstance(error, ToolError) else f"{type(error).__name__}: "
    if isinstance(error, script.BadHeader):
        kind = ""
    return BadTool(source, f"{kind}{error}".rstrip(": "), traceback.format_exc())
