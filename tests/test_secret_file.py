"""A secret in a file is made once, kept, and a secret."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agentkit.errors import MachineError, UserError
from agentkit.secret_file import secret_in


def test_it_is_made_at_the_first_start_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "new" / "home" / "token"
    secret = secret_in(file)
    assert len(secret) >= 43
    assert file.stat().st_mode & 0o777 == 0o600
    assert secret_in(file) == secret
    assert list(file.parent.iterdir()) == [file]


def test_two_homes_have_two(tmp_path: Path) -> None:
    assert secret_in(tmp_path / "a") != secret_in(tmp_path / "b")


def test_starts_at_the_same_time_agree(tmp_path: Path) -> None:
    together, found = threading.Barrier(8), []

    def start() -> None:
        together.wait(10)
        found.append(secret_in(tmp_path / "token"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 8
    assert len(set(found)) == 1


def test_one_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    secret_in(file)
    file.chmod(0o640)
    with pytest.raises(UserError, match="may be read by others") as caught:
        secret_in(file)
    assert caught.value.hint == f"make a new one: rm {file}, and start again"


@pytest.mark.parametrize("text", ["", "short", "x" * 31, "with a blank " * 5, "ü" * 40])
def test_a_file_with_something_else_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    secret_in(file)
    file.write_text(text)
    with pytest.raises(UserError, match="holds no token of 32 characters or more"):
        secret_in(file)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("x" * 40)
    target.chmod(0o600)
    (tmp_path / "token").symlink_to(target)
    with pytest.raises(MachineError, match="token cannot be used"):
        secret_in(tmp_path / "token")
