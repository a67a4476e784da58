"""For templates that know nothing of tools: they are described in the system message.

The calls are those of Hermes, the format that most models have seen.
"""

from __future__ import annotations

from agentkit.engine.dialects.hermes import Hermes


class Generic(Hermes):
    """Hermes in words."""

    native = False
    instruction = (
        "To use one, answer with its name and arguments in this form:\n"
        '<tool_call>\n{"name": "NAME", "arguments": {...}}\n</tool_call>'
    )
