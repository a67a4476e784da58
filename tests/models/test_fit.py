"""The memory estimate against what llama.cpp took, and what is chosen to fit.

Measured with llama-cpp-python 0.3.36 on a CPU with AVX-512: the buffers that it reported, and how
much the resident memory of the process had grown after 2048 tokens.  Buffers agree; of the logits
buffer only a part is touched, so the total lies above.
"""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import NotEnoughMemory
from agentkit.models import Gguf, Plan, estimate, plan
from agentkit.models.fit import LADDER, MARGIN, usual_contexts

MIB = 1 << 20
GB = 10**9


def header(**over: object) -> Gguf:
    usual: dict[str, object] = {
        "architecture": "qwen2", "name": "", "parameters": 0, "quantization": "Q4_K_M",
        "context_length": 32768, "embedding_length": 0, "layers": 0, "heads": (), "kv_heads": (),
        "key_length": 64, "value_length": 64, "sliding_window": 0, "vocabulary": 151_936,
        "tokenizer": "gpt2", "chat_template": None, "licence": "", "file_size": 0,
        "needed_size": 0, "repacked_size": 0, "parts": 1,
    }  # fmt: skip
    return Gguf(**{**usual, **over})  # type: ignore[arg-type]  # mixed values


def qwen(billions: float, file_size: int, layers: int, heads: int, kv: int, width: int) -> Gguf:
    """A Qwen2.5 as its file describes it, Q4_K_M, with a matrix of its own for the output."""
    table, output = 152_064 * width * 9 // 16, 152_064 * width * 105 // 128
    return header(
        parameters=int(billions * 1e9) + 152_064 * width, file_size=file_size, layers=layers,
        heads=(heads,) * layers, kv_heads=(kv,) * layers, key_length=128, value_length=128,
        embedding_length=width, vocabulary=152_064, input_size=table, output_size=output,
        layer_sizes=((file_size - table - output) // layers,) * layers,
        repacked_size=file_size // 2,
    )  # fmt: skip


QWEN_05B = header(embedding_length=896, layers=24, heads=(14,) * 24, kv_heads=(2,) * 24,
                  file_size=491_400_064, repacked_size=29_417_472)  # fmt: skip
QWEN_15B = header(embedding_length=1536, layers=28, heads=(12,) * 28, kv_heads=(2,) * 28,
                  key_length=128, value_length=128, file_size=1_117_320_768,
                  repacked_size=625_508_352)  # fmt: skip
SMOLLM = header(embedding_length=576, layers=30, heads=(9,) * 30, kv_heads=(3,) * 30,
                vocabulary=49_152, file_size=98_362_432)  # fmt: skip

SMALL = qwen(1.54, 1_117_000_000, layers=28, heads=12, kv=2, width=1536)
MIDDLE = qwen(7.62, 4_683_000_000, layers=28, heads=28, kv=4, width=3584)
LARGE = qwen(14.8, 8_988_000_000, layers=48, heads=40, kv=8, width=5120)
HUGE = qwen(32.8, 19_851_000_000, layers=64, heads=40, kv=8, width=5120)


# -- what a model needs ----------------------------------------------------------------------------


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
    ("model", "context", "batch", "flash", "mib"),
    [
        pytest.param(QWEN_05B, 4096, 512, True, 300.25, id="0.5B"),
        pytest.param(QWEN_05B, 4096, 256, True, 150.13, id="0.5B in half batches"),
        pytest.param(QWEN_15B, 4096, 512, True, 302.75, id="1.5B"),
        pytest.param(SMOLLM, 4096, 512, True, 98.25, id="135M"),
        pytest.param(QWEN_05B, 8192, 256, False, 151.00, id="0.5B with scores smaller than logits"),
        pytest.param(QWEN_05B, 32768, 256, False, 484.63, id="0.5B with scores"),
        pytest.param(QWEN_15B, 32768, 256, False, 424.00, id="1.5B with scores"),
        pytest.param(SMOLLM, 8192, 256, False, 83.19, id="135M with scores"),
        pytest.param(SMOLLM, 32768, 256, False, 323.19, id="135M with more scores"),
    ],
)
def test_the_compute_buffer_is_the_one_that_llama_cpp_reserves(
    model: Gguf, context: int, batch: int, flash: bool, mib: float
) -> None:
    words = model.vocabulary * 350

    compute = estimate(model, context, batch_tokens=batch, flash=flash).compute

    assert (compute - words) / MIB == pytest.approx(mib, abs=0.01 if flash else 1.2)


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


# -- what fits -------------------------------------------------------------------------------------


def planned(model: Gguf, ram: float | None, *gpus: float, **wanted: object) -> Plan:
    """A plan for so many free gigabytes."""
    free = None if ram is None else int(ram * GB)
    cards = [int(one * GB) for one in gpus]
    return plan(model, free_ram=free, gpus=cards, **wanted)  # type: ignore[arg-type]  # mixed


