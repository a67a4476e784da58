"""A conversation in the form that a chat template accepts.

Templates differ in what they know: some refuse a system message, some two turns of one role, many
have no words for tools, calls or results.  What a template cannot say is said in its place, in
plain turns of user and assistant.  Nothing is ever dropped, and a turn is written the same way in
every later prompt, so that a longer conversation begins with the tokens of the shorter one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from agentkit.engine.dialects import Dialect
from agentkit.engine.marks import Piece
from agentkit.engine.written import Written
from agentkit.errors import UserError
from agentkit.messages import Message, ToolCall, ToolSchema

ROLES = frozenset(["system", "user", "assistant", "tool"])


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a template can say in its own words.

    `repeats` are two turns of one role in a row, `begins` a conversation that the assistant begins,
    `parallel` more than one call in a turn, `beside` text in the same turn as calls.
    """

    system: bool = False
    repeats: bool = False
    begins: bool = False
    tools: bool = False
    calls: bool = False
    parallel: bool = False
    beside: bool = False
    results: bool = False


@dataclass(slots=True)
class Turn:
    """A turn on its way into a template; the arguments of its calls are JSON objects."""

    role: str
    pieces: list[Piece]
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    call_id: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Composer:
    """Writes conversations for one model: in its dialect, with the answers that it wrote."""

    dialect: Dialect
    written: Written

    def turns(
        self, messages: Sequence[Message], tools: Sequence[ToolSchema], able: Abilities
    ) -> list[Turn]:
        """The turns of a conversation, for a template with these abilities."""
        turns = self._spoken(messages, able)
        if tools and not able.tools:
            _brief(turns, self.dialect.describe(tools))
        if not able.system:
            _fold_system(turns)
        return turns if able.repeats else _alternating(turns, begins=able.begins)

    def _spoken(self, messages: Sequence[Message], able: Abilities) -> list[Turn]:
        turns: list[Turn] = []
        names: dict[str, str] = {}
        before = ""
        for number, message in enumerate(messages, 1):
            if message.role not in ROLES:
                raise UserError(f"message {number} has an unknown role: {message.role!r}")
            names |= {call.id: call.name for call in message.tool_calls}
            if message.role == "assistant":
                turns.append(self._answer(message, able))
            elif message.role == "tool" and not able.results:
                turns += _result(message.content, turns[-1] if before == "tool" else None)
            else:
                call, content = message.tool_call_id, message.content
                pieces = [Piece(content, static=message.role == "system")]
                turns.append(Turn(message.role, pieces, call_id=call, name=names.get(call, "")))
            before = message.role
        return turns

    def _answer(self, message: Message, able: Abilities) -> Turn:
        tokens = self.written.recall(message)
        if tokens is not None:
            return Turn("assistant", [Piece("", tokens=tuple(tokens))])
        content = [Piece(message.content)]
        calls = tuple(
            replace(call, arguments=_json_object(call.arguments)) for call in message.tool_calls
        )
        alone = (able.parallel or len(calls) == 1) and (able.beside or not message.content)
        if calls and not (able.calls and alone):
            content.append(Piece(self.dialect.gap if message.content else "", trusted=True))
            return Turn("assistant", content + self.dialect.write(calls), message.reasoning)
        return Turn("assistant", content, message.reasoning, calls)


def _result(content: str, earlier: Turn | None) -> list[Turn]:
    """The result of a call in a user's turn, or in the turn of the result before it."""
    pieces = [
        Piece("<tool_response>\n", trusted=True),
        Piece(content),
        Piece("\n</tool_response>", trusted=True),
    ]
    if earlier is None:
        return [Turn("user", pieces)]
    earlier.pieces += [Piece("\n", trusted=True), *pieces]
    return []


def _brief(turns: list[Turn], description: str) -> None:
    """Describe the tools in the system message."""
    if not turns or turns[0].role != "system":
        turns.insert(0, Turn("system", []))
    turns[0].pieces = _joined(turns[0].pieces, [Piece(description, static=True)])


def _fold_system(turns: list[Turn]) -> None:
    """Let the user say what the system says: at the beginning together with the first question."""
    said: list[Piece] = []
    while turns and turns[0].role == "system":
        said = _joined(said, turns.pop(0).pieces)
    if said and turns and turns[0].role == "user":
        turns[0].pieces = _joined(said, turns[0].pieces)
    elif said:
        turns.insert(0, Turn("user", said))
    for turn in turns:
        if turn.role == "system":
            turn.role = "user"


def _alternating(turns: Sequence[Turn], *, begins: bool) -> list[Turn]:
    """User and assistant by turns; the system speaks only at the beginning."""
    merged: list[Turn] = []
    for turn in turns:
        last = merged[-1] if merged else None
        if turn.role == "system" and last and last.role != "system":
            turn.role = "user"
        if last and last.role == turn.role != "tool" and not (last.calls or turn.calls):
            last.pieces = _joined(last.pieces, turn.pieces)
            continue
        if turn.role == "assistant" and not begins and (not last or last.role == "system"):
            merged.append(Turn("user", [Piece("")]))
        merged.append(turn)
    return merged


def _joined(one: list[Piece], other: list[Piece]) -> list[Piece]:
    """Two texts in one turn."""
    said = [[piece for piece in pieces if piece.text or piece.tokens] for pieces in (one, other)]
    if all(said):
        return [*said[0], Piece("\n\n", trusted=True), *said[1]]
    return said[0] or said[1] or [Piece("")]


def _json_object(arguments: str) -> str:
    """Arguments as the text of a JSON object, whatever they are."""
    try:
        value = json.loads(arguments or "{}")
        value = {} if value is None else value
        if not isinstance(value, dict):
            value = {"arguments": value}
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        return json.dumps({"arguments": arguments}, ensure_ascii=False)
