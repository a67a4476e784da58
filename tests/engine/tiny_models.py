"""Models of less than a megabyte, with random weights, one for every kind of memory.

What a model remembers of a prompt decides what may be reused of it, and kinds differ: plain
attention keeps every token, a sliding window the last few, a recurrent model one state that cannot
go back, a hybrid one of each.  Real models of the rarer kinds are too large for tests.  These know
nothing, but every token they write depends on all tokens before it (on some 70 in the last kind):
an error in the bookkeeping shows in the first answer.

A token is a byte, or one of the markers of ChatML.  Answers are printable ASCII and never end by
themselves, so that they last until `max_tokens` and tokenise back to what was sampled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

WINDOW = 32
"""Tokens that a layer with a sliding window sees."""

MARKERS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

GAP_MARKERS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
"""What code models have beside them; 259 to 261 here."""

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_LAYERS, _WIDTH, _HEADS, _HIDDEN = 4, 64, 2, 128
_INNER, _STATE, _KERNEL, _RANK = 2 * _WIDTH, 16, 4, 4

KINDS = ("attention", "sliding-window", "recurrent", "hybrid", "hybrid-sliding-window")
"""What `write_model` can write: llama, gemma3, mamba, jamba and lfm2 in llama.cpp's words."""


def write_model(
    path: Path,
    kind: str,
    *,
    seed: int = 0,
    markers: tuple[str, ...] = MARKERS,
    template: str = TEMPLATE,
) -> Path:
    """Write a model of one of `KINDS`; the same seed gives the same bytes."""
    arch = dict(zip(KINDS, ("llama", "gemma3", "mamba", "jamba", "lfm2"), strict=True))[kind]
    writer = gguf.GGUFWriter(path, arch)
    writer.add_name(f"tiny {kind}")
    writer.add_context_length(8192)
    writer.add_block_count(_LAYERS)
    writer.add_embedding_length(_WIDTH)
    writer.add_layer_norm_rms_eps(1e-5)
    _add_shape(writer, kind)
    _add_vocabulary(writer, markers)
    writer.add_chat_template(template)
    random = np.random.default_rng(seed)
    for name, tensor in _tensors(random, kind, 256 + len(markers)):
        writer.add_tensor(name, tensor)
    return _finish(writer, path)


