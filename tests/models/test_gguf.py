"""GGUF headers: what they say is read, and nothing that they say can do harm."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentkit.errors import ModelDamaged
from agentkit.models import gguf as gguf_module
from agentkit.models import read_gguf

MakeGguf = Callable[..., bytes]


@pytest.fixture
def written(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(data: bytes) -> Path:
        path = tmp_path / "m.gguf"
        path.write_bytes(data)
        return path

    return write


Written = Callable[[bytes], Path]


def test_the_header_says_what_the_model_is(gguf: MakeGguf, written: Written) -> None:
    data = gguf()

    header = read_gguf(written(data))

    assert (header.architecture, header.name, header.quantization) == ("llama", "Tiny", "Q4_K_M")
    assert (header.context_length, header.embedding_length, header.layers) == (8192, 64, 2)
    assert (header.heads, header.kv_heads) == ((4, 4), (2, 2))
    assert (header.key_length, header.value_length) == (16, 16)
    assert (header.tokenizer, header.vocabulary) == ("gpt2", 3)
    assert header.chat_template == "{{ messages }}"
    assert header.licence == "mit"
    assert header.parameters == 1024
    assert header.file_size == header.needed_size == len(data)
    header.check_complete("m.gguf")


def test_tensors_are_added_up_by_where_they_can_lie(gguf: MakeGguf, written: Written) -> None:
    tensors = (
        ("token_embd.weight", (256, 3), 12),
        ("blk.1.attn_q.weight", (256, 2), 12),
        ("blk.0.ffn_up.weight", (256, 1), 12),
        ("blk.1.ffn_up.weight", (256, 1), 12),
        ("output_norm.weight", (256,), 0),
        ("output.weight", (256, 5), 12),
    )

    header = read_gguf(written(gguf(tensors=tensors)))

    assert header.layer_sizes == (144, 3 * 144)
    assert (header.input_size, header.output_size) == (3 * 144, 5 * 144)
    assert header.read_size == header.file_size - 3 * 144


def test_a_table_that_is_the_output_too_is_read_for_each_token(
    gguf: MakeGguf, written: Written
) -> None:
    header = read_gguf(written(gguf(tensors=(("token_embd.weight", (256, 3), 12),))))

    assert header.read_size == header.file_size


def test_layers_without_a_number_have_no_sizes(gguf: MakeGguf, written: Written) -> None:
    assert read_gguf(written(gguf(tensors=(("w", (256, 1), 12),)))).layer_sizes == ()


def test_an_embedding_model_says_how_it_pools(gguf: MakeGguf, written: Written) -> None:
    assert read_gguf(written(gguf({"llama.pooling_type": 1}))).pooling
    assert not read_gguf(written(gguf())).pooling


def test_heads_may_differ_from_layer_to_layer(gguf: MakeGguf, written: Written) -> None:
    header = read_gguf(written(gguf({"llama.attention.head_count_kv": [0, 8]})))

    assert header.kv_heads == (0, 8)


def test_lengths_of_keys_and_values_may_be_given(gguf: MakeGguf, written: Written) -> None:
    facts = {"llama.attention.key_length": 128, "llama.attention.value_length": 64}

    header = read_gguf(written(gguf(facts)))

    assert (header.key_length, header.value_length) == (128, 64)


def test_a_model_without_a_chat_template_has_none(gguf: MakeGguf, written: Written) -> None:
    assert read_gguf(written(gguf({"tokenizer.chat_template": None}))).chat_template is None


def test_missing_tensor_data_is_told_in_bytes(gguf: MakeGguf, written: Written) -> None:
    whole = gguf()
    header = read_gguf(written(whole[:-100]))

    with pytest.raises(ModelDamaged, match=rf"truncated: {len(whole) - 100} of {len(whole)} bytes"):
        header.check_complete("m.gguf")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: b"", "is not a GGUF file"),
        (lambda data: b"PK\3\4" + data, "is not a GGUF file"),
        (lambda data: data[:3], "breaks off after 3 bytes"),
        (lambda data: data[:50], "breaks off after 50 bytes"),
        (lambda data: data[:4] + struct.pack("<I", 99) + data[8:], "version 99"),
        (lambda data: data[:4] + struct.pack(">I", 3) + data[8:], "big-endian"),
        (lambda data: data[:16] + struct.pack("<Q", 2**60) + data[24:], "metadata entries"),
        (lambda data: data[:8] + struct.pack("<Q", 2**60) + data[16:], "tensors"),
        (lambda data: data[:24] + struct.pack("<Q", 2**63) + data[32:], "a text of"),
    ],
)
def test_what_is_no_gguf_file_is_damaged(
    gguf: MakeGguf, written: Written, change: Callable[[bytes], bytes], said: str
) -> None:
    with pytest.raises(ModelDamaged, match=said):
        read_gguf(written(change(gguf())))


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"general.architecture": None}, "which architecture"),
        ({"general.architecture": 7}, "which architecture"),
        ({"llama.block_count": 2**60}, "layers"),
    ],
)
def test_facts_that_cannot_be_are_damage(
    gguf: MakeGguf, written: Written, facts: dict[str, object], said: str
) -> None:
    with pytest.raises(ModelDamaged, match=said):
        read_gguf(written(gguf(facts)))


def test_facts_of_the_wrong_type_are_passed_over(gguf: MakeGguf, written: Written) -> None:
    odd = {
        "llama.context_length": "long",
        "llama.attention.head_count_kv": "many",
        "general.file_type": [1.5],
        "tokenizer.chat_template": 3,
        "tokenizer.ggml.tokens": "abc",
        "general.alignment": True,
    }

    header = read_gguf(written(gguf(odd)))

    assert (header.context_length, header.quantization) == (0, "unknown")
    assert (header.chat_template, header.vocabulary) == (None, 0)


def test_a_header_larger_than_the_first_read_is_read_on(
    gguf: MakeGguf, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf_module, "FIRST_READ", 64)

    assert read_gguf(written(gguf())).name == "Tiny"


def test_lists_in_lists_end_somewhere(gguf: MakeGguf, written: Written) -> None:
    deep: object = [1]
    for _ in range(50):
        deep = [deep]

    with pytest.raises(ModelDamaged, match="lists in lists"):
        read_gguf(written(gguf({"deep": deep})))


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    edits=st.lists(st.tuples(st.integers(0, 800), st.binary(min_size=1, max_size=9)), max_size=6),
    cut=st.integers(0, 1600),
)
def test_hostile_bytes_are_damage_or_a_header_and_take_little_memory(
    gguf: MakeGguf, edits: list[tuple[int, bytes]], cut: int
) -> None:
    data = bytearray(gguf())
    for at, new in edits:
        data[at : at + len(new)] = new
    raw = bytes(data[:cut])

    tracemalloc.start()
    try:
        gguf_module.parse_gguf(raw, len(raw)).check_complete("m")
    except (ModelDamaged, gguf_module._Broken, gguf_module._OutOfData):
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 5_000_000
