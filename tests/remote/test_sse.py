"""Events come out of bytes whatever the pieces they arrive in."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import ModelError
from agentkit.remote import sse
from agentkit.remote.sse import EventStream


def events(*chunks: bytes) -> list[str]:
    stream = EventStream()
    return [event for chunk in chunks for event in stream.push(chunk)] + stream.end()


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"data: a\n\ndata:b\n\n", ["a", "b"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", ["a", "b"]),
        (b"data: a\r\rdata: b\r\r", ["a", "b"]),
        (b": ping\n\ndata: a\n\n: ping\n\n", ["a"]),
        (b"event: x\nid: 7\nretry: 10\ndata: a\n\n", ["a"]),
        (b"data: two\ndata: lines\n\n", ["two\nlines"]),
        (b"nonsense\n\ndata: a\n\n", ["a"]),
        (b"data:  a\n\n", [" a"]),
        (b"data: a\n\ndata: the last", ["a", "the last"]),
        (b"\n\n\ndata: a\n\n\n\n", ["a"]),
        ("data: ü🦊\n\n".encode(), ["ü🦊"]),
        (b"data: \xff\n\n", ["\ufffd"]),
        (b"", []),
    ],
)
def test_events_are_read_as_the_standard_says(sent: bytes, expected: list[str]) -> None:
    assert events(sent) == expected
    assert events(*[bytes([byte]) for byte in sent]) == expected


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.lists(st.integers(0, 400)),
)
def test_where_the_bytes_are_cut_changes_nothing(
    told: list[str], line_end: bytes, cuts: list[int]
) -> None:
    sent = b"".join(b"data: " + one.encode() + 2 * line_end for one in told)
    places = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    chunks = [sent[a:b] for a, b in pairwise(places)]
    assert events(*chunks) == told


@pytest.mark.parametrize("piece", [b"data: xxxxxxx", b"data: xxxxxx\n", b"x" * 12])
def test_an_event_without_an_end_is_not_kept_for_ever(
    monkeypatch: pytest.MonkeyPatch, piece: bytes
) -> None:
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 1000)
    with pytest.raises(ModelError, match="more than 1000 bytes"):
        events(*[piece] * 200)