@pytest.mark.parametrize(
    ("model", "ram", "gpus", "chosen"),
    [
        pytest.param(SMALL, 3.0, (), (8192, "f16", 0), id="1.5B, laptop of 4 GB"),
        pytest.param(SMALL, 6.0, (), (16384, "f16", 0), id="1.5B, laptop of 8 GB"),
        pytest.param(MIDDLE, 9.0, (), (8192, "f16", 0), id="7B, laptop of 12 GB"),
        pytest.param(SMALL, 22.0, (), (32768, "f16", 0), id="1.5B, box of 24 GB"),
        pytest.param(LARGE, 22.0, (), (8192, "f16", 0), id="14B, box of 24 GB"),
        pytest.param(SMALL, 6.0, (7.6,), (32768, "f16", 29), id="1.5B, GPU of 8 GB"),
        pytest.param(MIDDLE, 6.0, (7.6,), (16384, "f16", 29), id="7B, GPU of 8 GB"),
        pytest.param(MIDDLE, 6.0, (6.1,), (8192, "q8_0", 29), id="7B, GPU of 8 GB, partly used"),
        pytest.param(LARGE, 6.0, (7.6,), (8192, "f16", 29), id="14B, GPU of 8 GB: some layers"),
        pytest.param(LARGE, 14.0, (11.6,), (8192, "f16", 49), id="14B, GPU of 12 GB"),
        pytest.param(LARGE, 28.0, (23.6,), (32768, "f16", 49), id="14B, GPU of 24 GB"),
        pytest.param(HUGE, 28.0, (23.6,), (8192, "f16", 65), id="32B, GPU of 24 GB"),
        pytest.param(HUGE, 28.0, (11.6, 11.6), (8192, "f16", 60), id="32B, two GPUs of 12 GB"),
        pytest.param(HUGE, 60.0, (23.6, 23.6), (32768, "f16", 65), id="32B, two GPUs of 24 GB"),
        pytest.param(MIDDLE, 22.0, (0.9,), (32768, "f16", 0), id="7B, GPU that others use"),
        pytest.param(SMALL, None, (), (8192, "f16", 0), id="memory that cannot be told"),
    ],
)
def test_what_is_chosen(
    model: Gguf, ram: float | None, gpus: tuple[float, ...], chosen: tuple[int, str, int]
) -> None:
    found = planned(model, ram, *gpus)

    assert (found.context_tokens, found.kv_type, found.gpu_layers) == chosen


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        pytest.param(
            planned(SMALL, 19), "1.5B Q4_K_M, 32k context, needs 3.11 GB, 19 GB free", id="CPU"
        ),
        pytest.param(
            planned(SMALL, None), "1.5B Q4_K_M, 8k context, needs 2.12 GB", id="memory unknown"
        ),
        pytest.param(
            planned(MIDDLE, 6, 6.1),
            "7.6B Q4_K_M, 8k context (q8_0), needs 4.95 GB on the GPU, 6.1 GB free, "
            "and 360 MB beside, 6 GB free",
            id="GPU",
        ),
        pytest.param(
            planned(LARGE, 6, 7.6),
            "14.8B Q4_K_M, 8k context, 28 of 48 layers on the GPU, needs 6.53 GB on the GPU, "
            "7.6 GB free, and 4.79 GB beside, 6 GB free",
            id="both",
        ),
        pytest.param(
            planned(SMALL, 19, wanted_context=5000),
            "1.5B Q4_K_M, 5000-token context, needs 2.03 GB, 19 GB free",
            id="a context of one's own",
        ),
    ],
)
def test_a_plan_says_itself_in_a_sentence(found: Plan, sentence: str) -> None:
    assert found.sentence == sentence


def test_on_a_cpu_a_plan_needs_what_the_estimate_says() -> None:
    for context in (4096, 32768):
        found = planned(SMALL, 60, wanted_context=context)
        assert found.ram == estimate(SMALL, context).total
        assert found.mapped == SMALL.file_size


def test_layers_on_a_gpu_leave_main_memory() -> None:
    needs = [planned(MIDDLE, 60, 60, wanted_layers=n, wanted_context=8192) for n in (1, 2, 15, 28)]

    for before, after in pairwise(needs):
        assert after.vram > before.vram
        assert after.ram < before.ram


def test_a_model_whose_table_serves_twice_has_it_in_both_places() -> None:
    apart = planned(SMALL, 60, 60, wanted_layers=1)
    shared = planned(header(layers=2, kv_heads=(2, 2), heads=(2, 2), file_size=400, input_size=200,
                            layer_sizes=(100, 100)), 60, 60, wanted_layers=-1)  # fmt: skip

    assert apart.mapped == SMALL.file_size - SMALL.output_size
    assert shared.mapped == 200


