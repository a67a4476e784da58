"""Hermes, Qwen 2.5, Qwen 3: `<tool_call>`, a JSON object with name and arguments, `</tool_call>`.

Qwen2.5-Coder often writes the object in a fenced block, within `<tools>`, or without anything
around it: that is a call, too, if a tool of that name exists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from agentkit.engine.dialects.dialect import Dialect, call_object
from agentkit.engine.dialects.formats import bare, fenced, function_tag, tagged
from agentkit.engine.dialects.lark import Rules, choice, literal
from agentkit.engine.dialects.reader import Sign
from agentkit.engine.dialects.schemas import arguments_rule
from agentkit.engine.marks import Piece
from agentkit.messages import ToolCall, ToolSchema

OPEN, CLOSE = "<tool_call>", "</tool_call>"

BEGUN = (
    r'/([ \t\n]*|(.|\n)*```(json)?\n[ \t\n]*)\{[ \t\n]*"name":[ \t\n]*"NAME",[ \t\n]*'
    r'"(arguments|parameters)":/'
)
"""What comes before the arguments of a call without markers: at the beginning, or in a block.

All of it has to be there, with the name of a tool: any other JSON is text.
"""

PLAIN = re.compile("[A-Za-z0-9_-]+")
"""Names that mean themselves in a regular expression."""


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
        if not many:
            return f"{opened} {body}"
        # A line's end alone must be allowed: a small model that wants to say more, and is allowed
        # only another call after it, goes on calling for ever.
        return rf'{opened} {body} ("\n" {rules.marker(OPEN)} {body})* "\n"?'

    def _free(self, rules: Rules, tools: Sequence[ToolSchema], *, many: bool) -> str:
        free = super()._free(rules, tools, many=many)
        bare = self._bare(rules, tools)
        if not bare:
            return free
        return f"{bare}* {free}" if many else choice([f"{bare} {rules.text()}", free])

    def _bare(self, rules: Rules, tools: Sequence[ToolSchema]) -> str:
        """A call without markers, which is held to its schema once the tool is named."""
        calls = []
        for number, tool in enumerate(tools):
            if PLAIN.fullmatch(tool.name):
                begun = rules.add(f"begun_{number}[lazy]", BEGUN.replace("NAME", tool.name))
                arguments = rules.add(f"arguments_{number}", arguments_rule(tool)[0])
                calls.append(f"{begun} {literal(' ')} {arguments} {literal('}')}")
        return rules.add("bare", choice(calls)) if calls else ""
