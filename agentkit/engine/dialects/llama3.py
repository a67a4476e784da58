"""Llama 3.1 and its successors: the whole answer is one JSON object with name and parameters.

The family writes one call at a time (its templates refuse more), and text or a call, not both.
`<|python_tag|>` may come before a call; what it was made for, Python code, is no call here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agentkit.engine.dialects.dialect import Dialect, call_object
from agentkit.engine.dialects.formats import bare, fenced, function_tag, objects
from agentkit.engine.dialects.lark import Rules, choice, literal
from agentkit.engine.dialects.reader import Sign
from agentkit.engine.marks import Piece
from agentkit.messages import ToolCall, ToolSchema

OPENED = r'\{[ \t\n]*"name":[ \t\n]*"'
"""What makes an answer that begins with it a call: the model has decided."""


class Llama3(Dialect):
    """`{"name": ..., "parameters": {...}}`, and nothing around it."""

    opener = '{"name": "'
    instruction = (
        "To use one, answer with nothing but a JSON object of this form:\n"
        '{"name": "NAME", "parameters": {...}}'
    )

    def write(self, calls: Sequence[ToolCall]) -> list[Piece]:
        """The objects, one after the other."""
        return [Piece("; ".join(call_object(call, "parameters") for call in calls))]

    def _signs(self) -> Iterable[Sign]:
        return (
            Sign("<|python_tag|>", objects),
            Sign("<function=", function_tag),
            Sign("```json\n", fenced, "line"),
            Sign("```\n", fenced, "line"),
            Sign("{", bare("{"), "first"),
            Sign("[", bare("["), "first"),
        )

    def _calls(self, rules: Rules, opened: str, tools: Sequence[ToolSchema], *, many: bool) -> str:
        call = self._functions(rules, tools, after_name='", "parameters": ')
        return f"{opened} {call} {literal('}')}"

    def _free(self, rules: Rules, tools: Sequence[ToolSchema], *, many: bool) -> str:
        opened = rules.add("opened[lazy]", rf"/[ \t\n]*{OPENED}/")
        in_block = rules.add("in_block[lazy]", rf"/[ \t\n]*```[a-z_]*\n[ \t\n]*{OPENED}/")
        alone, enclosed = (self._calls(rules, one, tools, many=many) for one in (opened, in_block))
        return choice([alone, f'{enclosed} "\\n```"?', rules.text()])