def test_what_was_trained_bounds_what_is_chosen_but_not_what_is_wanted() -> None:
    model = header(context_length=2048, file_size=GB)

    assert planned(model, 60).context_tokens == 2048
    assert not planned(model, 60).cramped
    assert planned(model, 60, wanted_context=6000).context_tokens == 6000


def test_what_is_wanted_is_kept_to() -> None:
    few = planned(SMALL, 60, 60, wanted_layers=5, wanted_context=16384, wanted_kv="q8_0")

    assert (few.context_tokens, few.kv_type, few.gpu_layers) == (16384, "q8_0", 5)
    assert not few.cramped
    assert planned(SMALL, 60, 60, wanted_layers=-1).gpu_layers == 29
    assert planned(SMALL, 60, 60, wanted_layers=999).gpu_layers == 29


def test_layers_that_are_wanted_where_no_gpu_can_be_seen_count_as_main_memory() -> None:
    found = planned(SMALL, 60, wanted_layers=-1)

    assert (found.gpu_layers, found.vram) == (29, 0)
    assert found.ram > SMALL.file_size


@pytest.mark.parametrize(
    ("found", "cramped"),
    [
        pytest.param(planned(SMALL, 6), False, id="8k or more"),
        pytest.param(planned(LARGE, 14.5), True, id="4k because of memory"),
        pytest.param(planned(LARGE, 60, wanted_context=4096), False, id="4k because it is wanted"),
        pytest.param(planned(MIDDLE, 6, 6.1), True, id="a q8_0 cache because of memory"),
        pytest.param(planned(LARGE, 6, 7.6), True, id="layers left out"),
        pytest.param(planned(LARGE, 14, 7.6, wanted_layers=20), False, id="layers as wanted"),
    ],
)
def test_a_plan_knows_whether_more_memory_would_make_it_better(found: Plan, cramped: bool) -> None:
    assert found.cramped is cramped


@pytest.mark.parametrize(
    ("model", "ram", "gpus", "wanted", "says", "hint"),
    [
        pytest.param(
            LARGE, 5.5, (), {}, r"^mine \(14.8B Q4_K_M\) with a context of 4096 tokens needs 14.1 "
            r"GB, and 5.5 GB are free$", r"^choose a smaller model",
            id="too large",
        ),
        pytest.param(
            SMALL, 2.2, (), {"wanted_context": 32768}, r"32768 tokens needs 2.3\d GB",
            r"^it would fit with engine\.context_tokens: 8192 in settings$",
            id="too long a context",
        ),
        pytest.param(
            SMALL, 2.9, (), {"wanted_context": 32768, "wanted_kv": "f16"}, r"needs 3.11 GB",
            r"engine\.context_tokens: 8192 or engine\.kv_type: q8_0 in settings",
            id="too long a context, or too wide a cache",
        ),
        pytest.param(
            LARGE, 6, (7.6,), {"wanted_layers": -1}, r"needs 9.\d* GB on the GPU, and 6.53 GB are",
            r"^it would fit with engine\.gpu_layers: 29 in settings$",
            id="too many layers",
        ),
        pytest.param(
            LARGE, 6, (7.6,), {"wanted_layers": -1, "wanted_context": 131072}, r"131072",
            r"context_tokens: 8192, kv_type: f16, gpu_layers: 29 in settings$",
            id="too much of everything",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_what_would(
    model: Gguf,
    ram: float,
    gpus: tuple[float, ...],
    wanted: dict[str, object],
    says: str,
    hint: str,
) -> None:
    with pytest.raises(NotEnoughMemory, match=says) as caught:
        planned(model, ram, *gpus, name="mine", **wanted)

    assert re.search(hint, caught.value.hint or "")


@given(
    model=st.sampled_from([SMALL, MIDDLE, LARGE, HUGE, QWEN_05B, SMOLLM]),
    ram=st.floats(0.1, 100),
    gpus=st.lists(st.floats(0.1, 50), max_size=4),
    layers=st.one_of(st.just("auto"), st.integers(-1, 70)),
    context=st.one_of(st.none(), st.integers(256, 100_000)),
    kv=st.sampled_from(["auto", "f16", "q8_0"]),
)
def test_a_plan_always_has_room(
    model: Gguf, ram: float, gpus: list[float], layers: object, context: object, kv: object
) -> None:
    try:
        found = planned(
            model, ram, *gpus, wanted_layers=layers, wanted_context=context, wanted_kv=kv
        )
    except NotEnoughMemory:
        return
    assert found.ram <= ram * GB
    assert found.vram == 0 or found.vram <= sum(max(0, one * GB - MARGIN) for one in gpus)
    assert found.mapped <= found.ram
    assert context in (None, found.context_tokens)
    assert kv in ("auto", found.kv_type)
    assert context or found.context_tokens in {size for size, _ in LADDER}
