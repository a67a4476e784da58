"""Recordings for the tests: made here where that is enough, real speech where it is not."""

from __future__ import annotations

import runpy
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agentkit.audio import WhisperTranscriber

ROOT = Path(__file__).parents[2]
RECORDINGS = ROOT.parent / "shared" / "audio"

WriteWav = Callable[[str, NDArray[np.float32], int], Path]

_loaded: dict[Path, WhisperTranscriber] = {}


@pytest.fixture
def recordings() -> Path:
    """The folder of real recordings, which is not part of the repository."""
    if not RECORDINGS.is_dir():
        pytest.skip("needs the recordings in ../shared/audio, beside the checkout")
    return RECORDINGS


@pytest.fixture
def whisper(model_path: Callable[[str], Path]) -> WhisperTranscriber:
    """whisper-base, loaded once for all tests."""
    path = model_path("whisper-base")
    if path not in _loaded:
        _loaded[path] = WhisperTranscriber(path, "whisper-base", device="cpu")
    return _loaded[path]


@pytest.fixture(scope="session")
def word_errors() -> Callable[[str, str], Any]:
    """The word error rate of the benchmark, so that both count in the same way."""
    function: Callable[[str, str], Any] = runpy.run_path(str(ROOT / "bench" / "english.py"))[
        "word_errors"
    ]
    return function


@pytest.fixture
def write_wav(tmp_path: Path) -> WriteWav:
    """Writes `(channels, samples)` in [-1, 1] as 16-bit WAV; `write_wav(name, planes, rate)`."""

    def write(name: str, planes: NDArray[np.float32], rate: int = 16_000) -> Path:
        path = tmp_path / name
        with wave.open(str(path), "wb") as file:
            file.setnchannels(planes.shape[0])
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes((planes.T * 32767).astype("<i2").tobytes())
        return path

    return write


@pytest.fixture
def tone() -> Callable[[float], NDArray[np.float32]]:
    """`tone(seconds)`: a 440 Hz sine at 16 kHz, half of full scale."""

    def make(seconds: float) -> NDArray[np.float32]:
        at = np.arange(round(seconds * 16_000)) / 16_000
        return (0.5 * np.sin(2 * np.pi * 440 * at)).astype(np.float32)

    return make
