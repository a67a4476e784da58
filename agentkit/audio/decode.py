"""Any file with sound in it, as blocks of samples: one channel, 16 kHz, in bounded memory.

Packets are decoded one at a time, so a damaged spot costs that spot and not the rest of the
recording, and what was lost is said: bad packets are counted, and the decoded length is compared
with the length that the file claims to have.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from agentkit.audio.mixdown import Mixdown, Samples
from agentkit.errors import BadAudio

if TYPE_CHECKING:
    import av

SAMPLE_RATE = 16_000
"""What Whisper and the voice detector listen to, in samples per second."""

BLOCK_SECONDS = 10.0

RESTARTS = 10
"""How often in a row reading is tried again where the container format itself is damaged."""

HOLE_SECONDS = 0.2
"""A jump of the clock in the file by more than this is filled with silence, so that times stay
right: sound that starts later than the picture, pauses that were not recorded, damaged spots."""

STATES_ITS_LENGTH = ("mov", "matroska", "mp3", "flac", "ogg", "wav", "w64", "aiff", "caf", "asf",
                     "avi", "au")  # fmt: skip
"""Formats whose stated length can be believed.  Raw AAC, for one, says 1635 s for 174 s."""

UNKNOWN_SIZES = (0, 0xFFFFFFFF, 0x7FFFFFFF)
"""What a WAV header holds where the length was not known when recording began."""

CONVERT = "convert it to WAV, FLAC, MP3, M4A or Ogg, or export it again from where it came"
COPY_AGAIN = "copy or export the file again from where it was recorded"


class Recording:
    """An open file.  `blocks` may be read once; afterwards `position` and `warnings` are final."""

    def __init__(self, path: Path, container: av.container.InputContainer) -> None:
        self.path = path
        self.bad_packets = 0
        """Pieces of the file that could not be decoded."""
        self._emitted = 0
        self._filled = 0
        self._packets = 0
        self._container = container
        self._stream = container.streams.audio[0]
        self._mixdown = Mixdown()
        self._resampler: Any = None
        self._shape: tuple[str, str, int] | None = None
        self.claimed = _claimed_seconds(path, container)
        """The length that the file says it has, or None where it does not say so reliably."""

    def blocks(self) -> Iterator[Samples]:
        """The samples, about ten seconds at a time.

        Raises `BadAudio` at the end if there was no sound at all.
        """
        pending: list[Samples] = []
        held = 0
        for planes in self._planes():
            pending.append(planes)
            held += planes.shape[1]
            if held >= BLOCK_SECONDS * SAMPLE_RATE:
                yield from self._mixed(pending)
                pending, held = [], 0
        yield from self._mixed(pending)
        if self._emitted == 0:
            raise BadAudio(self.path, self._why_silent(), hint=COPY_AGAIN)

    @property
    def position(self) -> float:
        """How far reading has come, in seconds."""
        return self._emitted / SAMPLE_RATE

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the transcript should know about the file."""
        found = []
        if self.bad_packets:
            pieces = "piece" if self.bad_packets == 1 else "pieces"
            found.append(
                f"{self.path.name} is damaged: {self.bad_packets} {pieces} could not be decoded"
            )
        read = self.position - (self._filled / SAMPLE_RATE if self.bad_packets else 0.0)
        missing = (self.claimed or 0.0) - read
        if self.claimed and missing > max(0.5, 0.002 * self.claimed):
            found.append(
                f"{self.path.name}: the file says {self.claimed:.0f} s, "
                f"{read:.0f} s could be read ({missing:.0f} s are missing)"
            )
        return tuple(found)

    def _mixed(self, planes: list[Samples]) -> Iterator[Samples]:
        """Join pieces of equal channel count and mix each run down to one channel."""
        while planes:
            channels = planes[0].shape[0]
            same = 0
            while same < len(planes) and planes[same].shape[0] == channels:
                same += 1
            mono = self._mixdown(np.concatenate(planes[:same], axis=1))
            planes = planes[same:]
            yield np.clip(np.nan_to_num(mono), -1.0, 1.0).astype(np.float32, copy=False)

    def _planes(self) -> Iterator[Samples]:
        """Everything at 16 kHz with its channels apart."""
        for frame in self._frames():
            while hole := self._hole_before(frame):
                self._filled += hole
                self._emitted += hole
                yield np.zeros((frame.layout.nb_channels, hole), np.float32)
            yield from self._counted(self._resampled(frame))
        yield from self._counted(self._resampled(None))

    def _counted(self, pieces: Iterable[Samples]) -> Iterator[Samples]:
        for planes in pieces:
            self._emitted += planes.shape[1]
            yield planes

    def _hole_before(self, frame: Any) -> int:
        """How many samples the clock of the file is ahead of what was read, up to a block."""
        if frame.time is None or self.claimed is None:
            return 0
        at = frame.time - (self._container.start_time or 0) / 1_000_000
        hole = float(at) - self.position
        if hole <= HOLE_SECONDS or at > self.claimed + 1:
            return 0
        return round(min(hole, BLOCK_SECONDS) * SAMPLE_RATE)

    def _frames(self) -> Iterator[Any]:
        from av.error import FFmpegError

        for packet in self._demuxed():
            self._packets += 1
            try:
                frames = packet.decode()
            except (FFmpegError, ValueError):
                self.bad_packets += 1
                continue
            yield from frames

    def _demuxed(self) -> Iterator[Any]:
        """All packets; goes on behind a spot where the container itself is damaged."""
        from av.error import EOFError as EndOfFile
        from av.error import FFmpegError

        failures = 0
        while failures < RESTARTS:
            try:
                for packet in self._container.demux(self._stream):
                    failures = 0
                    yield packet
            except EndOfFile:
                return
            except (FFmpegError, OSError):
                self.bad_packets += 1
                failures += 1
            else:
                return

    def _resampled(self, frame: Any) -> Iterator[Samples]:
        """One frame at 16 kHz with its channels apart; None asks for what is still held back."""
        from av import AudioResampler

        if frame is not None:
            frame.pts = None  # the resampler would insist on a clock without jumps
            shape = (frame.format.name, frame.layout.name, frame.sample_rate)
            if shape != self._shape:
                yield from self._resampled(None)
                self._shape = shape
                self._resampler = AudioResampler("flt", frame.layout, SAMPLE_RATE)
        if self._resampler is None:
            return
        for piece in self._resampler.resample(frame):
            # Packed, since PyAV 18 crashes on the planes of eight channels without a named layout.
            yield piece.to_ndarray().reshape(-1, piece.layout.nb_channels).T
        if frame is None:
            self._resampler = None

    def _why_silent(self) -> str:
        if self.bad_packets:
            return f"none of its {self._packets} pieces of sound could be decoded; it is damaged"
        return "has a header, but no sound behind it"


