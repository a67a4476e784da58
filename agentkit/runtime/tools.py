"""Where tools come from: of two with one name, the one of the later source counts.

So what is nearer to the person wins over what ships, and what a program lends over both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentkit.config import Settings, shipped
from agentkit.ports import ToolServer
from agentkit.runtime.trust import TrustedFolders
from agentkit.toolbox import Toolbox
from agentkit.toolbox.python import tool_name
from agentkit.toolbox.sources import FolderSource, FunctionSource, PackageSource, Source


@dataclass
class Tools:
    """The sources, and the servers behind some of them."""

    settings: Settings
    trusted: TrustedFolders
    _lent: FunctionSource = field(default_factory=FunctionSource)
    _servers: list[ToolServer] = field(default_factory=list)

    def box(self) -> Toolbox:
        """All tools."""
        return Toolbox([*self._sources()])

    def lend(self, functions: Iterable[Callable[..., Any]]) -> list[str]:
        """Functions of a program; their names as tools.  A box has them after its next refresh.

        Raises `ToolError` for one that can be none, and what pydantic raises for its signature.
        """
        functions = list(functions)
        self._lent.add(functions)
        return [tool_name(function) for function in functions]

    def untrusted(self) -> Path | None:
        """A folder of tools here that is not loaded, because nobody said that it may be."""
        folder = _project()
        strange = folder is not None and folder.is_dir() and folder not in self.trusted
        return folder if strange else None

    def close(self) -> None:
        """End the servers that were started."""
        for server in self._servers:
            server.close()

    def _sources(self) -> Iterator[Source]:
        folder = shipped("tools")
        for file in sorted(folder.glob("[a-z]*.py")):  # one file, one tool: read when it is wanted
            yield FolderSource(folder, "shipped", prefix=file.stem, pattern=file.name)
        yield PackageSource()
        for folder in self.settings.tools.folders:
            yield FolderSource(folder, str(folder))
        yield FolderSource(self.settings.home / "tools", "yours")
        yield self._lent
        project = _project()
        if project is not None and project in self.trusted:
            yield FolderSource(project, "project")
        if self.settings.mcp:
            yield from self._of_servers()

    def _of_servers(self) -> Iterator[Source]:
        """The MCP servers that settings name; each is started when one of its tools is wanted."""
        from agentkit.toolbox.servers import ALL_EFFECTS, ServerSource
        from agentkit.toolservers import McpServer

        for name, server in self.settings.mcp.items():
            made = McpServer(name, server)
            self._servers.append(made)
            effects = ALL_EFFECTS if server.effects is None else tuple(server.effects)
            only = None if server.tools is None else tuple(server.tools)
            yield ServerSource(made, effects, only)


def _project() -> Path | None:
    """`tools/` in the current folder, unless it is what ships."""
    folder = Path("tools").absolute()
    return folder if folder.resolve() != shipped("tools").resolve() else None
