"""Hermes, Qwen 2.5, Qwen 3: `<tool_call>`, a JSON object with name and arguments, `</tool_call>`.

Qwen2.5-Coder often writes the object in a fenced block, within `<tools>`, or without anything
around it: that is a call, too, if a tool of that name exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agentkit.engine.dialects.dialect import Dialect, call_object
from agentkit.engine.dialects.formats import bare, fenced, function_tag, tagged
from agentkit.engine.dialects.lark import Rules
from agentkit.engine.dialects.reader import Sign
from agentkit.engine.marks import Piece
from agentkit.messages import ToolCall, ToolSchema

OPEN, CLOSE = "<tool_call>", "</tool_call>"


class Hermes(Dialect):
    """The most common dialect of open models."""

    opener = OPEN

    def write(self, calls: Sequence[ToolCall]) -> list[Piece]:
        """One block for each call."""
        pieces: list[Piece] = []
        for call in calls:
            pieces += [
                Piece(f"\n{OPEN}\n" if pieces else f"{OPEN}\n", trusted=True),
                Piece(call_object(call, "arguments")),
                Piece(f"\n{CLOSE}", trusted=True),
            ]
        return pieces

    def _signs(self) -> Iterable[Sign]:
        return (
            Sign(OPEN, tagged(CLOSE)),
            Sign("<tools>", tagged("</tools>")),
            Sign("<function_call>", tagged("</function_call>")),
            Sign("<function=", function_tag),
            Sign("```json\n", fenced, "line"),
            Sign("```\n", fenced, "line"),
            Sign("{", bare("{"), "first"),
            Sign("[", bare("["), "first"),
        )

    def _calls(self, rules: Rules, opened: str, tools: Sequence[ToolSchema], *, many: bool) -> str:
        call = self._functions(rules, tools, after_name='", "arguments": ')
        body = rules.add("body", rf'"\n{{\"name\": \"" {call} "}}\n" {rules.marker(CLOSE)}')
        more = rf' ("\n" {rules.marker(OPEN)} {body})*' if many else ""
        return f"{opened} {body}{more}"
