"""Texts cut where they may be cut: into passages, and passages into what an embedder can read.

`semantic-text-splitter` (in Rust, without dependencies) does the cutting: it takes the largest
whole units that fit, from headings over paragraphs and sentences down to characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from agentkit.cancel import CancelToken
from agentkit.errors import PromptTooLong
from agentkit.ports import Embedder, Progress, Scalar, no_progress

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

    Array = NDArray[np.float32]

Kind = Literal["plain", "markdown"]

LENGTH = (300, 900)
"""Characters of a passage: enough to be understood alone, and what most embedders read as a whole
(256 word pieces are about a thousand characters of English)."""

SLAB = 50_000
"""Characters that are cut at a time: the splitter cannot be interrupted."""

BATCH = 64
"""Texts between two reports of progress."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document, and what is known of its place: a page, a second."""

    text: str
    metadata: dict[str, Scalar] = field(default_factory=dict)


def cut(
    text: str, kind: Kind = "plain", cancel: CancelToken | None = None
) -> Iterator[tuple[int, str]]:
    """Passages of a text, each with the character where it begins."""
    for start, slab in _slabs(text):
        if cancel:
            cancel.check()
        for offset, piece in _splitter(kind, LENGTH).chunk_indices(slab):
            yield start + offset, piece


def vectors(
    embedder: Embedder,
    texts: Sequence[str],
    cancel: CancelToken | None = None,
    progress: Progress = no_progress,
) -> list[Array]:
    """The vectors of each text: one, or several where it is longer than the embedder reads."""
    found: list[Array] = []
    for first in range(0, len(texts), BATCH):
        batch = texts[first : first + BATCH]
        try:
            found += list(embedder.embed(batch, cancel)[:, np.newaxis, :])
        except PromptTooLong:
            found += [_in_parts(embedder, text, cancel) for text in batch]
        progress(len(found), len(texts), "passages")
    return found


def _in_parts(embedder: Embedder, text: str, cancel: CancelToken | None) -> Array:
    try:
        return embedder.embed([text], cancel)
    except PromptTooLong as lack:
        if len(text) < 2:
            raise
        room = int(0.9 * len(text) * lack.context_tokens / lack.prompt_tokens)
    size = min(max(room, 1), len(text) - 1)
    parts = _splitter("plain", size).chunks(text)
    return np.concatenate([_in_parts(embedder, part, cancel) for part in parts])


def _slabs(text: str) -> Iterator[tuple[int, str]]:
    """Large pieces that end between paragraphs, or at least between lines."""
    start = 0
    while len(text) - start > SLAB:
        end = text.rfind("\n\n", start + SLAB // 2, start + SLAB)
        if end < 0:
            end = text.rfind("\n", start + SLAB // 2, start + SLAB)
        if end < 0:
            end = start + SLAB
        yield start, text[start:end]
        start = end
    yield start, text[start:]


@cache
def _splitter(kind: Kind, length: int | tuple[int, int]) -> TextSplitter | MarkdownSplitter:
    from semantic_text_splitter import MarkdownSplitter, TextSplitter

    return MarkdownSplitter(length) if kind == "markdown" else TextSplitter(length)
