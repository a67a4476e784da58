"""Machines of a cluster: nodes of Ray on addresses of this one, each with a home of its own."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

RAY = Path(sys.executable).with_name("ray")

READY = "Ray runtime started"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Cluster:
    """A head that computes nothing, and the machines that were added."""

    folder: Path
    environment: Mapping[str, str]
    token: str = field(default_factory=lambda: secrets.token_hex(32))
    port: int = field(default_factory=free_port)
    nodes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"127.0.0.2:{self.port}"

    def start_head(self) -> None:
        """The machine of the coordinator."""
        head = self._start(
            "head", "127.0.0.2", {}, "--head", f"--port={self.port}", "--include-dashboard=false",
            f"--temp-dir={self.folder}",
        )  # fmt: skip
        self.wait(head)

    def add(self, name: str, at: str, home: Path, **resources: float) -> subprocess.Popen[bytes]:
        """A machine that has a home and resources of its own; it comes up by and by.

        One at a time: two that start together may take the same name for their sockets.
        """
        asked = f"--resources={json.dumps(resources)}"
        told = {"AGENTKIT_HOME": str(home)}
        return self._start(name, at, told, asked, f"--address={self.address}")

    def _start(
        self, name: str, at: str, told: Mapping[str, str], *arguments: str
    ) -> subprocess.Popen[bytes]:
        log = self._log(name)
        with log.open("wb") as said:
            node = subprocess.Popen(
                [
                    str(RAY), "start", "--block", f"--node-ip-address={at}", "--num-cpus=0",
                    "--object-store-memory=80000000", "--include-log-monitor=false",
                    "--disable-usage-stats", *arguments,
                ],
                env={**os.environ, **self.environment, **self.secret, **told},
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        self.nodes[name] = node
        return node

    def wait(self, node: subprocess.Popen[bytes]) -> None:
        """Until it is there."""
        (name,) = [name for name, one in self.nodes.items() if one is node]
        until = time.monotonic() + 60
        while READY not in self._log(name).read_text():
            assert node.poll() is None, self._log(name).read_text()
            assert time.monotonic() < until, self._log(name).read_text()
            time.sleep(0.05)

    def _log(self, name: str) -> Path:
        return self.folder.with_name(f"{self.folder.name}-{name}.log")

    @property
    def secret(self) -> dict[str, str]:
        """What whoever wants to join has to know."""
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}

    def stop(self) -> None:
        for node in self.nodes.values():
            kill(node)


def kill(node: subprocess.Popen[bytes]) -> None:
    """As a power cut would: all of its processes at once.

    A worker has a process group of its own, and answers for a while after its raylet has gone.
    """
    for pid in [*_family(node.pid)]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    node.wait()


def _family(pid: int) -> Iterator[int]:
    """A process and all that it began."""
    yield pid
    for about in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # one that has ended meanwhile
            _, parent, *_ = about.read_text().rpartition(")")[2].split()
            if int(parent) == pid:
                yield from _family(int(about.parent.name))
