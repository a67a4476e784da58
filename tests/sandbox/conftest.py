"""The sandbox in the hands of root and of an ordinary user; of both if root runs the tests."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from .runner import Runner, running, survivors, users


@pytest.fixture(scope="session", params=users())
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    with running(request.param) as made:
        yield made


@pytest.fixture
def mark() -> Iterator[str]:
    """A word for the command line; afterwards no process has it."""
    made = f"mark-{secrets.token_hex(8)}"
    yield made
    assert survivors(made) == []
