"""Gemma 2 and 3: their templates know nothing of tools, nor of a system message.

The tools are described as Google's guide to function calling does it, and a call is a JSON object
with name and parameters and nothing around it; Gemma likes to put it into a fenced block all the
same.  (FunctionGemma has markers of its own and no JSON: it is treated like its siblings.)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from agentkit.engine.dialects.formats import fenced
from agentkit.engine.dialects.llama3 import Llama3
from agentkit.engine.dialects.reader import Sign
from agentkit.engine.dialects.schemas import told
from agentkit.messages import ToolSchema

GUIDE = """\
You have access to functions. If you decide to invoke any of the function(s), you MUST put it in \
the format of
{"name": function name, "parameters": dictionary of argument name and its value}

You SHOULD NOT include any other text in the response if you call a function
"""


class Gemma(Llama3):
    """Calls as Llama 3 writes them, tools in words."""

    native = False

    def describe(self, tools: Sequence[ToolSchema]) -> str:
        """The guide, and the tools as an array."""
        return GUIDE + json.dumps([told(tool) for tool in tools], ensure_ascii=False)

    def _signs(self) -> Iterable[Sign]:
        fences = [Sign(f"```{kind}\n", fenced, "line") for kind in ("tool_code", "tool_call")]
        return [*super()._signs(), *fences]
