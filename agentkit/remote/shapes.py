"""Text on its way back to what was asked for: what a server writes is not always what is wanted.

    Plain    the text as it comes
    Spaced   JSON with the spaces that `json.dumps` writes, whatever the server likes
    Quoted   a text that had to be asked for as a JSON string
    Called   a tool call that had to be asked for as a JSON object

The last two are held back until they are complete.
"""

from __future__ import annotations

import json
import secrets
from typing import Protocol

from agentkit.messages import ToolCall


class Shape(Protocol):
    """One answer's text: `push` its pieces, then `end`."""

    def push(self, text: str) -> str:
        """What of it may be shown now."""

    def end(self) -> tuple[str, tuple[ToolCall, ...]]:
        """What is left to be shown, and the calls that it was."""


class Plain:
    """The text as it comes."""

    def push(self, text: str) -> str:
        """All of it."""
        return text

    def end(self) -> tuple[str, tuple[ToolCall, ...]]:
        """Nothing."""
        return "", ()


class Spaced(Plain):
    """JSON in any spacing as JSON in the spacing of `json.dumps`, character by character.

    >>> spaced = Spaced()
    >>> spaced.push('{ "a":[1,') + spaced.push('2 ] , "b: c":\\n"" }')
    '{"a": [1, 2], "b: c": ""}'
    """

    def __init__(self) -> None:
        self._in_string = False
        self._escaped = False

    def push(self, text: str) -> str:
        """The same values."""
        return "".join(map(self._character, text))

    def _character(self, character: str) -> str:
        if self._in_string:
            self._in_string = self._escaped or character != '"'
            self._escaped = character == "\\" and not self._escaped
            return character
        self._in_string = character == '"'
        if character in ",:":
            return character + " "
        return "" if character in " \t\r\n" else character


class Quoted:
    """A JSON string as the text that it stands for."""

    def __init__(self) -> None:
        self._held: list[str] = []

    def push(self, text: str) -> str:
        """Nothing yet."""
        self._held.append(text)
        return ""

    def end(self) -> tuple[str, tuple[ToolCall, ...]]:
        """The text; what was cut off in the middle, as it was written."""
        held = "".join(self._held)
        value = _loads(held)
        return value if isinstance(value, str) else held.removeprefix('"'), ()


class Called(Quoted):
    """`{"name": ..., "arguments": {...}}` as a call of that tool."""

    def end(self) -> tuple[str, tuple[ToolCall, ...]]:
        """The call; none, if it was cut off in the middle."""
        value = _loads("".join(self._held))
        if not isinstance(value, dict) or not isinstance(value.get("name"), str):
            return "", ()
        arguments = json.dumps(value.get("arguments", {}), ensure_ascii=False)
        return "", (ToolCall(new_call_id(), value["name"], arguments),)


def new_call_id() -> str:
    """For a call that the server gave none."""
    return f"call_{secrets.token_hex(6)}"


def _loads(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
