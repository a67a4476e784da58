"""Prefixes on disk: what an agent's prompt begins with is read once, and not again after a restart.

One file for each prefix, in a folder for each model, build and kind of cache:

    agentkit prefix 1\\n
    {"tokens": how many, "state": bytes, "digest": BLAKE2b of what follows}\\n
    the tokens, 32 bits each, little endian
    the state as llama.cpp wrote it

A file is never trusted: one that is not what it says is deleted, and the prompt is read as if it
had never been there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from agentkit.engine.prefixes import Namespace
from agentkit.engine.radix import RadixIndex

MAGIC = b"agentkit prefix 1\n"
SUFFIX = ".prefix"
BUDGET = 2 << 30
"""Bytes on disk for one model."""
LONGEST_HEADER = 4096

DRAFT = "*." + "[0-9a-f]" * 8
ABANDONED = 3600.0
"""Seconds after which nobody writes a draft any more: it takes a few, and a process that is killed
leaves one behind."""

log = logging.getLogger(__name__)


class SavedPrefixes:
    """A shelf on disk for prefixes without adapters.  Owned by one thread; several processes may
    share the folder."""

    def __init__(self, folder: Path, *, budget: int = BUDGET) -> None:
        self._folder = folder
        self._budget = budget
        self._index = RadixIndex()
        self._paths: dict[int, Path] = {}
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            self._note(path)

    def match(self, namespace: Namespace, tokens: Sequence[int], *, whole: bool) -> int:
        """See `prefixes.Shelf.match`."""
        return self._find(namespace, tokens, whole=whole)[0]

    def fetch(
        self, namespace: Namespace, tokens: Sequence[int], *, whole: bool
    ) -> tuple[list[int], bytes] | None:
        """See `prefixes.Shelf.fetch`."""
        for key in sorted(self._find(namespace, tokens, whole=whole)[1]):
            path = self._paths[key]
            found = _read(path)
            if found is not None and found[0] == self._index.tokens(key):
                with suppress(OSError):
                    os.utime(path)
                return found
            self._forget(key)
        return None

    def put(self, namespace: Namespace, tokens: list[int], state: bytes) -> None:
        """What leaves the cache need not go to disk."""

    def holds(self, tokens: Sequence[int]) -> bool:
        """Whether just these tokens are saved."""
        return any(len(self._index.tokens(key)) == len(tokens)
                   for key in self._index.longest_whole(tokens)[1])  # fmt: skip

    def save(self, tokens: list[int], state: bytes) -> None:
        """Write a prefix; a disk that is full or not there costs a line in the log."""
        body = np.array(tokens, dtype="<i4").tobytes() + state
        digest = hashlib.blake2b(body, digest_size=32).hexdigest()
        header = {"tokens": len(tokens), "state": len(state), "digest": digest}
        path = self._folder / f"{digest[:32]}{SUFFIX}"
        draft = path.with_suffix(f".{secrets.token_hex(4)}")
        try:
            draft.write_bytes(MAGIC + json.dumps(header).encode() + b"\n" + body)
            draft.replace(path)
        except OSError as error:
            log.warning("a prefix of %d tokens is not saved: %s", len(tokens), error)
            with suppress(OSError):
                draft.unlink()
            return
        self._note(path)
        self._keep_to_the_budget()

    def _find(
        self, namespace: Namespace, tokens: Sequence[int], *, whole: bool
    ) -> tuple[int, set[int]]:
        if namespace:
            return 0, set()
        return self._index.longest_whole(tokens) if whole else self._index.longest(tokens)

    def _note(self, path: Path) -> None:
        tokens = _read_tokens(path)
        if tokens is None:
            _delete(path)
            return
        key = len(self._paths)
        self._paths[key] = path
        self._index.extend(key, tokens)

    def _forget(self, key: int) -> None:
        self._index.remove(key)
        _delete(self._paths[key])

    def _keep_to_the_budget(self) -> None:
        with suppress(OSError):
            files = sorted(
                ((path.stat().st_mtime, path) for path in self._folder.glob(f"*{SUFFIX}")),
                reverse=True,
            )
            size = self._drafts()
            for _, path in files:
                size += path.stat().st_size
                if size > self._budget:
                    _delete(path)
                    for key, known in self._paths.items():
                        if known == path:
                            self._index.remove(key)

    def _drafts(self) -> int:
        """The bytes of files that are being written; those that nobody goes on with are deleted."""
        size = 0
        for path in self._folder.glob(DRAFT):
            with suppress(OSError):  # it has its name by now
                found = path.stat()
                if found.st_mtime < time.time() - ABANDONED:
                    _delete(path)
                else:
                    size += found.st_size
        return size


def _read(path: Path) -> tuple[list[int], bytes] | None:
    """Tokens and state, or None for a file that is not what it says."""
    try:
        with path.open("rb") as file:
            header = _header(file)
            body = file.read() if header else b""
    except OSError:
        return None
    if not header or hashlib.blake2b(body, digest_size=32).hexdigest() != header["digest"]:
        return None
    cut = 4 * header["tokens"]
    return np.frombuffer(body[:cut], dtype="<i4").tolist(), body[cut:]


def _read_tokens(path: Path) -> list[int] | None:
    try:
        with path.open("rb") as file:
            header = _header(file)
            raw = file.read(4 * header["tokens"]) if header else b""
            size = os.fstat(file.fileno()).st_size
            whole = bool(header) and size == file.tell() + header["state"]
    except OSError:
        return None
    return np.frombuffer(raw, dtype="<i4").tolist() if whole else None


def _header(file: BinaryIO) -> dict[str, Any]:
    if file.read(len(MAGIC)) != MAGIC:
        return {}
    try:
        header = json.loads(file.readline(LONGEST_HEADER))
        return header if header["tokens"] > 0 and header["state"] > 0 and header["digest"] else {}
    except (ValueError, KeyError, TypeError):
        return {}


def _delete(path: Path) -> None:
    with suppress(OSError):
        path.unlink()
