"""The `Transcriber` on faster-whisper: a folder in CTranslate2 format, on CPU or GPU.

A recording goes through in windows of a few minutes: find the speech, decode it in batches, check
that all of the speech has words, decode again what has too few, drop what nobody said.  Memory
stays the same for three minutes and three hours.

Each batch is computed in a turn of its own, so that a chat model beside can go on in between.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from agentkit import machine
from agentkit.audio import coverage, hallucination, passes, segments
from agentkit.audio.decode import SAMPLE_RATE, Recording, open_recording
from agentkit.audio.hallucination import Piece
from agentkit.audio.languages import LANGUAGES, language_code
from agentkit.audio.windows import Region, Window, pack, windows
from agentkit.cancel import CancelToken
from agentkit.compute import Compute
from agentkit.errors import ModelDamaged, NotEnoughMemory
from agentkit.ports import Heard, Progress, no_progress, nothing_heard
from agentkit.transcript import Transcript, Word

MOST_THREADS = 8
"""More threads do not help Whisper, or slow it down."""

BATCH = {"cpu": 4, "cuda": 16}
"""Stretches in one batch.  On a CPU 8 are hardly faster, and a cancel has to wait longer."""

LANGUAGE_SECONDS = 90
SURE_OF_LANGUAGE = 0.5

Device = Literal["auto", "cpu", "cuda"]

log = logging.getLogger(__name__)


class WhisperTranscriber:
    """Loads its model when first used.  May be called from any thread."""

    def __init__(
        self,
        path: Path,
        name: str,
        *,
        threads: int | None = None,
        device: Device = "auto",
        compute: Compute | None = None,
    ) -> None:
        self._path = path
        self._name = name
        self._threads = threads or min(machine.physical_cores(), MOST_THREADS)
        self._device: Device = device
        self._compute = compute or Compute()
        self._loading = threading.Lock()
        self._model: Any = None

    @property
    def name(self) -> str:
        """The name under which settings know the model."""
        return self._name

    def transcribe(
        self,
        audio: Path,
        *,
        language: str | None = None,
        progress: Progress = no_progress,
        heard: Heard = nothing_heard,
        cancel: CancelToken | None = None,
    ) -> Transcript:
        """Write down what is said in a file; see `agentkit.ports.Transcriber`.

        Raises `BadAudio`, `UserError` for a language that the model does not know, `Cancelled`
        within one batch, `ModelDamaged` or `NotEnoughMemory` if the model cannot be loaded.
        """
        cancel = cancel or CancelToken()
        cancel.check()
        language_code(language, self._name, set(LANGUAGES))  # told before anything is opened
        with open_recording(audio) as recording:
            model = self._loaded()
            code = language_code(language, self._name, set(model.supported_languages))
            listening = _Listening(
                model, self._name, code, recording, progress, heard, cancel, self._compute
            )
            return listening.transcript()

    def close(self) -> None:
        """Give memory back.  The model is loaded again if it is used again."""
        with self._loading:
            self._model = None

    def _loaded(self) -> Any:
        with self._loading:
            if self._model is None:
                self._model = _load(self._path, self._name, self._threads, self._device)
            return self._model


def _load(path: Path, name: str, threads: int, device: Device) -> Any:
    import ctranslate2
    from faster_whisper import WhisperModel

    for needed in ("model.bin", "tokenizer.json", "config.json"):
        if not (path / needed).is_file():
            raise ModelDamaged(name, f"{path} has no {needed}")
    if device == "auto":
        device = "cuda" if ctranslate2.get_cuda_device_count() > 0 else "cpu"
    try:
        return WhisperModel(
            str(path),
            device=device,
            compute_type="float16" if device == "cuda" else "int8",
            cpu_threads=threads,
            local_files_only=True,
        )
    except MemoryError:
        raise _too_big(path, name) from None
    except (RuntimeError, ValueError, OSError) as error:
        if "memory" in str(error).lower() or "bad_alloc" in str(error):
            raise _too_big(path, name) from None
        raise ModelDamaged(name, f"cannot be loaded: {error}") from error


def _too_big(path: Path, name: str) -> NotEnoughMemory:
    size = (path / "model.bin").stat().st_size
    return NotEnoughMemory(
        f"{name} does not fit into memory: its weights alone are {size / 1e6:.0f} MB",
        hint="close other programs, or choose a smaller model: agentkit models list",
    )


class _Listening:
    """The work on one recording."""

    def __init__(
        self,
        model: Any,
        name: str,
        language: str | None,
        recording: Recording,
        progress: Progress,
        heard: Heard,
        cancel: CancelToken,
        compute: Compute,
    ) -> None:
        self._model = model
        self._name = name
        self._language = language
        self._recording = recording
        self._progress = progress
        self._heard = heard
        self._cancel = cancel
        self._compute = compute
        self._regions: list[Region] = []
        self._words: list[Word] = []
        self._rates: list[float] = []
        self._warnings: list[str] = []

    def transcript(self) -> Transcript:
        for window in windows(self._blocks()):
            self._cancel.check()
            if window.regions:
                self._window(window)
            self._report(window.end)
        self._report(self._recording.position, final=True)
        missed = coverage.uncovered(self._regions, self._words)
        speech = sum(region.duration for region in self._regions)
        warnings = (*self._recording.warnings, *self._warnings)
        if missed and self._words:
            warnings += (_unclear(missed),)
        return Transcript(
            segments=segments.segments(self._words),
            language=self._language if self._words else None,
            duration=round(self._recording.position, 3),
            speech_seconds=round(speech, 3),
            covered_seconds=round(speech - sum(gap.duration for gap in missed), 3),
            model=self._name,
            warnings=warnings,
        )

    def _blocks(self) -> Iterator[np.ndarray[Any, np.dtype[np.float32]]]:
        for block in self._recording.blocks():
            self._cancel.check()
            yield block

    def _report(self, done: float, *, final: bool = False) -> None:
        total = self._recording.position if final else self._recording.claimed
        self._progress(done, None if total is None else max(total, done), "s")

    def _window(self, window: Window) -> None:
        language = self._language or self._detect_language(window)
        self._language = language
        pieces = self._fast(window, language)
        words = self._kept(pieces, window.regions)
        self._rates += coverage.rates(window.regions, words)
        doubtful = coverage.thin(window.regions, words, self._rates)
        doubtful += [one for one in _looping(pieces, window.regions) if one not in doubtful]
        doubtful.sort(key=lambda region: region.start)
        for stretch in pack(doubtful, passes.LONGEST_STRETCH_SECONDS, 0.0):
            words = self._again(window, stretch, language, words)
        tidied = segments.tidy(words, window.regions)
        if text := "".join(word.text for word in tidied):
            self._heard(text if self._words else text.lstrip())
        self._words += tidied
        self._regions += window.regions

    def _detect_language(self, window: Window) -> str:
        if not self._model.model.is_multilingual:
            return "en"
        speech = np.concatenate([window.cut(region) for region in window.regions])
        with self._compute.turn():
            code, probability, _ = self._model.detect_language(
                speech[: LANGUAGE_SECONDS * SAMPLE_RATE],
                language_detection_segments=LANGUAGE_SECONDS // 30,
                language_detection_threshold=SURE_OF_LANGUAGE,
            )
        if probability < SURE_OF_LANGUAGE:
            self._warnings.append(
                f"the language is a guess: {LANGUAGES.get(code, code)} ({probability:.0%} sure); "
                "name it if that is wrong (--language)"
            )
        return str(code)

    def _fast(self, window: Window, language: str) -> list[Piece]:
        stretches = pack(
            window.regions, passes.LONGEST_STRETCH_SECONDS, passes.WIDEST_PAUSE_SECONDS
        )
        size = BATCH[self._model.model.device]
        pieces: list[Piece] = []
        for first in range(0, len(stretches), size):
            self._cancel.check()
            batch = stretches[first : first + size]
            with self._compute.turn():
                pieces += passes.fast(self._model, window, batch, language)
            self._report(batch[-1].end)
        return pieces

    def _again(
        self, window: Window, stretch: Region, language: str, words: Sequence[Word]
    ) -> list[Word]:
        """The words of a window with one stretch decoded again, if that gave more."""
        pieces: list[Piece] = []
        found = passes.accurate(self._model, window, stretch, language)
        while True:
            self._cancel.check()
            with self._compute.turn():  # the next piece is computed when it is asked for
                piece = next(found, None)
            if piece is None:
                break
            pieces.append(piece)
        new = self._kept(pieces, window.regions)
        old = coverage.words_in(stretch, words)
        if hallucination.loops(_text(old)):
            old = list(hallucination.unloop(old))
        if hallucination.loops(_text(new)):
            new = list(hallucination.unloop(new))
        best = new if len(_text(new)) > len(_text(old)) else old
        log.info(
            "%s: decoded %s to %s again: %d words became %d",
            self._recording.path.name, _clock(stretch.start), _clock(stretch.end),
            len(old), len(best),
        )  # fmt: skip
        others = [word for word in words if not coverage.lies_in(stretch, word)]
        return sorted([*others, *best], key=lambda word: word.start)

    def _kept(self, pieces: Sequence[Piece], speech: Sequence[Region]) -> list[Word]:
        kept: list[Word] = []
        for piece in pieces:
            reason = hallucination.why_unspoken(piece, speech)
            if reason is None:
                kept += piece.words
            else:
                self._dropped(piece, reason)
        return kept

    def _dropped(self, piece: Piece, reason: str) -> None:
        note = f"left out at {_clock(piece.start)}: {piece.text!r} ({reason})"
        if note not in self._warnings:
            log.info("%s: %s", self._recording.path.name, note)
            self._warnings.append(note)


def _text(words: Sequence[Word]) -> str:
    return "".join(word.text for word in words).strip()


def _looping(pieces: Sequence[Piece], regions: Sequence[Region]) -> list[Region]:
    """The regions under pieces that repeat themselves, or that repeat the two before them."""
    texts = [hallucination.plain(piece.text) for piece in pieces]
    looping = [
        piece
        for at, piece in enumerate(pieces)
        if hallucination.loops(piece.text) or (at >= 2 and len(set(texts[at - 2 : at + 1])) == 1)
    ]
    return [
        region
        for region in regions
        if any(piece.start < region.end and region.start < piece.end for piece in looping)
    ]


def _unclear(missed: Sequence[Region]) -> str:
    places = ", ".join(f"{_clock(gap.start)}-{_clock(gap.end)}" for gap in missed[:10])
    more = f" and {len(missed) - 10} more" if len(missed) > 10 else ""
    seconds = sum(gap.duration for gap in missed)
    return f"{seconds:.0f} s sound like speech but gave no words: {places}{more}"


def _clock(seconds: float) -> str:
    whole = int(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return (f"{hours}:{minutes:02}" if hours else f"{minutes}") + f":{whole % 60:02}"
