"""llama.cpp's own server as a program: `llama_server.py GGUF NAME` prints its address.

It ends when its standard input is closed, so it never outlives the test that started it.
"""

from __future__ import annotations

import socket
import sys

import xllamacpp  # type: ignore[import-untyped]


def main(path: str, name: str) -> None:
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {name}
    params.hostnames = ["127.0.0.1"]
    params.port = free_port()
    params.n_ctx = 4096  # of all slots together; each may have as much as it finds free
    params.n_parallel = 4
    params.kv_unified = True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1  # more would spin
    params.fit_params = params.warmup = False
    params.verbosity = 0
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


def free_port() -> int:
    """Free a moment ago, at least: the server cannot choose one itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


if __name__ == "__main__":
    main(*sys.argv[1:])
