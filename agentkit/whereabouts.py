"""Where the service of a home is: it says so in a file while it is up, for the command line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from agentkit import __version__
from agentkit.config import Settings


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What a service says; `settings` is the digest of those that it was started with."""

    url: str
    pid: int
    version: str
    settings: str

    def suits(self, settings: Settings) -> bool:
        """Whether it does the same with a run as a process with these settings would."""
        return (self.settings, self.version) == (settings.digest, __version__)


@contextmanager
def said(settings: Settings, url: str) -> Iterator[None]:
    """Say where a service is while the block lasts."""
    file = settings.service_file
    new = file.with_suffix(".new")
    about = Whereabouts(url, os.getpid(), __version__, settings.digest)
    new.write_text(json.dumps(asdict(about)), encoding="utf-8")
    new.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def heard(settings: Settings) -> Whereabouts | None:
    """What a service says; None: none is up, or what is there cannot be read.

    One that was killed could not take it back: whether it answers is another question.
    """
    try:
        return Whereabouts(**json.loads(settings.service_file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
