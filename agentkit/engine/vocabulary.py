"""Text to tokens and back, with one rule: what a user wrote is never a control token.

The scaffolding of a chat template is tokenised with its special tokens, the content of messages
without.  llama.cpp parses *user-defined* tokens (Qwen's `<tool_call>`) even then, so content is cut
inside such a marker before it is tokenised; the pieces can no longer become the real token.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentkit.errors import ModelError, Unsupported, UserError

PIECE = 16
"""Characters of a token, rather too many than too few."""


class Vocabulary:
    """The vocabulary of a loaded model.  `handle` is llama.cpp's `llama_vocab*`."""

    def __init__(self, handle: Any) -> None:
        import llama_cpp

        self.handle = handle
        self._lib = llama_cpp
        self.size: int = llama_cpp.llama_vocab_n_tokens(handle)
        self.bos: int = llama_cpp.llama_vocab_bos(handle)
        self.eos: int = llama_cpp.llama_vocab_eos(handle)
        self.adds_bos: bool = llama_cpp.llama_vocab_get_add_bos(handle)
        self._pieces: dict[int, bytes] = {}

    def tokenize(self, text: str, *, special: bool, after: Sequence[int] = ()) -> list[int]:
        """Tokens of `text`; with `special`, markers such as `<|im_start|>` are control tokens.

        `after` are the tokens before it: some vocabularies put a space before each text, which
        must not come into the middle of one.
        """
        parts = self._markers.split(text) if self._markers and not special else [text]
        tokens: list[int] = []
        for part in filter(None, parts):
            before = (tokens or after)[-1:]
            if self._puts_space and before and not self.is_marker(before[0]):
                tokens += self._tokenize_on(part, special=special)
            else:
                tokens += self._tokenize(part, special=special)
        return tokens

    def begun(self, text: str) -> list[int]:
        """Tokens of a text that begins a prompt and was rendered already: its markers are ones."""
        tokens = self.tokenize(text, special=True)
        return [self.bos, *tokens] if self.adds_bos and self.bos >= 0 else tokens

    def infill(self, before: str | Sequence[int], after: str) -> list[int]:
        """A prompt that asks for what is missing between two texts, both without markers.

        Raises `Unsupported` for a model that has no markers for that.
        """
        lib = self._lib
        marks = [
            mark(self.handle)
            for mark in (lib.llama_vocab_fim_pre, lib.llama_vocab_fim_suf, lib.llama_vocab_fim_mid)
        ]
        if min(marks) < 0:
            hint = "leave it out, or ask a model that was made for code (Qwen2.5-Coder)"
            raise Unsupported("suffix", "this model has no markers for a gap", hint=hint)
        given = before if isinstance(before, str) else self.checked(before)
        tokens = self.tokenize(given, special=False) if isinstance(given, str) else given
        begun = [self.bos] if self.adds_bos and self.bos >= 0 else []
        prefix, suffix, middle = marks
        return [
            *begun, prefix, *tokens, suffix, *self.tokenize(after, special=False), middle
        ]  # fmt: skip

    def checked(self, tokens: Sequence[int]) -> list[int]:
        """The same tokens.  Raises `UserError` for one that is none here."""
        for token in tokens:
            if not 0 <= token < self.size:
                hint = f"its tokens are 0 to {self.size - 1}"
                raise UserError(f"{token} is no token of this model", hint=hint)
        return list(tokens)

    def written(self, tokens: Sequence[int]) -> str:
        """The text of tokens, markers as templates write them."""
        raw = b"".join(self._piece(token, special=True) for token in self.checked(tokens))
        return raw.decode("utf-8", "replace")

    def said(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without control tokens and the space that was put in front of it."""
        raw = b"".join(self.piece(token) for token in self.checked(tokens))
        return (raw.removeprefix(b" ") if self._puts_space else raw).decode("utf-8", "replace")

    def beginning(self, text: str, count: int) -> str:
        """The beginning of a text that has at most `count` tokens; all of it if it has no more.

        Of a long text no more is read than so many tokens may have.
        """
        size = (count + 1) * PIECE
        tokens = self.tokenize(text[:size], special=False)
        while len(tokens) <= count and size < len(text):  # blanks: many of them are one token
            size *= 4
            tokens = self.tokenize(text[:size], special=False)
        if len(tokens) <= count:
            return text
        written = b"".join(self.piece(token) for token in tokens[:count])
        if self._puts_space and not text.startswith(" "):
            written = written.removeprefix(b" ")
        end = len(written.decode("utf-8", "ignore"))
        while end and (found := len(self.tokenize(text[:end], special=False))) > count:
            end = min(end - 1, end * count // found)  # a word that is cut may have more tokens
        return text[:end]

    def piece(self, token: int) -> bytes:
        """The bytes of a token as they appear in text; a control token has none."""
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = self._piece(token, special=False)
        return known

    def text(self, token: int) -> str:
        """A special token as written in templates; the empty string for 'none' (-1)."""
        return self._piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""

    def marker(self, text: str) -> int | None:
        """The token that a marker such as `<tool_call>` is; None if it is ordinary text here."""
        tokens = self._tokenize(text, special=True)
        return tokens[0] if len(tokens) == 1 and self.is_marker(tokens[0]) else None

    def is_marker(self, token: int) -> bool:
        """Whether a token means something to the model and is no text.

        Control tokens are, and user-defined ones that look like them.
        """
        kind: int = self._lib.llama_vocab_get_attr(self.handle, token)
        if not kind & self._lib.LLAMA_TOKEN_ATTR_USER_DEFINED:
            return bool(kind & self._lib.LLAMA_TOKEN_ATTR_CONTROL)
        piece = self._piece(token, special=True)
        return piece.startswith(b"<") and piece.endswith(b">")

    @cached_property
    def ids(self) -> NDArray[np.intp]:
        """Every token, in order; one array for all who choose among them, so not to be written."""
        every = np.arange(self.size)
        every.flags.writeable = False
        return every

    @cached_property
    def end_of_generation(self) -> frozenset[int]:
        """Every token that ends an answer."""
        ends = self._lib.llama_vocab_is_eog
        return frozenset(token for token in range(self.size) if ends(self.handle, token))

    @cached_property
    def all_pieces(self) -> list[bytes]:
        """Bytes of every token; control-like ones carry the 0xff prefix that llguidance wants."""
        pieces = (self._piece(token, special=True) for token in range(self.size))
        return [
            b"\xff" + piece if self.is_marker(token) else piece
            for token, piece in enumerate(pieces)
        ]

    @cached_property
    def _markers(self) -> re.Pattern[str] | None:
        """Splits text behind the first character of every user-defined marker (nothing is lost)."""
        user, attribute = self._lib.LLAMA_TOKEN_ATTR_USER_DEFINED, self._lib.llama_vocab_get_attr
        texts = (
            self.text(token) for token in range(self.size) if attribute(self.handle, token) & user
        )
        rests: dict[str, list[str]] = {"<": [], "[": []}
        for text in texts:
            if len(text) > 2 and text[0] in rests:
                rests[text[0]].append(re.escape(text[1:]))
        cuts = [f"(?<={re.escape(one)})(?={'|'.join(rest)})" for one, rest in rests.items() if rest]
        return re.compile("|".join(cuts)) if cuts else None

    @cached_property
    def _puts_space(self) -> bool:
        return self._piece(self._tokenize("x", special=False)[0], special=True).startswith(b" ")

    def _tokenize_on(self, text: str, *, special: bool) -> list[int]:
        """Tokens of a text in the middle of another: after a line's end, which is taken off."""
        end = self._tokenize("\n", special=False)
        tokens = self._tokenize(f"\n{text}", special=special)
        return tokens[len(end) :] if tokens[: len(end)] == end else tokens

    def _tokenize(self, text: str, *, special: bool) -> list[int]:
        raw = text.encode("utf-8", "replace")  # half a surrogate pair is no text
        room = len(raw) + 8
        buffer = (self._lib.llama_token * room)()
        count = self._lib.llama_tokenize(self.handle, raw, len(raw), buffer, room, False, special)
        if count < 0:
            raise ModelError(f"the tokenizer wants {-count} tokens for {len(raw)} bytes of text")
        return list(buffer[:count])

    def _piece(self, token: int, *, special: bool) -> bytes:
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            length = self._lib.llama_token_to_piece(self.handle, token, buffer, room, 0, special)
            if length >= 0:
                return buffer.raw[:length]
            room = -length
