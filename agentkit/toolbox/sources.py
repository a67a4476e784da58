"""Where tools come from.  A source is scanned again and again: what did not change is not loaded
again, and of a Python file that was broken by an edit the version from before goes on.  (Of a
script there is no such version: what runs is the file.)
"""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import stat
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout, suppress
from dataclasses import field
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from agentkit.errors import ToolError
from agentkit.toolbox import python, script
from agentkit.toolbox.plain import described
from agentkit.toolbox.tool import MARK, Tool, tool
from agentkit.values import dataclass

State = tuple[int, ...]

ENTRY_POINTS = "agentkit.tools"
"""The group in which installed packages name modules or functions with tools."""


@dataclass(frozen=True, slots=True)
class BadTool:
    """A file (or an entry point, or a server) that should give a tool and does not."""

    source: Path
    reason: str
    detail: str = ""

    def __str__(self) -> str:
        """With the place in front, unless the reason has it: the line of a header, say."""
        placed = self.reason.startswith(f"{self.source}:")
        return self.reason if placed else f"{self.source}: {self.reason}"


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

    @property
    def far(self) -> bool:
        """Whether another program has to be asked."""

    def scan(self) -> Scan:
        """What it has now.  Never raises for what is wrong with a single tool."""


@dataclass
class FolderSource:
    """A folder: `.py` files with `@tool` functions, and files with a header that can be executed.

    `pattern`: those files of it.  What begins with an underscore or a dot is no tool, nor is a file
    without a header that cannot be executed.
    """

    folder: Path
    label: str = ""
    prefix: str = ""
    pattern: str = "*"
    far: bool = False
    _known: dict[Path, tuple[State, Scan]] = field(default_factory=dict)

    def scan(self) -> Scan:
        """See `Source.scan`."""
        known: dict[Path, tuple[State, Scan]] = {}
        for path in sorted(self.folder.glob(self.pattern)):
            if path.name[0] in "._":
                continue
            state = _state(path)
            if state is None:
                continue
            before, old = self._known.get(path, (None, Scan()))
            known[path] = state, old if state == before else _with_what_was(_load(path), old)
        self._known = known
        return joined(scan for _, scan in known.values())


def joined(scans: Iterable[Scan]) -> Scan:
    """Several as one."""
    found = list(scans)
    return Scan(
        tuple(tool for scan in found for tool in scan.tools),
        tuple(bad for scan in found for bad in scan.bad),
    )


def _state(path: Path) -> State | None:
    """What changes when a file does; None for a folder, and for what has just gone."""
    try:
        about = path.stat()
    except OSError:  # a link that leads nowhere is reported when it is loaded
        return () if os.path.lexists(path) else None
    if not stat.S_ISREG(about.st_mode):
        return None
    return about.st_mtime_ns, about.st_size, about.st_ino, about.st_mode


def _with_what_was(found: Scan, old: Scan) -> Scan:
    """A Python file that broke keeps the tools that it had."""
    names = {tool.name for tool in found.tools}
    lasting = (tool for tool in old.tools if tool.lasts and tool.name not in names)
    kept = tuple(lasting) if found.bad else ()
    note = " (the version from before goes on)" if kept else ""
    bad = tuple(BadTool(one.source, one.reason + note, one.detail) for one in found.bad)
    return Scan(found.tools + kept, bad)


def _load(path: Path) -> Scan:
    try:
        if not path.exists():
            raise ToolError("is a link that leads nowhere")
        header = script.header_of(path)
        if header is not None:
            return Scan((script.tool_of(path, header),))
        if path.suffix == ".py":
            return _functions(python.load_module(path), path)
        if path.stat().st_mode & 0o111:
            raise ToolError("has no header that says its arguments: see `agentkit tools --help`")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a broken file must not take the others with it
        if os.path.lexists(path):  # and one that has just gone is none
            return Scan(bad=(_bad(path, error),))
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
    far: bool = False
    _found: Scan | None = None

    def scan(self) -> Scan:
        """See `Source.scan`."""
        if self._found is None:
            some = _may_be_some()
            entries = importlib.metadata.entry_points(group=ENTRY_POINTS) if some else ()
            self._found = joined(_entry(entry) for entry in entries)
        return self._found


@dataclass
class FunctionSource:
    """Functions that a program hands in; one without `@tool` has no effects."""

    label: str = "this program"
    prefix: str = ""
    far: bool = False
    _tools: dict[str, Tool] = field(default_factory=dict)

    def add(self, functions: Iterable[Callable[..., Any]]) -> None:
        """Offer these, too.  Raises `ToolError` or what pydantic raises for one that cannot be."""
        for function in functions:
            marked = function if hasattr(function, MARK) else tool(function)
            made = python.tool_of(marked, Path(inspect.getfile(inspect.unwrap(function))))
            self._tools[made.name] = made

    def scan(self) -> Scan:
        """See `Source.scan`."""
        return Scan(tuple(self._tools.values()))


def _may_be_some() -> bool:
    """Whether the file of any package names our group, or packages are where only Python looks.

    Python parses the files of all packages, which takes five times as long.
    """
    if any(hasattr(one, "find_distributions") and one is not PathFinder for one in sys.meta_path):
        return True
    folders = [Path(name or ".") for name in dict.fromkeys(sys.path)]
    return any(folder.is_file() or _names_us(folder) for folder in folders)


def _names_us(folder: Path) -> bool:
    with suppress(OSError), os.scandir(folder) as found:
        for one in found:
            if one.name.lower().endswith((".dist-info", "egg-info")):
                with suppress(OSError):
                    if ENTRY_POINTS.encode() in Path(one.path, "entry_points.txt").read_bytes():
                        return True
    return False


def _entry(entry: importlib.metadata.EntryPoint) -> Scan:
    package = entry.dist.name if entry.dist else "?"
    place = Path(f"{package}: {entry.name} = {entry.value}")
    try:
        with redirect_stdout(sys.stderr):
            loaded = entry.load()
        if isinstance(loaded, ModuleType):
            return _functions(loaded, Path(inspect.getfile(loaded)))
        if not inspect.isfunction(loaded) or not hasattr(loaded, MARK):
            raise ToolError("is no module and no function marked with @tool")
        return Scan((python.tool_of(loaded, Path(inspect.getfile(loaded))),))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # somebody else's package
        return Scan(bad=(_bad(place, error),))


def _bad(source: Path, error: BaseException) -> BadTool:
    ours = isinstance(error, ToolError | script.BadHeader)
    kind = "" if ours else f"{type(error).__name__}: "
    reason = f"{kind}{described(error)}".rstrip(": ")
    return BadTool(source, reason, "".join(traceback.format_exception(error)))
