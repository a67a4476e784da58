"""Who gets how much of a batch: pure arithmetic."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentkit.engine.batch import DICTATED, PIECE, share

PENDING = st.lists(st.integers(1, 600), max_size=12)


@given(st.integers(16, 512), PENDING, PENDING)
def test_nobody_gets_more_than_is_pending_and_all_fits(
    size: int, writing: list[int], reading: list[int]
) -> None:
    written, read = share(size, writing, reading)
    assert all(0 <= got <= wanted for got, wanted in zip(written, writing, strict=True))
    assert all(0 <= got <= wanted for got, wanted in zip(read, reading, strict=True))
    assert sum(written) + sum(read) <= size
    if writing or reading:
        assert sum(written) + sum(read) > 0


@given(st.lists(st.just(1), min_size=1, max_size=12), PENDING)
def test_everybody_who_writes_is_served_and_prompts_get_one_piece(
    writing: list[int], reading: list[int]
) -> None:
    written, read = share(256, writing, reading)
    assert written == writing
    assert sum(read) == min(PIECE, sum(reading))


@given(st.integers(16, 512), PENDING.filter(bool))
def test_without_writers_the_batch_is_full_of_prompts(size: int, reading: list[int]) -> None:
    _, read = share(size, [], reading)
    assert sum(read) == min(size, sum(reading))


@given(PENDING.filter(bool))
def test_the_oldest_prompt_gets_half(reading: list[int]) -> None:
    _, read = share(256, [1], reading)
    assert read[0] >= min(reading[0], PIECE // 2)


def test_short_prompts_pass_long_ones() -> None:
    assert share(256, [], [2000, 1500, 30, 40]) == ([], [128, 58, 30, 40])


def test_a_long_dictation_leaves_room_for_others() -> None:
    assert share(256, [300, 1], [500]) == ([DICTATED, 1], [PIECE])
