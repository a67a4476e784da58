"""What a caller holds while answers are written: an iterator over the deltas of one request."""

from __future__ import annotations

import queue

from agentkit.cancel import CancelToken
from agentkit.errors import AgentkitError
from agentkit.messages import Delta


class Stream:
    """Iterate once, from any thread.  Whoever closes or drops it cancels the request."""

    def __init__(self, samples: int) -> None:
        self._arrived: queue.SimpleQueue[Delta | AgentkitError | None] = queue.SimpleQueue()
        self._missing = samples
        self.abandoned = CancelToken()

    @property
    def deliver(self) -> queue.SimpleQueue[Delta | AgentkitError | None]:
        """Where the engine puts deltas; it must not hold on to the stream itself."""
        return self._arrived

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Delta:
        if not self._missing:
            raise StopIteration
        arrived = self._arrived.get()
        if arrived is None:  # closed by another thread
            self._missing = 0
            raise StopIteration
        if isinstance(arrived, AgentkitError):
            self.close()
            raise arrived
        if arrived.completion is not None:
            self._missing -= 1
        return arrived

    def close(self) -> None:
        """Cancel what is still being written.  Idempotent."""
        self._missing = 0
        self.abandoned.cancel()
        self._arrived.put(None)

    def __del__(self) -> None:
        self.abandoned.cancel()
