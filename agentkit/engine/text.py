"""Token bytes to text that may be shown: whole characters only, and never part of a stop string."""

from __future__ import annotations

import codecs


class Characters:
    """Feed it bytes, get the characters that are complete; half a one is held back."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, raw: bytes) -> str:
        """The text that is whole now, maybe none."""
        return self._decoder.decode(raw)


class StopFilter:
    """Feed it text, get what is safe to show.

    A tail that could become a stop string is held back.  When the first stop string is complete,
    `stopped` turns true; nothing from its first character on is ever given out.  The result does
    not depend on how the text was cut into pieces.
    """

    def __init__(self, stops: tuple[str, ...] = ()) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.stopped = False

    def push(self, text: str) -> str:
        """The text that can be given out now, maybe none."""
        return self._release(text, end=False)

    def finish(self) -> str:
        """What was still held back, at the end of the answer."""
        return self._release("", end=True)

    def _release(self, text: str, *, end: bool) -> str:
        if self.stopped:
            return ""
        if not self._stops:
            return text
        self._held += text
        found = [(at + len(stop), at) for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            self.stopped = True
            _, start = min(found)  # the one that was complete first
            out, self._held = self._held[:start], ""
            return out
        keep = 0 if end else self._possible_stop()
        cut = len(self._held) - keep
        out, self._held = self._held[:cut], self._held[cut:]
        return out

    def _possible_stop(self) -> int:
        """Length of the longest tail that is the beginning of a stop string."""
        longest = 0
        for stop in self._stops:
            for length in range(min(len(stop) - 1, len(self._held)), longest, -1):
                if self._held.endswith(stop[:length]):
                    longest = length
                    break
        return longest
