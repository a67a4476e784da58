"""The body of an answer: decompressed piece by piece, and never larger than allowed.

Ten kilobytes can unpack to ten megabytes, and those again, so nothing is unpacked beyond the limit;
what arrives packed is counted, too, because a stream may go on for ever and unpack to nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

ACCEPTED = "gzip, deflate"
"""What we ask for: those that can be unpacked with a bound, by Python itself."""

GZIP_MAGIC = b"\x1f\x8b"


class TooLarge(Exception):
    """More than was allowed."""


class Damaged(Exception):
    """It cannot be unpacked, or is packed in a way that nobody asked for."""


class Body:
    """What has arrived.  Raises `Damaged` for an encoding that is not known."""

    def __init__(self, encoding: str, limit: int) -> None:
        self._limit = limit
        self._arrived = 0
        self._size = 0
        self._pieces: list[bytes] = []
        self._unpack = _unpacker(encoding.strip().lower())

    def add(self, chunk: bytes) -> None:
        """Take the next bytes of the connection.  Raises `TooLarge`, `Damaged`."""
        self._arrived += len(chunk)
        if self._arrived > self._limit:
            raise TooLarge
        if self._unpack is None:
            self._keep(chunk)
        elif chunk:
            try:
                self._unpack(chunk, self._room, self._keep)
            except zlib.error:
                raise Damaged("its compression is damaged") from None

    def whole(self) -> bytes:
        """All of it.  Raises `Damaged` if the packed stream did not end."""
        if self._arrived and self._unpack is not None and not self._unpack.ended:
            raise Damaged("its compression breaks off")
        return b"".join(self._pieces)

    def _room(self) -> int:
        """What may still come, and one byte more: to tell full from too much."""
        return self._limit - self._size + 1

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            raise TooLarge
        self._pieces.append(piece)


class _Packed:
    """gzip, with as many members as there are, or deflate with or without zlib's header."""

    def __init__(self, window_bits: Callable[[bytes], int]) -> None:
        self._window_bits = window_bits
        self._head = b""
        self._stream: zlib._Decompress | None = None

    @property
    def ended(self) -> bool:
        return self._stream is not None and self._stream.eof

    def __call__(
        self, chunk: bytes, room: Callable[[], int], keep: Callable[[bytes], None]
    ) -> None:
        rest, self._head = self._head + chunk, b""
        while rest:
            if self._stream is None or self._stream.eof:
                if len(rest) < 2:
                    self._head = rest
                    return
                if self._stream is not None and not rest.startswith(GZIP_MAGIC):
                    return  # padding behind the end
                self._stream = zlib.decompressobj(self._window_bits(rest))
            keep(self._stream.decompress(rest, room()))
            rest = self._stream.unused_data


def _unpacker(encoding: str) -> _Packed | None:
    if encoding in ("", "identity"):
        return None
    if encoding in ("gzip", "x-gzip"):
        return _Packed(lambda head: 31)
    if encoding == "deflate":
        return _Packed(_deflate)
    raise Damaged(f"it is packed with {encoding[:40]!r}, which nobody asked for")


def _deflate(head: bytes) -> int:
    """The standard means zlib's format, and many servers send what is inside it."""
    has_header = head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0
    return 15 if has_header else -15