def write_adapter(path: Path, *, seed: int = 1, rank: int = 4, strength: float = 4.0) -> Path:
    """Write a LoRA adapter for the model of kind `attention`, strong enough to change its mind."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", strength * rank)
    random = np.random.default_rng(seed)
    for layer in range(_LAYERS):
        for name in ("attn_q", "attn_v"):
            writer.add_tensor(f"blk.{layer}.{name}.weight.lora_a", _matrix(random, _WIDTH, rank))
            writer.add_tensor(f"blk.{layer}.{name}.weight.lora_b", _matrix(random, rank, _WIDTH))
    return _finish(writer, path)


def _finish(writer: Any, path: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _recurrent_layers(kind: str) -> frozenset[int]:
    """Which layers have a state instead of attention."""
    if kind == "recurrent":
        return frozenset(range(_LAYERS))
    return frozenset({0, 2}) if kind.startswith("hybrid") else frozenset()


def _add_shape(writer: Any, kind: str) -> None:
    recurrent = _recurrent_layers(kind)
    writer.add_feed_forward_length(0 if kind == "recurrent" else _HIDDEN)
    writer.add_head_count(0 if kind == "recurrent" else _HEADS)
    if recurrent:
        writer.add_head_count_kv([0 if layer in recurrent else _HEADS for layer in range(_LAYERS)])
    if kind in ("recurrent", "hybrid"):
        writer.add_ssm_conv_kernel(_KERNEL)
        writer.add_ssm_inner_size(_INNER)
        writer.add_ssm_state_size(_STATE)
        writer.add_ssm_time_step_rank(_RANK)
    if kind == "hybrid-sliding-window":
        writer.add_shortconv_l_cache(_KERNEL)
    if kind.endswith("sliding-window"):
        writer.add_sliding_window(WINDOW)
    if kind == "sliding-window":
        writer.add_key_length(_WIDTH // _HEADS)
        writer.add_value_length(_WIDTH // _HEADS)
        writer.add_sliding_window_pattern([True, False] * (_LAYERS // 2))


def _add_vocabulary(writer: Any, markers: tuple[str, ...]) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*_visible_bytes(), *markers])
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    writer.add_token_types([normal] * 256 + [control] * len(markers))
    writer.add_token_merges(["a a"])  # llama.cpp asks for at least one; "aa" is no token
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(258)
    writer.add_add_bos_token(False)


def _visible_bytes() -> list[str]:
    """The 256 bytes as the printable characters that byte-level BPE writes for them."""
    kept = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte) if byte in kept else chr(next(others)) for byte in range(256)]


def _tensors(
    random: np.random.Generator, kind: str, vocabulary: int
) -> Iterator[tuple[str, Matrix]]:
    ones = np.ones(_WIDTH, np.float32)
    yield "token_embd.weight", random.standard_normal((vocabulary, _WIDTH), np.float32) * 0.3
    yield (
        "token_embd_norm.weight" if kind == "hybrid-sliding-window" else "output_norm.weight",
        ones,
    )
    output = _matrix(random, _WIDTH, vocabulary) * 4
    output[[row for row in range(vocabulary) if not 0x20 <= row < 0x7F]] = 0
    yield "output.weight", output
    for layer in range(_LAYERS):
        yield f"blk.{layer}.attn_norm.weight", ones
        if layer not in _recurrent_layers(kind):
            part = _attention(random, kind)
        elif kind == "hybrid-sliding-window":
            part = _short_convolution(random)
        else:
            part = _state_space(random, kind)
        for name, tensor in part:
            yield f"blk.{layer}.{name}", tensor
        if kind != "recurrent":
            for name, tensor in _feed_forward(random, kind):
                yield f"blk.{layer}.{name}", tensor


def _matrix(random: np.random.Generator, inputs: int, outputs: int) -> Matrix:
    """A linear map that keeps the size of what it is given."""
    return random.standard_normal((outputs, inputs), np.float32) / np.float32(math.sqrt(inputs))


def _attention(random: np.random.Generator, kind: str) -> Iterator[tuple[str, Matrix]]:
    # Scores with a standard deviation of 2 pick out a few tokens instead of the mean of all.
    normed = kind.endswith("sliding-window")
    gain = np.float32(1 if normed else math.sqrt(2))
    yield "attn_q.weight", _matrix(random, _WIDTH, _WIDTH) * gain
    yield "attn_k.weight", _matrix(random, _WIDTH, _WIDTH) * gain
    yield "attn_v.weight", _matrix(random, _WIDTH, _WIDTH)
    yield "attn_output.weight", _matrix(random, _WIDTH, _WIDTH)
    if normed:
        head = np.full(_WIDTH // _HEADS, math.sqrt(2), np.float32)
        yield "attn_q_norm.weight", head
        yield "attn_k_norm.weight", head
    if kind == "sliding-window":
        yield "post_attention_norm.weight", np.full(_WIDTH, 8, np.float32)


def _feed_forward(random: np.random.Generator, kind: str) -> Iterator[tuple[str, Matrix]]:
    yield "ffn_norm.weight", np.ones(_WIDTH, np.float32)
    yield "ffn_gate.weight", _matrix(random, _WIDTH, _HIDDEN)
    yield "ffn_up.weight", _matrix(random, _WIDTH, _HIDDEN)
    yield "ffn_down.weight", _matrix(random, _HIDDEN, _WIDTH)
    if kind == "sliding-window":
        yield "post_ffw_norm.weight", np.full(_WIDTH, 4, np.float32)


def _short_convolution(random: np.random.Generator) -> Iterator[tuple[str, Matrix]]:
    yield "shortconv.conv.weight", _matrix(random, _KERNEL, _WIDTH)
    yield "shortconv.in_proj.weight", _matrix(random, _WIDTH, 3 * _WIDTH)
    yield "shortconv.out_proj.weight", _matrix(random, _WIDTH, _WIDTH)


def _state_space(random: np.random.Generator, kind: str) -> Iterator[tuple[str, Matrix]]:
    """A Mamba layer whose state fades over some hundred tokens."""
    yield "ssm_in.weight", _matrix(random, _WIDTH, 2 * _INNER)
    yield "ssm_conv1d.weight", _matrix(random, _KERNEL, _INNER)
    yield "ssm_conv1d.bias", np.zeros(_INNER, np.float32)
    yield "ssm_x.weight", _matrix(random, _INNER, _RANK + 2 * _STATE)
    yield "ssm_dt.weight", _matrix(random, _RANK, _INNER)
    yield "ssm_dt.bias", np.zeros(_INNER, np.float32)
    yield "ssm_a", np.full((_INNER, _STATE), -0.002, np.float32)
    yield "ssm_d", np.full(_INNER, 0.1, np.float32)
    yield "ssm_out.weight", _matrix(random, _INNER, _WIDTH)
    if kind == "hybrid":
        yield "ssm_dt_norm.weight", np.ones(_RANK, np.float32)
        yield "ssm_b_norm.weight", np.ones(_STATE, np.float32)
        yield "ssm_c_norm.weight", np.ones(_STATE, np.float32)
