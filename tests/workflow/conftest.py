"""Workflows for the tests, and the way to rewrite the golden messages.

The files in `broken/` are what users write; beside each lies what `agentkit check` says about it.
After a change of wording, run `pytest tests/workflow/test_broken.py --update-golden`, and read the
difference as a user would before committing it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agentkit.cli import cli


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="write the messages of tests/workflow/broken as they are now",
    )


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden", default=False))


@pytest.fixture
def agentkit(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`agentkit(*arguments, folder=...)`: the command line, run in a folder."""

    def run(*arguments: str, folder: Path | None = None) -> Result:
        if folder is not None:
            monkeypatch.chdir(folder)
        return CliRunner().invoke(cli, list(arguments))

    return run
