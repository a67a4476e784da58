"""When this process is in a cluster, and what happens to it and to what it holds without a head.

Ray is a stand-in that counts: the real one would look for its token when it is imported.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from agentkit.cancel import CancelToken
from agentkit.cluster import membership
from agentkit.cluster.membership import Membership
from agentkit.errors import Cancelled, MachineError


class Ray(ModuleType):
    """In a cluster, or not."""

    def __init__(self) -> None:
        super().__init__("ray")
        self.joined: list[str] = []
        self.left = 0

    def is_initialized(self) -> bool:
        return len(self.joined) > self.left

    def init(self, address: str, **how: Any) -> None:
        self.joined.append(address)

    def shutdown(self) -> None:
        self.left += 1


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    stand_in = Ray()
    monkeypatch.setitem(sys.modules, "ray", stand_in)
    for name in (
        "USAGE_STATS_ENABLED",
        "ENABLE_AUTO_CONNECT",
        "gcs_rpc_server_reconnect_timeout_s",
    ):
        monkeypatch.setenv(f"RAY_{name}", "0")  # so that they are what they were afterwards
    return stand_in


@pytest.fixture
def head() -> Iterator[socket.socket]:
    """It listens."""
    with socket.create_server(("127.0.0.1", 0)) as one:
        yield one


class Holder:
    """What somebody holds in the cluster."""

    def __init__(self, head: socket.socket) -> None:
        self.seats = ["a seat"]
        self.lock = threading.Lock()
        self.address = f"127.0.0.1:{head.getsockname()[1]}"
        self.cluster = Membership(self.address, self.lock, self.forget)

    def forget(self) -> None:
        assert self.lock.locked(), "somebody could take a seat that is gone"
        self.seats.clear()

    def idle(self) -> bool:
        assert self.lock.locked(), "somebody could take a seat, and nobody would be in"
        return not self.seats


def test_it_stays_while_somebody_is_inside_or_holds_something(
    ray: Ray, head: socket.socket
) -> None:
    holder, token = Holder(head), CancelToken()
    holder.cluster.enter(token)
    holder.cluster.enter(token)
    assert ray.joined == [holder.address]

    holder.cluster.exit()
    holder.cluster.leave_if(lambda: True)
    assert ray.is_initialized(), "one is inside"
    holder.cluster.exit()
    holder.cluster.leave_if(holder.idle)
    assert ray.is_initialized(), "one seat is held"
    holder.seats.clear()
    holder.cluster.leave_if(holder.idle)
    holder.cluster.leave_if(holder.idle)
    holder.cluster.end()
    assert ray.left == 1


def test_a_head_that_falls_silent_takes_what_is_held_with_it_and_is_joined_anew(
    ray: Ray, head: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "JOINED", 0.3)
    holder, token, never = Holder(head), CancelToken(), threading.Event()
    holder.cluster.enter(token)
    with pytest.raises(MachineError, match="does not answer any more"):
        holder.cluster.ask(never.wait, token)
    assert (holder.seats, ray.left) == ([], 1)

    holder.cluster.enter(token)  # another step, while the first one has not noticed yet
    assert ray.joined == [holder.address] * 2
    holder.cluster.exit()
    holder.cluster.leave_if(holder.idle)
    assert ray.left == 1, "one is inside"
    never.set()


def test_a_head_that_is_not_there_takes_what_is_held_with_it(ray: Ray, head: socket.socket) -> None:
    holder, token = Holder(head), CancelToken()
    holder.cluster.enter(token)
    head.close()
    with pytest.raises(MachineError, match="no cluster at"):
        holder.cluster.enter(token)
    assert (holder.seats, ray.left) == ([], 1)
    holder.cluster.exit()
    with pytest.raises(MachineError, match="no cluster at"):
        holder.cluster.enter(token)
    assert ray.left == 1, "it is left once"


def test_a_question_may_fail_and_be_cancelled(ray: Ray, head: socket.socket) -> None:
    holder, token, never = Holder(head), CancelToken(), threading.Event()

    def unknown() -> None:
        raise ValueError("no such actor")

    with pytest.raises(ValueError, match="no such actor"):
        holder.cluster.ask(unknown, token)
    token.cancel()
    with pytest.raises(Cancelled):
        holder.cluster.ask(never.wait, token)
    assert holder.seats, "its head is there"
    never.set()
