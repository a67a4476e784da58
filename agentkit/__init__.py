"""agentkit: agents and automation on models that run on your own machine.

Importing this package starts nothing, opens nothing and loads nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from agentkit.api import Agent, AgentResult
    from agentkit.errors import ToolError, ToolRetry
    from agentkit.permissions import ChangedPath, ReadPath, Url, WritePath
    from agentkit.ports import ToolContext
    from agentkit.toolbox import tool

__all__ = [
    "Agent",
    "AgentResult",
    "ChangedPath",
    "ReadPath",
    "ToolContext",
    "ToolError",
    "ToolRetry",
    "Url",
    "WritePath",
    "__version__",
    "tool",
]

_HOMES = {
    "Agent": "agentkit.api",
    "AgentResult": "agentkit.api",
    "ChangedPath": "agentkit.permissions",
    "ReadPath": "agentkit.permissions",
    "ToolContext": "agentkit.ports",
    "ToolError": "agentkit.errors",
    "ToolRetry": "agentkit.errors",
    "Url": "agentkit.permissions",
    "WritePath": "agentkit.permissions",
    "tool": "agentkit.toolbox",
}
"""Where the public names live: imported when first used, so that `import agentkit` stays fast."""


def __getattr__(name: str) -> object:
    """A public name."""
    if name not in _HOMES:
        raise AttributeError(f"module 'agentkit' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
