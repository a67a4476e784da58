"""A server of PostgreSQL that tests start, stop and start again; from Debian's package."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

WHERE = "/usr/lib/postgresql"


def binaries() -> Path | None:
    """Where its programs are."""
    found = sorted(Path(WHERE).glob("*/bin/pg_ctl"))
    return found[-1].parent if found else None


@dataclass
class Server:
    """One cluster in a folder of its own, on loopback."""

    programs: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = self.folder / "log"
        self._do("pg_ctl", "-D", self.data, "-w", "-l", str(log), "-o", options, "start")

    def stop(self, how: str = "immediate") -> None:
        self._do("pg_ctl", "-D", self.data, "-w", "-m", how, "stop")

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    def _do(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        if os.getuid() == 0:  # it refuses to run as root
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    """A running server; its folder has to be one that others may enter."""
    programs = binaries()
    assert programs is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if os.getuid() == 0:
        shutil.chown(folder, "postgres")
    one = Server(programs, folder, port)
    one._do("initdb", "-D", one.data, "-A", "trust", "-U", "postgres", "-N", "--no-instructions")
    one.start()
    try:
        yield one
    finally:
        one.stop()
