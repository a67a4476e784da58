"""How often something may happen, for each of many who do it: token buckets by name."""

from __future__ import annotations

BURST = 2.0
"""Seconds' worth that may come at once."""
KNOWN = 10_000
"""Names whose pace is remembered."""


class Bucket:
    """A token bucket: `rate` a second on average, and what was saved up at once."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._most = max(1.0, rate * BURST)
        self._left = self._most
        self._seen = now

    def take(self, now: float) -> float:
        """0 if there was one; otherwise the seconds until there will be."""
        self._left = min(self._most, self._left + (now - self._seen) * self._rate)
        self._seen = now
        if self._left < 1:
            return (1 - self._left) / self._rate
        self._left -= 1
        return 0.0


class Pace:
    """A bucket for each name, of at most `KNOWN`."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._buckets: dict[str, Bucket] = {}

    def take(self, name: str, now: float) -> float:
        """See `Bucket.take`."""
        if name not in self._buckets:
            if len(self._buckets) >= KNOWN:
                self._buckets.clear()
            self._buckets[name] = Bucket(self._rate, now)
        return self._buckets[name].take(now)
