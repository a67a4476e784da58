"""The memory estimate against what llama.cpp took.

Measured with llama-cpp-python 0.3.36 on a CPU with AVX-512 (batch 512, f16 cache, flash attention):
the buffers that it reported, and how much the resident memory of the process had grown after 2048
tokens.  Buffers agree; of the logits buffer only a part is touched, so the total lies above.
"""

from __future__ import annotations

import pytest

from agentkit.models import Gguf, estimate
from agentkit.models.fit import usual_contexts

MIB = 1 << 20


def header(**over: object) -> Gguf:
    usual: dict[str, object] = {
        "architecture": "qwen2", "name": "", "parameters": 0, "quantization": "Q4_K_M",
        "context_length": 32768, "embedding_length": 0, "layers": 0, "heads": (), "kv_heads": (),
        "key_length": 64, "value_length": 64, "sliding_window": 0, "vocabulary": 151_936,
        "tokenizer": "gpt2", "chat_template": None, "licence": "", "file_size": 0,
        "needed_size": 0, "repacked_size": 0, "parts": 1,
    }  # fmt: skip
    return Gguf(**{**usual, **over})  # type: ignore[arg-type]  # mixed values


QWEN_05B = header(embedding_length=896, kv_heads=(2,) * 24, file_size=491_400_064,
                  repacked_size=29_417_472)  # fmt: skip
QWEN_15B = header(embedding_length=1536, kv_heads=(2,) * 28, key_length=128, value_length=128,
                  file_size=1_117_320_768, repacked_size=625_508_352)  # fmt: skip
SMOLLM = header(embedding_length=576, kv_heads=(3,) * 30, vocabulary=49_152, file_size=98_362_432)


@pytest.mark.parametrize(
    ("model", "context", "kv_mib", "resident"),
    [
        pytest.param(QWEN_05B, 4096, 48, 660e6, id="0.5B at 4k"),
        pytest.param(QWEN_05B, 16384, 192, 812e6, id="0.5B at 16k"),
        pytest.param(QWEN_15B, 8192, 224, 2100e6, id="1.5B at 8k"),
        pytest.param(SMOLLM, 8192, 180, 324e6, id="135M at 8k"),
    ],
)
def test_the_estimate_covers_what_was_measured_without_exaggerating(
    model: Gguf, context: int, kv_mib: int, resident: float
) -> None:
    need = estimate(model, context)

    assert need.kv == kv_mib * MIB
    assert resident <= need.total <= resident + 320 * MIB


@pytest.mark.parametrize(
    ("model", "batch", "mib"),
    [
        pytest.param(QWEN_05B, 512, 300.25, id="0.5B"),
        pytest.param(QWEN_05B, 256, 150.13, id="0.5B in half batches"),
        pytest.param(QWEN_15B, 512, 302.75, id="1.5B"),
        pytest.param(SMOLLM, 512, 98.25, id="135M"),
    ],
)
def test_the_compute_buffer_is_the_one_that_llama_cpp_reserves(
    model: Gguf, batch: int, mib: float
) -> None:
    words = model.vocabulary * 350

    compute = estimate(model, 4096, batch_tokens=batch).compute

    assert (compute - words) / MIB == pytest.approx(mib, abs=0.01)


def test_contexts_are_rounded_up_as_llama_cpp_does() -> None:
    assert estimate(QWEN_05B, 4097).kv == estimate(QWEN_05B, 4352).kv


def test_layers_without_attention_need_no_cache() -> None:
    mixed = header(kv_heads=(0, 2, 0, 2))

    assert estimate(mixed, 1024).kv == 2 * 2 * (64 + 64) * 2 * 1024


def test_a_quantized_cache_takes_little_more_than_half() -> None:
    half = estimate(QWEN_05B, 4096, kv_type="q8_0").kv

    assert half == estimate(QWEN_05B, 4096).kv * 34 // 64


@pytest.mark.parametrize(
    ("trained", "shown"),
    [(32768, (4096, 8192, 16384, 32768)), (8192, (4096, 8192)), (2048, (2048,)), (0, (4096,))],
)
def test_usual_contexts_stop_at_what_was_trained(trained: int, shown: tuple[int, ...]) -> None:
    assert usual_contexts(header(context_length=trained)) == shown
