"""Where a long recording is cut."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.audio import windows as module
from agentkit.audio.decode import SAMPLE_RATE
from agentkit.audio.mixdown import Samples
from agentkit.audio.windows import Region, Window, cut_point, pack, windows


@st.composite
def regions(draw: st.DrawFn, most: int = 40) -> tuple[Region, ...]:
    """Stretches of speech, in order, with pauses of zero to ten seconds between them."""
    found: list[Region] = []
    at = draw(st.floats(0, 5))
    for _ in range(draw(st.integers(0, most))):
        length = draw(st.floats(0.1, 20))
        found.append(Region(at, at + length))
        at += length + draw(st.floats(0, 10))
    return tuple(found)


@given(regions(), st.floats(1, 30), st.floats(0, 5))
def test_packing_covers_every_region_and_keeps_the_order(
    speech: tuple[Region, ...], longest: float, widest: float
) -> None:
    packed = pack(speech, longest, widest)
    for region in speech:
        assert any(one.start <= region.start and region.end <= one.end for one in packed)
    assert list(packed) == sorted(packed, key=lambda one: one.start)
    for one in packed:
        assert one.duration <= longest or one in speech


@given(regions())
def test_a_window_is_never_cut_within_speech(speech: tuple[Region, ...]) -> None:
    length = 60.0
    inside = tuple(Region(one.start, min(one.end, length)) for one in speech if one.start < length)
    cut = cut_point(inside, length)
    assert 0 < cut <= length
    if cut < length:
        assert not any(one.start < cut < one.end for one in inside)


def test_the_longest_pause_near_the_end_is_chosen() -> None:
    speech = (Region(0, 10), Region(30, 70), Region(71, 80), Region(84, 95), Region(96, 100))
    assert cut_point(speech, 100) == 82


def test_without_speech_or_with_a_pause_at_the_end_nothing_is_left_over() -> None:
    assert cut_point((), 100) == 100
    assert cut_point((Region(0, 99),), 100) == 100


def _every_second_is_speech(samples: Samples) -> tuple[Region, ...]:
    """A voice detector: half a second of speech at the start of each second."""
    return tuple(Region(at, at + 0.5) for at in range(len(samples) // SAMPLE_RATE))


@pytest.mark.parametrize("seconds", [0, 7, 60, 61, 145])
def test_windows_lose_no_sample_and_no_region(
    seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_speech", _every_second_is_speech)
    samples = np.random.default_rng(1).standard_normal(seconds * SAMPLE_RATE).astype(np.float32)
    samples *= 0.1
    blocks = [samples[at : at + 70_000] for at in range(0, len(samples), 70_000)]
    found = list(windows(blocks, length=60.0))
    together = np.concatenate([window.samples for window in found]) if found else samples
    assert np.array_equal(together, samples)
    assert sum(len(window.regions) for window in found) == seconds
    assert all(len(window.samples) <= 60 * SAMPLE_RATE for window in found)
    for before, after in pairwise(found):
        assert before.end == pytest.approx(after.start)


def test_cutting_gives_the_samples_of_the_recording() -> None:
    samples = np.arange(5 * SAMPLE_RATE, dtype=np.float32)
    window = Window(100.0, samples, ())
    assert np.array_equal(window.cut(Region(101, 102)), samples[SAMPLE_RATE : 2 * SAMPLE_RATE])
    assert len(window.cut(Region(104.5, 110))) == SAMPLE_RATE // 2
