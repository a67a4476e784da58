"""llama.cpp's own server in a process of its own, with the model file that agentkit runs.

    python -m bench.llama_server GGUF NAME THREADS CONTEXT SLOTS

prints its address and serves until its standard input is closed, so that it never outlives who
started it, nor keeps spinning while another model is measured.
"""

from __future__ import annotations

import importlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentkit.errors import MachineError

PATIENCE = 15.0
"""Seconds for a server to end when it was asked to."""


@contextmanager
def serving(gguf: Path, name: str, *, threads: int, context: int, slots: int = 1) -> Iterator[str]:
    """Its address, once the model is loaded.  Raises `MachineError` where it does not start."""
    numbers = map(str, (threads, context, slots))
    command = [sys.executable, "-m", __name__, str(gguf), name, *numbers]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            if not address.startswith("http"):
                raise MachineError(f"llama.cpp's server did not start: {address or 'it ended'}")
            yield address
        finally:
            process.stdin.close()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


def main(path: str, name: str, threads: str, context: str, slots: str) -> None:
    """Serve one model, to so many who ask at a time."""
    xllamacpp = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {name}
    params.hostnames = ["127.0.0.1"]
    params.port = _free_port()
    params.n_ctx = int(context)
    params.n_parallel = int(slots)
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(threads)
    params.fit_params = False
    params.verbosity = 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


def _free_port() -> int:
    """Free a moment ago, at least: the server cannot choose one itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


if __name__ == "__main__":
    main(*sys.argv[1:])
