"""agentkit: agents and automation on models that run on your own machine.

Importing this package starts nothing, opens nothing and loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from agentkit.ports import ToolContext
    from agentkit.toolbox import tool

__all__ = ["ToolContext", "__version__", "tool"]


def __getattr__(name: str) -> object:
    """The public names, imported when first used so that `import agentkit` stays fast."""
    if name == "tool":
        from agentkit.toolbox import tool  # delays pydantic

        return tool
    if name == "ToolContext":
        from agentkit.ports import ToolContext

        return ToolContext
    raise AttributeError(f"module 'agentkit' has no attribute {name!r}")
