"""Many channels into one."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from agentkit.audio.mixdown import AUDIBLE, Mixdown, audible

RANDOM = np.random.default_rng(7)


def voice(seed: int, level: float = 0.2) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_normal(16_000) * level).astype(np.float32)


def loudness(samples: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean()))


def test_one_channel_passes_through() -> None:
    samples = voice(1)
    assert np.array_equal(Mixdown()(samples[None]), samples)


def test_equal_channels_give_the_same_again() -> None:
    samples = voice(1)
    assert np.allclose(Mixdown()(np.stack([samples, samples])), samples)


def test_a_channel_upside_down_does_not_cancel_the_other() -> None:
    samples = voice(1)
    mix = Mixdown()
    assert loudness(mix(np.stack([samples, -samples]))) == pytest.approx(loudness(samples))
    assert mix.cancelled


def test_one_speaker_on_each_channel_are_all_heard() -> None:
    """Taking the loudest channel would lose everybody else at the table."""
    speakers = [voice(seed, 0.2 if seed else 0.3) for seed in range(8)]
    mix = Mixdown()
    mixed = mix(np.stack(speakers))
    assert not mix.cancelled
    assert np.allclose(mixed, np.mean(speakers, axis=0), atol=1e-6)


@pytest.mark.parametrize("channels", [2, 6, 8, 16])
def test_speech_on_one_channel_of_many_stays(channels: int) -> None:
    planes = np.zeros((channels, 16_000), np.float32)
    planes[channels - 1] = voice(1)
    assert np.allclose(Mixdown()(planes), planes[channels - 1] / channels)


def test_the_choice_of_the_loudest_channel_does_not_jump() -> None:
    mix = Mixdown()
    loud, quiet = voice(1, 0.3), voice(2, 0.1)
    mix(np.stack([loud, -loud * 0.9]))
    block = np.stack([quiet * 0.9, -quiet])
    assert np.array_equal(mix(block), block[0])


def test_silence_stays_silence() -> None:
    assert not Mixdown()(np.zeros((2, 100), np.float32)).any()
    assert not audible(np.zeros(100, np.float32)).any()


def test_a_very_quiet_recording_is_made_audible() -> None:
    assert loudness(audible(voice(1, 0.0006))) == pytest.approx(AUDIBLE, rel=0.1)


def test_an_ordinary_recording_is_left_alone_even_if_most_of_it_is_silent() -> None:
    samples = np.concatenate([np.zeros(160_000, np.float32), voice(1, 0.1)])
    assert audible(samples) is samples


@pytest.mark.parametrize("length", [0, 1, 799, 8_001])
def test_any_length_can_be_made_audible(length: int) -> None:
    assert len(audible(np.full(length, 0.001, np.float32))) == length
