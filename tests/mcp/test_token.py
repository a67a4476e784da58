"""The token is made once, kept, and a secret."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agentkit.errors import MachineError, UserError
from agentkit.mcp.token import token_in


def test_it_is_made_at_the_first_start_and_kept(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    token, file = token_in(home)
    assert len(token) >= 43
    assert file == home / "mcp-token"
    assert file.stat().st_mode & 0o777 == 0o600
    assert token_in(home) == (token, file)
    assert list(home.iterdir()) == [file]


def test_two_homes_have_two(tmp_path: Path) -> None:
    assert token_in(tmp_path / "a")[0] != token_in(tmp_path / "b")[0]


def test_starts_at_the_same_time_agree(tmp_path: Path) -> None:
    together, found = threading.Barrier(8), []

    def start() -> None:
        together.wait(10)
        found.append(token_in(tmp_path)[0])

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 8
    assert len(set(found)) == 1


def test_one_that_others_may_read_is_refused(tmp_path: Path) -> None:
    _, file = token_in(tmp_path)
    file.chmod(0o640)
    with pytest.raises(UserError, match="may be read by others") as caught:
        token_in(tmp_path)
    assert caught.value.hint == f"make a new one: rm {file}, and start again"


@pytest.mark.parametrize("text", ["", "short", "x" * 31, "with a blank " * 5, "ü" * 40])
def test_a_file_with_something_else_is_refused(tmp_path: Path, text: str) -> None:
    _, file = token_in(tmp_path)
    file.write_text(text)
    with pytest.raises(UserError, match="holds no token of 32 characters or more"):
        token_in(tmp_path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("x" * 40)
    target.chmod(0o600)
    (tmp_path / "mcp-token").symlink_to(target)
    with pytest.raises(MachineError, match="mcp-token cannot be used"):
        token_in(tmp_path)
