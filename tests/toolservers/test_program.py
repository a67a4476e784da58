"""A server that is a child process: what it gets, and that it is gone afterwards."""

from __future__ import annotations

import json
import os
import select
from pathlib import Path

import pytest

from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, MachineError, ToolRetry

from .conftest import Start, children


def test_its_environment_is_what_settings_say_and_nothing_else(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("SECRET", "hidden")
    monkeypatch.setenv("MY_KEY", "key")
    server = start("environment", environment={"PLACE": "here"}, pass_environment=["MY_KEY"])

    told = json.loads(server.call("tell", {}, None))

    assert told.pop("LC_CTYPE", "") in ("", "C.UTF-8")  # Python's own doing
    assert set(told) == {"PATH", "HOME", "LANG", "PLACE", "MY_KEY"}
    assert (told["PLACE"], told["MY_KEY"]) == ("here", "key")


def test_a_variable_that_is_not_there_is_named_before_anything_starts(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    before = children()
    with pytest.raises(MachineError, match="the variable MY_KEY that it needs is not set"):
        start("environment", pass_environment=["MY_KEY"]).tools()
    assert children() == before


def test_it_is_started_when_it_is_asked_and_once(start: Start, tmp_path: Path) -> None:
    lives = tmp_path / "lives"
    server = start("dies", environment={"LIVES": str(lives)})
    assert not lives.exists()
    server.tools()
    server.call("live", {}, None)
    assert lives.read_text() == "x"


def test_one_that_does_not_want_to_end_is_killed_with_its_children(
    start: Start, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    server = start("stubborn", environment={"PIDS": str(pids)})
    assert server.call("stay", {}, None) == "still"
    both = [os.pidfd_open(int(pid)) for pid in pids.read_text().split()]
    assert [_ends(process, within=0) for process in both] == [False, False]

    server.close()

    assert [_ends(process, within=10) for process in both] == [True, True]
    for process in both:
        os.close(process)


def test_a_start_can_be_cancelled(start: Start) -> None:
    cancel = CancelToken()
    cancel.cancel("never mind")
    with pytest.raises(Cancelled, match="never mind"):
        start("hangs").call("anything", {}, cancel)


def test_arguments_that_are_no_json_are_not_sent(start: Start) -> None:
    server = start("nonsense")
    for bad in ({"a": "\ud800"}, {"a": float("nan")}, {"a": {1, 2}}):
        with pytest.raises(ToolRetry, match="cannot be sent as JSON"):
            server.call("speak", bad, None)
    assert server.call("speak", {}, None) == "sense"


def _ends(process: int, *, within: float) -> bool:
    """Whether a process runs no more, or will not in so many seconds."""
    return bool(select.select([process], [], [], within)[0])
