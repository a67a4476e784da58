"""The content of a file in another one: without any copying, where the disk can do that."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

FICLONE = 0x40049409
"""Makes one file share its blocks with another until one of them is written to."""

BLOCK = 1 << 20


def duplicate(source: int, target: int) -> None:
    """Fill an open, empty file with the content of another open file."""
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError:  # another disk, or one that cannot
        with (
            os.fdopen(source, "rb", 0, closefd=False) as read,
            os.fdopen(target, "wb", 0, closefd=False) as write,
        ):
            shutil.copyfileobj(read, write, BLOCK)


@contextmanager
def opened(name: str, folder: int) -> Iterator[int]:
    """A file to be read; no link, and nothing that makes who opens it wait."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(name, flags, dir_fd=folder)
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def made(name: str, folder: int) -> Iterator[int]:
    """A new file to be written, for its owner alone."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(name, flags, 0o600, dir_fd=folder)
    try:
        yield handle
    finally:
        os.close(handle)
