"""What arrives, unpacked piece by piece: the parts that need no server."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.network.body import Body, Damaged, TooLarge


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACKERS: dict[str, list[Callable[[bytes], bytes]]] = {
    "": [bytes],
    "gzip": [gzip.compress],
    "deflate": [zlib.compress, raw_deflate],
}


def unpacked(body: Body, data: bytes, size: int) -> bytes:
    """What becomes of data that arrives in pieces."""
    for start in range(0, len(data), size):
        body.add(data[start : start + size])
    return body.whole()


@given(
    st.sampled_from([(name, pack) for name, packers in PACKERS.items() for pack in packers]),
    st.binary(max_size=200),
    st.integers(1, 250),
    st.integers(-2, 2),
)
def test_a_body_is_whole_or_too_large(
    packing: tuple[str, Callable[[bytes], bytes]], data: bytes, size: int, room: int
) -> None:
    name, pack = packing
    packed = pack(data)
    limit = max(0, max(len(data), len(packed)) + room)
    body = Body(name, limit)

    if len(data) > limit or len(packed) > limit:
        with pytest.raises(TooLarge):
            unpacked(body, packed, size)
    else:
        assert unpacked(body, packed, size) == data


@given(st.sampled_from(["gzip", "deflate"]), st.binary(max_size=100), st.integers(1, 9))
def test_bytes_that_mean_nothing_do_no_harm(encoding: str, data: bytes, size: int) -> None:
    with suppress(Damaged, TooLarge):
        unpacked(Body(encoding, 10_000), data, size)


def test_nothing_is_unpacked_beyond_the_limit() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    body = Body("gzip", 100_000)

    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            body.add(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 1_000_000


def test_an_empty_body_may_say_that_it_is_packed() -> None:
    assert Body("gzip", 10).whole() == b""
