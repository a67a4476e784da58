"""Text that Whisper makes up where nobody speaks, and loops that it falls into.

Only a whole piece is ever dropped, never a phrase inside one: "thank you" in the middle of a
meeting was said by somebody.  Every drop is reported to the caller, with its reason.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from agentkit.audio.windows import Region
from agentkit.transcript import Word

ARTEFACTS = frozenset(
    {
        "amara org", "bell rings", "blank audio", "copyright wdr 2021", "like and subscribe",
        "music", "music playing", "please like and subscribe", "please subscribe",
        "please subscribe to my channel", "silence", "sous titrage st 501",
        "sous titres realises para la communaute d amara org", "subscribe",
        "subtitles by the amara org community", "subtitulos por la comunidad de amara org",
        "subtitulos realizados por la comunidad de amara org", "thank you for watching",
        "thank you for watching this video", "thank you so much for watching",
        "thanks for watching", "thanks for watching and i ll see you next time",
        "transcription by castingwords", "untertitel der amara org community",
        "untertitel im auftrag des zdf fur funk 2017", "we ll be right back",
    }
)  # fmt: skip
"""What subtitles say and people in recordings hardly ever do."""

FILLERS = frozenset(
    {
        "all right", "and", "bye", "bye bye", "goodbye", "hello", "hmm", "i", "i m sorry", "mm",
        "mm hmm", "oh", "okay", "so", "thank you", "thank you very much", "thank you so much",
        "thanks", "the", "the end", "uh", "um", "yeah", "you", "gracias", "merci", "danke",
        "vielen dank", "ご視聴ありがとうございました", "字幕 by 索兰娅",
    }
)  # fmt: skip
"""What people do say: dropped only where Whisper itself was unsure that it heard anything."""

NO_SPEECH_ABOVE = 0.5
LOGPROB_BELOW = -0.5
SHORT_SECONDS = 2.0
SPEECH_SHARE = 0.2
"""A piece with less of its time inside detected speech than this was not spoken."""

LOOP_RATIO = 2.4
"""Text that compresses better than this repeats itself (Whisper's own threshold)."""

LOOP_ROUNDS = 3
LONGEST_PHRASE = 12


@dataclass(frozen=True, slots=True)
class Piece:
    """What one decoding gave for one stretch, with Whisper's own doubts about it.

    The texts of `words` still carry the spaces in front of them.
    """

    start: float
    end: float
    words: tuple[Word, ...]
    no_speech: float
    logprob: float

    @property
    def text(self) -> str:
        """The text as written."""
        return "".join(word.text for word in self.words).strip()


def plain(text: str) -> str:
    """Lower case, letters and digits only, single spaces."""
    return " ".join(re.sub(r"[\W_]+", " ", text.casefold()).split())


def why_unspoken(piece: Piece, speech: Sequence[Region]) -> str | None:
    """The reason to believe that nobody said this, or None."""
    text = plain(piece.text)
    if not text:
        return "nothing but punctuation"
    if _share_in(piece, speech) < SPEECH_SHARE:
        return "nobody speaks there"
    doubtful = piece.no_speech > NO_SPEECH_ABOVE or piece.logprob < LOGPROB_BELOW
    if text in ARTEFACTS and (doubtful or piece.end - piece.start < SHORT_SECONDS):
        return "a phrase that Whisper is known to make up"
    if text in FILLERS and doubtful:
        return "a phrase that Whisper is known to make up, and it was unsure"
    return None


def _share_in(piece: Piece, speech: Sequence[Region]) -> float:
    start, end = piece.words[0].start, piece.words[-1].end
    if end <= start:
        return 1.0 if any(region.start <= start <= region.end for region in speech) else 0.0
    inside = sum(max(0.0, min(end, one.end) - max(start, one.start)) for one in speech)
    return inside / (end - start)


def loops(text: str) -> bool:
    """Whether a text repeats itself more than speech does."""
    raw = text.encode("utf-8")
    return len(raw) > 0 and len(raw) / len(zlib.compress(raw)) > LOOP_RATIO


def unloop(words: Sequence[Word]) -> tuple[Word, ...]:
    """One round instead of many where the same phrase of up to twelve words comes in a row."""
    kept: list[Word] = []
    texts = [plain(word.text) for word in words]
    at = 0
    while at < len(words):
        length, rounds = _loop_at(texts, at)
        kept.extend(words[at : at + length])
        at += length * rounds
    return tuple(kept)


def _loop_at(texts: Sequence[str], at: int) -> tuple[int, int]:
    """Length and number of rounds of the loop that begins at a place; (1, 1) for none."""
    for length in range(1, LONGEST_PHRASE + 1):
        phrase = texts[at : at + length]
        rounds = 1
        while texts[at + rounds * length : at + (rounds + 1) * length] == phrase:
            rounds += 1
        if rounds >= LOOP_ROUNDS:
            return length, rounds
    return 1, 1
