"""What tools borrow from the runtime: the sandbox, other machines, memory, models, options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from agentkit.config import Settings
from agentkit.hosts import HostPolicy
from agentkit.ports import Http, Memory, Sandbox, Transcriber


@dataclass
class Lent:
    """`toolbox.context.ToolServices`: each is made when a tool first asks for it."""

    settings: Settings
    transcriber: Callable[..., Transcriber]
    remembered: Callable[[], Memory]

    @cached_property
    def sandbox(self) -> Sandbox:
        """Bubblewrap, unless settings say `sandbox: none`."""
        from agentkit.sandbox import BubblewrapSandbox, NoSandbox

        return NoSandbox() if self.settings.sandbox == "none" else BubblewrapSandbox()

    def http(self, hosts: Sequence[str]) -> Http:
        """See `ToolServices.http`."""
        from agentkit.network import GuardedHttp

        return GuardedHttp(HostPolicy.of(hosts))

    def memory(self) -> Memory:
        """See `ToolServices.memory`."""
        return self.remembered()

    def tool_options(self, tool: str) -> Mapping[str, Any]:
        """See `ToolServices.tool_options`."""
        return self.settings.tools.options.get(tool, {})
