"""Server-sent events out of bytes, as the HTML standard parses them, with a bound.

Comments (which servers send as a sign of life), fields that nobody asked for and lines that are
none are passed over; lines may end with LF, CRLF or CR.
"""

from __future__ import annotations

from agentkit.errors import ModelError

MAX_EVENT_BYTES = 4 << 20
"""Far more than an event has; a line without an end must not fill the memory."""


class EventStream:
    """Push what arrives, get the `data` of the events that are complete with it."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []
        self._held = 0

    def push(self, chunk: bytes) -> list[str]:
        """Raises `ModelError` for an event that is larger than any should be."""
        *lines, self._rest = _lines(self._rest + chunk)
        events = [data for line in lines for data in self._line(line)]
        if len(self._rest) + self._held > MAX_EVENT_BYTES:
            raise ModelError(f"the server sent an event of more than {MAX_EVENT_BYTES} bytes")
        return events

    def end(self) -> list[str]:
        """What the last event had, if the server forgot the empty line after it."""
        return self.push(b"\n\n")

    def _line(self, line: bytes) -> list[str]:
        if not line:
            event, self._data, self._held = self._data, [], 0
            return ["\n".join(event)] if event else []
        field, _, value = line.partition(b":")
        if field == b"data":
            self._held += len(value)
            self._data.append(value.removeprefix(b" ").decode("utf-8", "replace"))
        return []


def _lines(received: bytes) -> list[bytes]:
    """The lines, and what follows the last line end; a CR at the very end may be half of one."""
    held = received.endswith(b"\r")
    whole = received[:-1] if held else received
    lines = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return [*lines[:-1], lines[-1] + b"\r"] if held else lines
