"""Servers that speak OpenAI's API, each a process of its own that never outlives who started it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.llama_server import serving

SLOTS = 8
PATIENCE = 60.0
"""Seconds that a side has to be up."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What both sides have."""

    name: str
    model: Path
    store: Path
    threads: int
    slots: int = SLOTS
    context: int = SLOTS * 512
    prompt_cache: int = 16
    """MiB; little, so that a minute fills it, and what still grows then is a leak."""


@dataclass(frozen=True, slots=True)
class Side:
    """Somebody who answers."""

    url: str
    model: str
    token: str = "none"
    pid: int = 0

    def cpu(self) -> float:
        """Seconds that its process has computed until now, on all cores together."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def agentkit(setup: Setup, *, queue: int = 256) -> Iterator[Side]:
    """`agentkit serve`, with a home of its own."""
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        own = {
            "AGENTKIT_HOME": place,
            "AGENTKIT_MODELS_DIR": str(setup.store),
            "AGENTKIT_ENGINE__THREADS": str(setup.threads),
            "AGENTKIT_ENGINE__SLOTS": str(setup.slots),
            "AGENTKIT_ENGINE__QUEUE": str(queue),
            "AGENTKIT_ENGINE__CONTEXT_TOKENS": str(setup.context),
            "AGENTKIT_ENGINE__PROMPT_CACHE": str(setup.prompt_cache),
            "AGENTKIT_SERVICE__RATE": "10000",
        }
        command = [sys.executable, "-m", "agentkit", "serve", "--port", "0"]
        log = home / "log"
        with (
            log.open("wb") as output,
            subprocess.Popen(command, env={**os.environ, **own}, stderr=output) as process,
        ):
            try:
                url = _url(home, process)
                token = (home / "service-token").read_text().strip()
                yield Side(f"{url}/v1", setup.name, token, process.pid)
            finally:
                process.terminate()
                process.wait(PATIENCE)


def _url(home: Path, process: subprocess.Popen[bytes]) -> str:
    """Where it is, once it says so."""
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        for file in home.glob("*.json"):
            about = json.loads(file.read_text())
            if "url" in about:
                url: str = about["url"]
                return url
        time.sleep(0.1)
    raise RuntimeError(f"the service did not start: {(home / 'log').read_text()[-2000:]}")


@contextmanager
def llama_server(setup: Setup) -> Iterator[Side]:
    """llama.cpp's own, with the same slots."""
    with serving(
        setup.model, setup.name, threads=setup.threads, context=setup.context, slots=setup.slots
    ) as address:
        (child,) = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        yield Side(f"{address}/v1", setup.name, pid=int(child))
