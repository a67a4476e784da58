"""A run is held by one process at a time: a lock on a file, which the kernel lets go of when the
process dies, however it dies.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from agentkit.errors import MachineError, UserError


@contextmanager
def held(folder: Path, run: str) -> Iterator[None]:
    """Hold a run, whose folder this is, while the block lasts.

    Raises `UserError` if another process does, `MachineError` if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except Timeout:
        hint = f"agentkit runs cancel {run}, or wait for its end: agentkit runs show {run}"
        raise UserError(f"the run {run} is at work in another process", hint=hint) from None
    except OSError as error:
        raise MachineError(f"{folder} cannot be written: {error.strerror}") from None
    try:
        yield
    finally:
        lock.release()
