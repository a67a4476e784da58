"""Where the service of a home is: it says so in a file while it is up, for the command line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from agentkit import __version__
from agentkit.config import Settings
from agentkit.errors import MachineError, UserError
from agentkit.values import dataclass

PROBED = 1.0
"""Seconds for which others may have the lock, to see whether it is held."""


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
    """What a service says; None: none is up.

    One that was killed could not take it back, and somebody else may listen on its port by now.
    What it cannot leave behind is its lock.
    """
    if not _locked(settings):
        return None
    try:
        about = Whereabouts(**json.loads(settings.service_file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return about if isinstance(about.url, str) and about.url.startswith("http://") else None


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Be the one service of a home while the block lasts, and die with the lock.

    Raises `UserError` if there is one, `MachineError` where the home cannot be written.
    """
    from filelock import FileLock, Timeout

    home = settings.home
    lock = FileLock(settings.service_file.with_suffix(".lock"))
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire(timeout=PROBED)
    except Timeout:
        raise UserError(f"a service is up in {home}", hint="agentkit service status") from None
    except OSError as error:
        raise MachineError(f"{home} cannot be written: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()


def _locked(settings: Settings) -> bool:
    file = settings.service_file.with_suffix(".lock")
    if not file.exists():
        return False
    from filelock import FileLock, Timeout

    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        return False
    lock.release()
    return False
