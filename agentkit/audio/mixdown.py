"""Many channels into one, at a level at which speech is found.

The mean of all channels is right almost always.  Where channels cancel each other out (a cable
soldered the wrong way round gives an exact silence), the loudest one is taken instead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

CANCELS_BELOW = 0.3
"""Unrelated channels add up to 1 on this scale, identical ones to more, opposite ones to 0."""

QUIET_BELOW = 0.01
"""Half a second of ordinary speech is louder than this (root mean square of full scale 1)."""

AUDIBLE = 0.05
MOST_GAIN = 300.0
HALF_SECOND = 8_000


def audible(samples: Samples) -> Samples:
    """Samples at 16 kHz, made louder if even their loudest half second is very quiet.

    The voice detector goes by level: it misses half of what was recorded 50 dB too low.
    """
    padded = np.pad(samples, (0, -len(samples) % HALF_SECOND)).reshape(-1, HALF_SECOND)
    loudest = float(np.sqrt(np.square(padded, dtype=np.float64).mean(axis=1).max(initial=0.0)))
    if loudest == 0.0 or loudest >= QUIET_BELOW:
        return samples
    louder: Samples = samples * np.float32(min(AUDIBLE / loudest, MOST_GAIN))
    return np.clip(louder, -1.0, 1.0)


class Mixdown:
    """Turns blocks of `(channels, samples)` into blocks of one channel.

    Which channel is the loudest is decided over all that was heard so far, so that the choice
    does not jump with every block.
    """

    def __init__(self) -> None:
        self._energy: NDArray[np.float64] = np.zeros(0)
        self.cancelled = False
        """Whether a mixdown would have lost sound somewhere."""

    def __call__(self, planes: Samples) -> Samples:
        """Mix one block."""
        if planes.shape[0] == 1:
            mono: Samples = planes[0]
            return mono
        energy = np.square(planes, dtype=np.float64).sum(axis=1)
        if self._energy.shape != energy.shape:
            self._energy = np.zeros_like(energy)
        self._energy += energy
        total: Samples = planes.sum(axis=0, dtype=np.float32)
        if self._cancels(total, float(energy.sum())):
            self.cancelled = True
            loudest: Samples = planes[int(self._energy.argmax())]
            return loudest
        total /= planes.shape[0]
        return total

    @staticmethod
    def _cancels(total: Samples, energy: float) -> bool:
        if energy <= 0.0:
            return False
        left = float(np.square(total, dtype=np.float64).sum())
        return left < CANCELS_BELOW**2 * energy
