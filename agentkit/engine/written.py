"""What the model itself wrote, token by token, so that history is never tokenised differently.

A third of all answers tokenise differently when they come back as text, and everything after the
first such place would have to be read again.  So the tokens of an answer are kept under what it
says; a later prompt that has the same turn in its history takes them from here.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Sequence

from agentkit.messages import Message

READ = 4096
"""Turns that prompts had as text, of which that is remembered."""

KEPT_TOKENS = 1_000_000
"""Tokens in all that are remembered: 8 MB of them, most of a day's conversations."""


class Written:
    """The latest answers, least recently used first to go.  Thread-safe."""

    def __init__(self, kept_tokens: int = KEPT_TOKENS) -> None:
        self._kept_tokens = kept_tokens
        self._answers: OrderedDict[bytes, tuple[int, ...]] = OrderedDict()
        self._read: OrderedDict[bytes, None] = OrderedDict()
        """What was asked for and not known: there are prompts that have it as text."""
        self._tokens = 0
        self._guard = threading.Lock()

    def remember(self, message: Message, tokens: Sequence[int]) -> None:
        """Keep the tokens of an assistant's turn, without the one that ended it.

        If the same was said before, by the model or in the history of a prompt, it stays as it was:
        there are prompts that have it so.
        """
        key = _key(message)
        with self._guard:
            if key in self._read:
                return
            if key in self._answers:
                self._answers.move_to_end(key)
                return
            if not 0 < len(tokens) <= self._kept_tokens:
                return
            self._answers[key] = tuple(tokens)
            self._tokens += len(tokens)
            while self._tokens > self._kept_tokens:
                _, forgotten = self._answers.popitem(last=False)
                self._tokens -= len(forgotten)

    def recall(self, message: Message) -> list[int] | None:
        """The tokens of a turn that says the same, or None."""
        key = _key(message)
        with self._guard:
            tokens = self._answers.get(key)
            if tokens is None:
                self._read[key] = None
                if len(self._read) > READ:
                    self._read.popitem(last=False)
                return None
            self._answers.move_to_end(key)
            return list(tokens)


def _key(message: Message) -> bytes:
    """What a turn says: its call ids do not count, nor how the JSON of its arguments is spaced."""
    calls = [[call.name, _canonical(call.arguments)] for call in message.tool_calls]
    said = json.dumps([message.content, message.reasoning, calls])
    return hashlib.blake2b(said.encode(), digest_size=16).digest()


def _canonical(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments))
    except (ValueError, RecursionError):
        return arguments
