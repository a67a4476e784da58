"""One llama.cpp context: a KV cache that many sequences share, and the decode that fills it.

It does what it is told and keeps no books (see `prefixes`).  Whatever llama.cpp would abort the
process for is checked here first.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agentkit.engine.weights import Weights
from agentkit.errors import MachineError, NotEnoughMemory

BATCH = 256
"""Tokens in one decode: bounds both the compute buffer and how long a cancel has to wait."""

GPU_BATCH = 512

MAX_SEQUENCES = 256
"""`LLAMA_MAX_SEQ`."""

KvType = Literal["f16", "q8_0"]


class NoRoom(Exception):
    """The cache has no cells left for a batch; it is as it was before."""


class DecodeFailed(Exception):
    """llama.cpp refused or broke off a batch; what the cache holds has to be asked anew."""

    def __init__(self, code: int) -> None:
        super().__init__(f"llama_decode returned {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens of one sequence in a batch, from position `start` on.

    The logits after the last `outputs` of them are wanted.
    """

    sequence: int
    start: int
    tokens: Sequence[int]
    outputs: int = 1


class Context:
    """The KV cache and the compute buffers.  Owned by one thread.

    `keeps_positions` is false for recurrent and hybrid models: they carry one state along, so that
    a sequence can be copied as a whole or forgotten, but never cut back.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        context_tokens: int,
        sequences: int,
        threads: int,
        kv_type: KvType = "f16",
    ) -> None:
        import llama_cpp

        self._lib = llama_cpp
        on_gpu = bool(llama_cpp.llama_supports_gpu_offload())
        self.batch = GPU_BATCH if on_gpu else BATCH
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = context_tokens
        params.n_batch = params.n_ubatch = self.batch
        params.n_seq_max = self.sequences = min(sequences, MAX_SEQUENCES)
        params.kv_unified = True
        params.swa_full = True  # a window that sequences share cannot be recycled
        # It passes over the cells of other sequences. Without it, 4,096 of them made reading 128
        # tokens take 1.7 times as long on two CPU cores; with it, 1.1 times.
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO
        if kv_type == "q8_0":
            params.type_k = params.type_v = llama_cpp.GGML_TYPE_Q8_0  # V needs it
        self._kv_type = kv_type
        params.n_threads = params.n_threads_batch = threads
        self._handle: Any = llama_cpp.llama_init_from_model(weights.handle, params)
        if not self._handle:
            raise NotEnoughMemory(
                f"no memory for a context of {context_tokens} tokens of {weights.name!r}",
                hint="lower engine.context_tokens in settings, or choose a smaller model",
            )
        self.size = min(context_tokens, llama_cpp.llama_n_ctx(self._handle))
        self.keeps_positions = not weights.recurrent
        self.window = int(llama_cpp.llama_model_n_swa(weights.handle))
        self._vocabulary_size = weights.vocabulary.size
        self._memory = llama_cpp.llama_get_memory(self._handle)
        self._batch = _Batch(llama_cpp, self.batch)
        self._adapters: Mapping[str, float] = {}

    # -- computing -------------------------------------------------------------------------------

    def decode(self, pieces: Sequence[Piece]) -> None:
        """Read pieces of several sequences at once.  Raises `NoRoom` or `DecodeFailed`."""
        count = sum(len(piece.tokens) for piece in pieces)
        if not 0 < count <= self.batch:
            raise AssertionError(f"{count} tokens in a batch of {self.batch}")
        for piece in pieces:
            self._check(piece.sequence)
            if piece.start + len(piece.tokens) > self.size:
                raise AssertionError(f"{len(piece.tokens)} tokens at {piece.start} of {self.size}")
        code = self._lib.llama_decode(self._handle, self._batch.fill(pieces))
        if code == 1:
            raise NoRoom
        if code != 0:
            raise DecodeFailed(code)

    def logits(self, row: int) -> NDArray[np.float32]:
        """Logits after a row of the latest batch, shape (vocabulary,); valid until the next one."""
        pointer = self._lib.llama_get_logits_ith(self._handle, row)
        if not pointer:
            raise AssertionError(f"row {row} of the batch was decoded without its logits")
        return np.ctypeslib.as_array(pointer, shape=(self._vocabulary_size,))

    def use_adapters(self, adapters: Mapping[str, tuple[Any, float]]) -> None:
        """Apply LoRA adapters (llama.cpp's handle and a scale by name) to all batches to come."""
        wanted = {name: scale for name, (_, scale) in adapters.items()}
        if wanted == self._adapters:
            return
        loaded = [handle for handle, _ in adapters.values()]
        handles = (self._lib.llama_adapter_lora_p_ctypes * len(adapters))(*loaded)
        scales = (ctypes.c_float * len(adapters))(*wanted.values())
        code = self._lib.llama_set_adapters_lora(self._handle, handles, len(adapters), scales)
        if code != 0:
            raise MachineError(f"llama.cpp cannot use this LoRA adapter (code {code})")
        self._adapters = wanted

    # -- what the cache holds --------------------------------------------------------------------

    def copy(self, source: int, target: int, length: int) -> None:
        """Let `target` share the first `length` tokens of `source`; costs no cells."""
        self._check(source, target)
        self.cut(target, 0)
        end = length if self.keeps_positions else -1
        self._lib.llama_memory_seq_cp(self._memory, source, target, 0, end)

    def merge(self, source: int, target: int, length: int) -> None:
        """Let `target` give up its own first `length` cells for the equal ones of `source`."""
        self._check(source, target)
        self._lib.llama_memory_seq_rm(self._memory, target, 0, length)
        self._lib.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def cut(self, sequence: int, length: int) -> None:
        """Forget all but the first `length` tokens of a sequence."""
        self._check(sequence)
        if length and not self.keeps_positions:
            raise AssertionError("a recurrent state cannot be cut back")
        if not self._lib.llama_memory_seq_rm(self._memory, sequence, length or -1, -1):
            raise AssertionError(f"sequence {sequence} cannot be cut to {length} tokens")

    def intact(self, sequence: int, length: int) -> bool:
        """Whether a sequence can be cut or copied at `length`.

        A sliding window needs the last tokens before it.  llama.cpp gives cells behind the window
        at a sequence's own end to others, whether there are free ones or not, and a saved state has
        the window only; what is decoded without them is wrong, and nothing says so.
        """
        self._check(sequence)
        first = self._lib.llama_memory_seq_pos_min(self._memory, sequence)
        return not self.window or bool(0 <= first <= max(0, length - self.window + 1))

    def length(self, sequence: int) -> int:
        """How many tokens llama.cpp itself believes a sequence to hold."""
        self._check(sequence)
        return int(self._lib.llama_memory_seq_pos_max(self._memory, sequence)) + 1

    def save(self, sequence: int) -> bytes:
        """What the cache holds of a sequence, to be restored into any context like this one."""
        self._check(sequence)
        size = self._lib.llama_state_seq_get_size(self._handle, sequence)
        buffer = (ctypes.c_uint8 * size)()
        written = self._lib.llama_state_seq_get_data(self._handle, buffer, size, sequence)
        return ctypes.string_at(buffer, written)

    def restore(self, sequence: int, state: bytes, length: int) -> bool:
        """Put a saved state of so many tokens into a sequence.

        False, and an empty sequence, if it does not fit.
        """
        self._check(sequence)
        self.cut(sequence, 0)
        buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        read = self._lib.llama_state_seq_set_data(self._handle, buffer, len(state), sequence)
        if read != len(state) or self.length(sequence) != length:
            self.cut(sequence, 0)
            return False
        return True

    def state_key(self, model_digest: str) -> str:
        """Names everything that a saved state depends on, besides its tokens."""
        build = f"{self._lib.__version__} {self._kv_type} {model_digest}"
        return hashlib.blake2b(build.encode(), digest_size=16).hexdigest()

    def close(self) -> None:
        """Free cache and buffers.  Idempotent."""
        if self._handle:
            self._lib.llama_free(self._handle)
            self._handle = None

    def _check(self, *sequences: int) -> None:
        for sequence in sequences:
            if not 0 <= sequence < self.sequences:
                raise AssertionError(f"no sequence {sequence}, there are {self.sequences}")


class _Batch:
    """A `llama_batch` in arrays of ours, which numpy fills faster than ctypes does."""

    def __init__(self, lib: Any, size: int) -> None:
        self._token = np.zeros(size, dtype=np.int32)
        self._position = np.zeros(size, dtype=np.int32)
        self._sequence = np.zeros(size, dtype=np.int32)
        self._output = np.zeros(size, dtype=np.int8)
        self._owners = np.ones(size, dtype=np.int32)
        step = self._sequence.itemsize
        self._pointers = self._sequence.ctypes.data + step * np.arange(size, dtype=np.uintp)
        one = ctypes.POINTER(ctypes.c_int32)
        self._batch = lib.llama_batch(
            n_tokens=0,
            token=self._token.ctypes.data_as(one),
            embd=None,
            pos=self._position.ctypes.data_as(one),
            n_seq_id=self._owners.ctypes.data_as(one),
            seq_id=self._pointers.ctypes.data_as(ctypes.POINTER(one)),
            logits=self._output.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def fill(self, pieces: Sequence[Piece]) -> Any:
        row = 0
        for piece in pieces:
            count = len(piece.tokens)
            end = row + count
            self._token[row:end] = piece.tokens
            self._position[row:end] = np.arange(piece.start, piece.start + count)
            self._sequence[row:end] = piece.sequence
            self._output[row : end - piece.outputs] = 0
            self._output[end - piece.outputs : end] = 1
            row = end
        self._batch.n_tokens = row
        return self._batch
