"""What a model writes, taken apart while it writes: text, reasoning, tool calls.

Only what might be the beginning of a marker is held back, and white space of which it is not known
yet whether it belongs to the text or to the format around it.  A stretch that looked like a call
and is none goes on as the text that it is; a call that was cut off is dropped, and a note keeps its
text.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from agentkit.engine.dialects.scan import END, SPACE, Broken, Read, Token, Units
from agentkit.messages import CallDelta, Delta, ToolCall


@dataclass(frozen=True, slots=True)
class Sign:
    """What introduces calls, and the parser of what comes after it.

    `where` it counts: anywhere, at the beginning of a line, or before any other text.  The parser
    raises `Broken` where there is no call after all.
    """

    text: str
    parse: Callable[[AnswerReader], Read[None]]
    where: Literal["anywhere", "line", "first"] = "anywhere"


class UnknownTool(Broken):
    """A call of a tool that the model was not told of."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class AnswerReader:
    """One answer.  `push` what the model writes, then `finish`; deltas come as soon as they can.

    `text`, `reasoning`, `calls` and `notes` are the whole of it, and after `finish` the truth: a
    call that was cut off is not among the calls, though its first fragments were deltas.
    """

    def __init__(
        self,
        signs: Iterable[Sign] = (),
        *,
        tools: frozenset[str] = frozenset(),
        think: tuple[str, str] = ("<think>", "</think>"),
        thinking: bool = False,
        hidden: Callable[[str], bool] = lambda marker: False,
    ) -> None:
        self.notes: list[str] = []
        self.units = Units()
        self._signs = {sign.text: sign for sign in signs}
        self._tools = tools
        self._think_open, self._think_close = think
        self._thinking = thinking
        self._hidden = hidden
        self._text, self._reasoning = _Flow(), _Flow()
        self._calls: list[_Call] = []
        self._deltas: list[Delta] = []
        self._parser = self._read()
        next(self._parser)

    def push(self, text: str, *, special: bool) -> list[Delta]:
        """The next piece; `special` if it is one marker, otherwise any part of the text."""
        self.units.drive(self._parser, [Token(text)] if special else text)
        return self._take()

    def finish(self) -> list[Delta]:
        """The answer is over: what was still held back."""
        self.units.drive(self._parser, [END])
        return self._take()

    @property
    def text(self) -> str:
        """What the model says."""
        return "".join(self._text.parts)

    @property
    def reasoning(self) -> str:
        """What it thought before."""
        return "".join(self._reasoning.parts)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The calls that are complete."""
        return tuple(
            ToolCall(call.id, call.name, "".join(call.arguments))
            for call in self._calls
            if call.complete
        )

    # -- what the parsers of calls report --------------------------------------------------------

    def begin_call(self, name: str, call_id: str = "") -> None:
        """A call of this tool begins.  Raises `UnknownTool`."""
        if name not in self._tools:
            raise UnknownTool(name)
        call = _Call(call_id or f"call_{secrets.token_hex(8)}", name)
        self._calls.append(call)
        self._text.trim()
        self._deltas.append(Delta(call=CallDelta(len(self._calls) - 1, call.id, name)))

    def write_arguments(self, fragment: str) -> None:
        """More of the arguments of the latest call."""
        self._calls[-1].arguments.append(fragment)
        self._deltas.append(Delta(call=CallDelta(len(self._calls) - 1, arguments=fragment)))

    def end_call(self) -> None:
        """The arguments of the latest call are all there."""
        call = self._calls[-1]
        call.complete = True
        self.units.begin()
        try:
            json.loads("".join(call.arguments))
        except (ValueError, RecursionError):
            self.notes.append(f"the arguments of a call of {call.name!r} are not valid JSON")

    # -- the answer as a whole -------------------------------------------------------------------

    def _read(self) -> Read[None]:
        if self._thinking or (yield from self._opens_reasoning()):
            self._reasoning.trim()
            yield from self._until(self._closing_sign, self._reason)
            self._text.trim()
        while True:
            sign = yield from self._until(self._calling_signs, self._say)
            if sign is END:
                break
            yield from self._attempt(self._signs[sign], spelled=not isinstance(sign, Token))
        self._show(text=self._text.rest())
        while True:  # nothing comes after the end
            yield

    def _opens_reasoning(self) -> Read[bool]:
        """Whether the answer begins with the marker of reasoning, white space aside."""
        first = yield from self.units.after_space()
        self.units.back(first)
        if (yield from self.units.word(self._think_open)):
            return True
        self.units.back(*self.units.taken)
        return False

    def _attempt(self, sign: Sign, *, spelled: bool) -> Read[None]:
        """Read the calls after their sign; what turns out to be none is text."""
        try:
            yield from sign.parse(self)
        except Broken as error:
            taken = "".join(self.units.taken)
            begun = bool(self._calls) and not self._calls[-1].complete
            bare = spelled and taken.strip() == sign.text
            if begun or (self.units.at_end and sign.where == "anywhere" and not bare):
                fault = "cut off" if self.units.at_end else "malformed"
                self.notes.append(f"a tool call is {fault} and left out: {taken!r}")
                return
            if isinstance(error, UnknownTool) and sign.where == "anywhere":
                self.notes.append(f"no tool is named {error.name!r}: its call is kept as text")
            shown = [unit for unit in self.units.taken if not self._hides(unit)]
            self._say("".join(shown))

    def _until(self, signs: Callable[[], Iterable[str]], out: Callable[[str], None]) -> Read[str]:
        """Pass text on up to one of the signs that count where they stand, or to the end."""
        held = ""
        while True:
            unit = yield
            if isinstance(unit, Token):
                out(held)
                held = ""
                if unit is END or unit in signs():
                    self.units.begin(unit)
                    return unit
                if not self._hides(unit):
                    out(unit)
                continue
            held += unit
            while held and not any(sign.startswith(held) for sign in signs()):
                out(held[0])
                held = held[1:]
            if held and held in signs():
                self.units.begin(*held)
                return held
            self.units.begin(*held)

    def _hides(self, unit: str) -> bool:
        return isinstance(unit, Token) and self._hidden(unit)

    def _closing_sign(self) -> Iterable[str]:
        return (self._think_close,)

    def _calling_signs(self) -> list[str]:
        first, line = self._text.blank, self._text.at_line
        return [
            sign.text
            for sign in self._signs.values()
            if sign.where == "anywhere" or (line if sign.where == "line" else first)
        ]

    # -- deltas ----------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        self._show(text=self._text.write(text))

    def _reason(self, text: str) -> None:
        self._show(reasoning=self._reasoning.write(text))

    def _show(self, *, text: str = "", reasoning: str = "") -> None:
        if text or reasoning:
            self._deltas.append(Delta(text=text, reasoning=reasoning))

    def _take(self) -> list[Delta]:
        """What came together, in as few deltas as it fits into."""
        merged: list[Delta] = []
        for delta in self._deltas:
            joined = _join(merged[-1], delta) if merged else None
            if joined:
                merged[-1] = joined
            else:
                merged.append(delta)
        self._deltas.clear()
        return merged


def _join(one: Delta, other: Delta) -> Delta | None:
    """Two deltas as one, if they belong to the same thing."""
    if one.call and other.call and one.call.index == other.call.index:
        call = one.call
        fragments = call.arguments + other.call.arguments
        return Delta(call=CallDelta(call.index, call.id, call.name, fragments))
    if one.call or other.call or bool(one.text) != bool(other.text):
        return None
    return Delta(text=one.text + other.text, reasoning=one.reasoning + other.reasoning)


@dataclass(slots=True)
class _Call:
    id: str
    name: str
    arguments: list[str] = field(default_factory=list)
    complete: bool = False


class _Flow:
    """A text without the white space that belongs to the format around it."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._space = ""
        self._trims = False

    def write(self, text: str) -> str:
        """More text; returns what of it may be shown already."""
        shown = text.rstrip(SPACE)
        if not shown:
            self._space += text
            return ""
        fresh = self._space + shown
        if self._trims and not self.parts:
            fresh = fresh.lstrip(SPACE)
        self._space = text[len(shown) :]
        self.parts.append(fresh)
        return fresh

    def trim(self) -> None:
        """Here the format begins or ends: the white space before this, and what comes before any
        text after this, is its own."""
        self._space, self._trims = "", True

    def rest(self) -> str:
        """At the end: white space that belongs to the text after all."""
        rest, self._space = self._space, ""
        if not rest or self._trims:
            return ""
        self.parts.append(rest)
        return rest

    @property
    def blank(self) -> bool:
        """Whether nothing was said yet."""
        return not self.parts

    @property
    def at_line(self) -> bool:
        """Whether a line begins here."""
        return self._space.endswith("\n") or (not self.parts and not self._space)
