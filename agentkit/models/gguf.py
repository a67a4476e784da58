"""The header of a GGUF file (version 2 or 3): what the model is, without loading it.

Read by a parser of our own and not by the `gguf` package: that builds an array for each of the
152,000 tokens of a vocabulary (6.2 s; this takes 0.04 s), and what comes from the network may be
truncated or hostile.  Every count is checked against the bytes that are there before anything is
allocated, and whatever the bytes say, the only exception is `ModelDamaged`.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentkit.errors import ModelDamaged

MAGIC = b"GGUF"
FIRST_READ = 16 << 20
"""Enough for the header of nearly every model, in bytes."""
LARGEST_HEADER = 512 << 20
MAX_KEPT_STRING = 1 << 20
MAX_KEPT_NUMBERS = 4096
MAX_NESTING = 3
MAX_LAYERS = 4096

SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
STRING, ARRAY = 8, 9

TENSOR_BLOCKS: dict[int, tuple[int, int]] = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 40), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17), 40: (64, 36),
    41: (128, 18),
}  # fmt: skip
"""For each ggml type: elements in a block, bytes of a block."""

FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M",
    30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4", 39: "NVFP4",
    40: "Q1_0",
}  # fmt: skip
"""What `general.file_type` means."""

REPACKED = {2, 10, 12, 20}
"""Q4_0, Q2_K, Q4_K, IQ4_NL: llama.cpp keeps a second copy of such tensors on a CPU."""

HINT = "get the file again; a model in the store is repaired by `agentkit models pull NAME`"


@dataclass(frozen=True, slots=True)
class Gguf:
    """What a header says.  Sizes in bytes, lengths in tokens; None or 0 where it says nothing.

    `heads` and `kv_heads` have one number for each layer.
    """

    architecture: str
    name: str
    parameters: int
    quantization: str
    context_length: int
    embedding_length: int
    layers: int
    heads: tuple[int, ...]
    kv_heads: tuple[int, ...]
    key_length: int
    value_length: int
    sliding_window: int
    vocabulary: int
    tokenizer: str
    chat_template: str | None
    licence: str
    file_size: int
    needed_size: int
    """Where the data of the last tensor ends."""
    parts: int
    """Files that the model was split into; 1 for a whole one."""
    repacked_size: int
    """Of the tensors that a CPU backend keeps a second time, ordered for its vector units."""
    layer_sizes: tuple[int, ...] = ()
    """Bytes of the tensors of each layer; empty where none is named after its layer."""
    input_size: int = 0
    """Of the table of embeddings, which stays in main memory."""
    output_size: int = 0
    """Of what comes after the last layer; a model without such a matrix uses `input_size` again."""
    pooling: bool = False
    """Whether it says how to make one vector of a text: an embedding model."""

    @property
    def read_size(self) -> int:
        """Bytes of weights that one token costs: all but a table of which it needs one row."""
        return self.file_size - (self.input_size if self.output_size else 0)

    def check_complete(self, name: str) -> None:
        """Raise `ModelDamaged` if tensor data is missing at the end of the file."""
        if self.needed_size > self.file_size:
            raise ModelDamaged(
                name, f"truncated: {self.file_size} of {self.needed_size} bytes", hint=HINT
            )


class NotGguf(ModelDamaged):
    """A file of another kind."""


def read_gguf(path: Path) -> Gguf:
    """Read the header of a file.  Raises `NotGguf`, or `ModelDamaged` for a broken one."""
    limit = FIRST_READ
    try:
        file_size = path.stat().st_size
        while True:
            with path.open("rb") as file:
                data = file.read(limit)
            try:
                return parse_gguf(data, file_size)
            except _OutOfData:
                if len(data) < limit or limit >= LARGEST_HEADER:
                    fault = f"the header breaks off after {len(data)} bytes"
                    raise ModelDamaged(path.name, fault, hint=HINT) from None
                limit *= 4
            except _Foreign as foreign:
                raise NotGguf(path.name, str(foreign), hint=HINT) from None
            except _Broken as broken:
                raise ModelDamaged(path.name, str(broken), hint=HINT) from None
    except OSError as error:
        raise ModelDamaged(path.name, f"cannot be read: {error.strerror}", hint=HINT) from None


def parse_gguf(data: bytes, file_size: int) -> Gguf:
    """The same from bytes: `data` is the start of a file of `file_size` bytes."""
    cursor = _Cursor(data)
    _check_start(cursor)
    tensors, pairs = cursor.number("Q"), cursor.number("Q")
    cursor.expect(pairs, 13, f"{pairs} metadata entries")
    facts: dict[str, Any] = {}
    for _ in range(pairs):
        key = cursor.text()
        facts[key] = cursor.value(cursor.number("I"))
    return _summary(facts, _tensors(cursor, tensors, facts), file_size)


class _OutOfData(Exception):
    """The bytes end before the header does."""


class _Broken(Exception):
    """The bytes cannot be a GGUF header, however they go on."""


class _Foreign(_Broken):
    """The bytes are something else altogether."""


class _Cursor:
    """Takes values off the front of some bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise _OutOfData
        self.at += count
        return self.data[self.at - count : self.at]

    def expect(self, count: int, each: int, what: str) -> None:
        """See that `count` things of at least `each` bytes can be a header at all."""
        if count * each > LARGEST_HEADER:
            raise _Broken(f"the header is broken: it claims {what}")
        if count * each > len(self.data) - self.at:
            raise _OutOfData

    def number(self, code: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def text(self) -> str:
        length = self.number("Q")
        self.expect(length, 1, f"a text of {length} bytes")
        kept = self.take(length)[:MAX_KEPT_STRING]
        return kept.decode("utf-8", errors="replace")

    def value(self, kind: int, depth: int = 0) -> Any:
        """A number, a text, or for an array: its numbers if they are few, else only its length."""
        if kind == STRING:
            return self.text()
        if kind == ARRAY:
            return self._array(depth)
        return self.number(_scalar(kind))

    def _array(self, depth: int) -> Any:
        kind, count = self.number("I"), self.number("Q")
        if kind == STRING:
            self.expect(count, 8, f"a list of {count} texts")
            self._skip_texts(count)
            return _Skipped(count)
        if kind == ARRAY:
            if depth >= MAX_NESTING:
                raise _Broken("the header is broken: lists in lists in lists")
            self.expect(count, 12, f"a list of {count} lists")
            for _ in range(count):
                self._array(depth + 1)
            return _Skipped(count)
        code = _scalar(kind)
        width = struct.calcsize("<" + code)
        self.expect(count, width, f"a list of {count} numbers")
        raw = self.take(count * width)
        return (
            struct.unpack(f"<{count}{code}", raw) if count <= MAX_KEPT_NUMBERS else _Skipped(count)
        )

    def _skip_texts(self, count: int) -> None:
        """Step over texts: a vocabulary has some 100,000, so this loop is kept tight."""
        at, data, end = self.at, self.data, len(self.data)
        length_at = struct.Struct("<Q").unpack_from
        for _ in range(count):
            if at + 8 > end:
                raise _OutOfData
            at += 8 + length_at(data, at)[0]
        if at > end:
            raise _OutOfData
        self.at = at


@dataclass(frozen=True, slots=True)
class _Skipped:
    """A list that was not kept."""

    count: int


def _scalar(kind: int) -> str:
    code = SCALARS.get(kind)
    if code is None:
        raise _Broken(f"the header is broken: there is no value type {kind}")
    return code


def _check_start(cursor: _Cursor) -> None:
    if not MAGIC.startswith(cursor.data[:4]) or not cursor.data:
        raise _Foreign("is not a GGUF file")
    cursor.take(4)
    version: int = cursor.number("I")
    if version in (2, 3):
        return
    if int.from_bytes(version.to_bytes(4, "little"), "big") in (1, 2, 3):
        raise _Broken("is a GGUF file for big-endian machines")
    raise _Broken(f"has GGUF version {version}; versions 2 and 3 can be read")


@dataclass(frozen=True, slots=True)
class _Tensors:
    parameters: int
    end: int
    repacked: int
    layers: dict[int, int]
    input: int
    output: int


_LAYER = re.compile(r"blk\.(\d{1,5})\.")


def _tensors(cursor: _Cursor, count: int, facts: dict[str, Any]) -> _Tensors:
    """Add up the tensors, and find where the data of the last one ends in the file."""
    cursor.expect(count, 24, f"{count} tensors")
    parameters = end = repacked = 0
    layers: dict[int, int] = {}
    outside = {"token_embd": 0, "output": 0}
    for _ in range(count):
        name = cursor.text()
        dimensions = cursor.number("I")
        if dimensions > 8:
            raise _Broken(f"the header is broken: a tensor with {dimensions} dimensions")
        elements = 1
        for _ in range(dimensions):
            elements *= cursor.number("Q")
        kind, offset = cursor.number("I"), cursor.number("Q")
        block, width = TENSOR_BLOCKS.get(kind, (1, 0))  # a type of tomorrow: its size is not known
        size = -(-elements // block) * width
        parameters += elements
        end = max(end, offset + size)
        if kind in REPACKED and dimensions > 1 and not name.startswith("token_embd"):
            repacked += size
        if layer := _LAYER.match(name):
            number = int(layer[1])
            layers[number] = layers.get(number, 0) + size
        elif (part := name.partition(".")[0]) in outside:
            outside[part] += size
    alignment = _whole(facts.get("general.alignment")) or 32
    start = -(-cursor.at // alignment) * alignment
    return _Tensors(
        parameters,
        end=start + end if count else cursor.at,
        repacked=repacked,
        layers=layers,
        input=outside["token_embd"],
        output=outside["output"],
    )


def _whole(value: Any) -> int:
    """A whole number that is not negative; 0 for everything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _words(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _each_layer(value: Any, layers: int) -> tuple[int, ...]:
    """A number for all layers, or one for each."""
    if isinstance(value, tuple):
        return tuple(_whole(number) for number in value[:layers])
    return (_whole(value),) * layers


def _summary(facts: dict[str, Any], tensors: _Tensors, file_size: int) -> Gguf:
    architecture = _words(facts.get("general.architecture"))
    if not architecture:
        raise _Broken("the header does not say which architecture the model has")

    def fact(key: str) -> Any:
        return facts.get(f"{architecture}.{key}")

    layers = _whole(fact("block_count"))
    if layers > MAX_LAYERS:
        raise _Broken(f"the header is broken: it claims {layers} layers")
    heads = _each_layer(fact("attention.head_count"), layers)
    kv_heads = _each_layer(fact("attention.head_count_kv"), layers)
    width = _whole(fact("embedding_length"))
    per_head = width // max((1, *heads))
    tokens = facts.get("tokenizer.ggml.tokens")
    counted = tokens.count if isinstance(tokens, _Skipped) else 0
    template = facts.get("tokenizer.chat_template")
    return Gguf(
        architecture=architecture,
        name=_words(facts.get("general.name")),
        parameters=tensors.parameters,
        quantization=FILE_TYPES.get(_file_type(facts), "unknown"),
        context_length=_whole(fact("context_length")),
        embedding_length=width,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads if any(kv_heads) else heads,
        key_length=_whole(fact("attention.key_length")) or per_head,
        value_length=_whole(fact("attention.value_length")) or per_head,
        sliding_window=_whole(fact("attention.sliding_window")),
        vocabulary=counted or _whole(fact("vocab_size")),
        tokenizer=_words(facts.get("tokenizer.ggml.model")),
        chat_template=template if isinstance(template, str) else None,
        licence=_words(facts.get("general.license")),
        file_size=file_size,
        needed_size=tensors.end,
        parts=max(1, _whole(facts.get("split.count"))),
        repacked_size=tensors.repacked,
        layer_sizes=tuple(tensors.layers.get(number, 0) for number in range(layers))
        if tensors.layers
        else (),
        input_size=tensors.input,
        output_size=tensors.output,
        pooling=fact("pooling_type") is not None,
    )


def _file_type(facts: dict[str, Any]) -> int:
    value = facts.get("general.file_type")
    return value if isinstance(value, int) else -1