@contextmanager
def open_recording(path: Path) -> Iterator[Recording]:
    """Open a sound or video file.  Raises `BadAudio` for anything that has no sound in it."""
    import av

    _check_file(path)
    try:
        container = av.open(
            f"file:{path}",  # without this, ffmpeg takes `12:30 talk.wav` for a network protocol
            mode="r",
            metadata_errors="ignore",
            options={"protocol_whitelist": "file"},  # a playlist must not reach out from here
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise BadAudio(path, _why_unreadable(path, error), hint=CONVERT) from None
    with container:
        if not container.streams.audio:
            kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            raise BadAudio(
                path,
                f"has no sound in it (it holds: {kinds})",
                hint="choose the file that has the sound track",
            )
        if container.streams.audio[0].codec_context is None:
            raise BadAudio(path, "its sound is coded in a way unknown here", hint=CONVERT)
        yield Recording(path, container)


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise BadAudio(path, "is a folder, not a recording", hint=f"name its files: {path}/*")
    if not path.exists():
        raise BadAudio(path, "there is no such file", hint="check the name and the folder")
    if not path.is_file():
        raise BadAudio(path, "is not an ordinary file", hint="save the recording to a file first")
    try:
        if path.stat().st_size == 0:
            raise BadAudio(path, "is empty (0 bytes)", hint=COPY_AGAIN)
        with path.open("rb"):
            pass
    except PermissionError:
        raise BadAudio(path, "may not be read by you", hint=f"chmod u+r {path}") from None
    except OSError as error:
        raise BadAudio(path, f"cannot be read: {error.strerror}", hint=COPY_AGAIN) from None


def _why_unreadable(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        start = file.read(512)
    try:
        looks_like_text = start.decode("utf-8", "strict").isprintable() or b"\n" in start
    except UnicodeDecodeError:
        looks_like_text = False
    if looks_like_text and b"\0" not in start:
        return "holds text, not sound"
    detail = getattr(error, "strerror", None) or type(error).__name__
    return f"is not a sound or video file that can be read ({detail[0].lower()}{detail[1:]})"


def _claimed_seconds(path: Path, container: Any) -> float | None:
    names = container.format.name.split(",")
    if names[0] == "wav":
        with path.open("rb") as file:
            return riff_seconds(file)
    if not any(name in STATES_ITS_LENGTH for name in names):
        return None
    stream = container.streams.audio[0]
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is not None and len(container.streams) == 1:
        return float(container.duration) / 1_000_000
    return None


def riff_seconds(file: BinaryIO) -> float | None:
    """The length that the header of a WAV file claims; decoders only look at the file's size."""
    if file.read(12)[0:4] not in (b"RIFF", b"RF64"):
        return None
    bytes_per_second = 0
    long_size = None
    while len(header := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", header)
        if name == b"data":
            size = long_size or size
            known = size not in UNKNOWN_SIZES and bytes_per_second > 0
            return size / bytes_per_second if known else None
        body = file.read(min(size, 64))
        if name == b"fmt " and len(body) >= 12:
            bytes_per_second = int(struct.unpack("<I", body[8:12])[0])
        if name == b"ds64" and len(body) >= 16:
            long_size = int(struct.unpack("<Q", body[8:16])[0])
        file.seek(size + size % 2 - len(body), 1)
    return None
