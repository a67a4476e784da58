"""Whether a request was meant for us where the port is left out; the gates have more tests."""

from __future__ import annotations

import pytest

from agentkit.visits import Door


def refused(door: Door, host: str, origin: str | None = None) -> int:
    headers = [(b"host", host.encode())]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    return (door.refusal(headers) or (0,))[0]


@pytest.mark.parametrize(
    ("door", "host", "status"),
    [
        (Door(8374), "localhost", 421),
        (Door(80), "localhost", 0),
        (Door(8374, ["box.example"]), "box.example", 0),
        (Door(8374, ["box.example"]), "localhost", 421),
        (Door(8374, ["box.example"]), "box.example:1", 421),
        (Door(8374, addresses=True), "192.168.1.7", 421),
    ],
)
def test_the_port_may_be_missing_where_clients_or_a_proxy_leave_it_out(
    door: Door, host: str, status: int
) -> None:
    assert refused(door, host) == status


def test_a_page_of_another_program_of_this_machine_is_no_page_of_ours() -> None:
    assert refused(Door(8374), "localhost:8374", "http://localhost") == 403
    assert refused(Door(8374), "localhost:8374", "http://localhost:3000") == 403
