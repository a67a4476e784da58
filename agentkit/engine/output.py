"""The tokens of an answer to the deltas that a caller sees: text, reasoning, tool calls.

token -> bytes -> characters -> the dialect's reader -> stop strings -> deltas
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from agentkit.engine.text import Characters, StopFilter
from agentkit.engine.vocabulary import Vocabulary
from agentkit.messages import Delta, ToolCall


class AnswerReader(Protocol):
    """Tells text, reasoning and tool calls apart, in the way one family of models writes them."""

    notes: list[str]

    def push(self, text: str, *, special: bool) -> list[Delta]:
        """What is certain now; `special`: the text is one control token, not something written."""

    def finish(self) -> list[Delta]:
        """What was still held back, at the end of the answer."""


class Output:
    """Everything one answer said so far, and what of it was not given out yet."""

    def __init__(
        self, vocabulary: Vocabulary, stop: tuple[str, ...], reader: AnswerReader | None
    ) -> None:
        self._vocabulary = vocabulary
        self._characters = Characters()
        self._reader = reader
        self._filter = StopFilter(stop)
        self._fresh: list[Delta] = []
        self.text = ""
        self.reasoning = ""
        self._calls: dict[int, ToolCall] = {}

    @property
    def stopped(self) -> bool:
        """Whether a stop string ended the answer."""
        return self._filter.stopped

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        """The tool calls, in order."""
        return tuple(self._calls[index] for index in sorted(self._calls))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader found worth saying."""
        return tuple(self._reader.notes) if self._reader else ()

    def push(self, token: int) -> None:
        """Go on with a token."""
        if self._reader is None:
            self._say(self._characters.push(self._vocabulary.piece(token)))
        elif self._vocabulary.is_marker(token):
            self._hear(self._reader.push(self._vocabulary.text(token), special=True))
        else:
            text = self._characters.push(self._vocabulary.piece(token))
            self._hear(self._reader.push(text, special=False) if text else [])

    def finish(self) -> None:
        """The answer is over: let go of what was held back."""
        if self._reader is not None:
            self._hear(self._reader.finish())
        self._show(self._filter.finish())

    def take(self) -> list[Delta]:
        """The deltas since the last call; neighbouring pieces of one kind are joined."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def _hear(self, deltas: list[Delta]) -> None:
        for delta in deltas:
            if delta.text:
                self._say(delta.text)
            if delta.reasoning:
                self.reasoning += delta.reasoning
                self._append(Delta(reasoning=delta.reasoning))
            if delta.call is not None:
                known = self._calls.get(delta.call.index, ToolCall("", "", ""))
                self._calls[delta.call.index] = ToolCall(
                    known.id or delta.call.id,
                    known.name or delta.call.name,
                    known.arguments + delta.call.arguments,
                )
                self._append(delta)

    def _say(self, text: str) -> None:
        self._show(self._filter.push(text) if text else "")

    def _show(self, text: str) -> None:
        if text:
            self.text += text
            self._append(Delta(text=text))

    def _append(self, delta: Delta) -> None:
        last = self._fresh[-1] if self._fresh else None
        if last and last.text and delta.text:
            self._fresh[-1] = replace(last, text=last.text + delta.text)
        elif last and last.reasoning and delta.reasoning:
            self._fresh[-1] = replace(last, reasoning=last.reasoning + delta.reasoning)
        else:
            self._fresh.append(delta)
