"""The internet on loopback, and a browser in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .internet import Internet


@pytest.fixture
def internet() -> Iterator[Internet]:
    made = Internet()
    yield made
    made.close()


@pytest.fixture
def secure() -> Iterator[Internet]:
    """The same with TLS, as `secure.example`."""
    made = Internet(secure=True)
    yield made
    made.close()
