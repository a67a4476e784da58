"""Mistral: `[TOOL_CALLS]` and an array of calls; newer ones `[TOOL_CALLS]name[ARGS]{...}` each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agentkit.engine.dialects.dialect import Dialect, call_object
from agentkit.engine.dialects.formats import listed_or_named
from agentkit.engine.dialects.lark import Rules, literal
from agentkit.engine.dialects.reader import Sign
from agentkit.engine.marks import Piece
from agentkit.engine.vocabulary import Vocabulary
from agentkit.messages import ToolCall, ToolSchema

CALLS, CALL_ID, ARGS = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"
NAMED = literal('{"name": "')


class Mistral(Dialect):
    """The third version and later; the chat template tells which form is meant."""

    opener = CALLS
    gap = ""

    def __init__(self, source: str, vocabulary: Vocabulary) -> None:
        super().__init__(source, vocabulary)
        self._named = ARGS in source
        self._numbered = CALL_ID in source
        self._space = " " if f"{CALLS} [" in source else ""

    def write(self, calls: Sequence[ToolCall]) -> list[Piece]:
        """In the form of this model's template."""
        if self._named:
            return [
                piece
                for call in calls
                for piece in (
                    Piece(CALLS, trusted=True),
                    Piece(call.name),
                    Piece(ARGS, trusted=True),
                    Piece(call.arguments),
                )
            ]
        objects = (call_object(call, "arguments") for call in calls)
        return [Piece(CALLS, trusted=True), Piece(f"{self._space}[{', '.join(objects)}]")]

    def _signs(self) -> Iterable[Sign]:
        return (Sign(CALLS, listed_or_named),)

    def _calls(self, rules: Rules, opened: str, tools: Sequence[ToolSchema], *, many: bool) -> str:
        if self._named:
            number = rules.add("ID", "/[a-zA-Z0-9]{9}/")
            identified = f"{rules.marker(CALL_ID)} {number} " if self._numbered else ""
            call = self._functions(rules, tools, before_arguments=identified + rules.marker(ARGS))
            more = f"({rules.marker(CALLS)} {call})*" if many else ""
            return f"{opened} {call} {more}"
        call = self._functions(rules, tools, after_name='", "arguments": ')
        item = rules.add("item", f"{NAMED} {call} {literal('}')}")
        more = f"({literal(', ')} {item})*" if many else ""
        return f"{opened} {literal(self._space + '[')} {item} {more} {literal(']')}"
