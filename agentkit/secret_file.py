"""A secret that lets a program in over HTTP: made once, kept in a file, for its owner alone."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from agentkit.errors import MachineError, UserError

SHORTEST = 32


def secret_in(path: Path) -> str:
    """The secret in a file, which is made if there is none.

    Raises `UserError` for a file that others may read, or that holds something else, and
    `MachineError` for one that cannot be used.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            text = file.read(4096).strip()
    except OSError as error:
        raise MachineError(f"{path} cannot be used: {error.strerror}") from None
    if mode & 0o077:
        raise UserError(
            f"{path} may be read by others: its token is no secret",
            hint=f"make a new one: rm {path}, and start again",
        )
    if len(text) < SHORTEST or not text.isascii() or not text.isprintable() or " " in text:
        raise UserError(
            f"{path} holds no token of {SHORTEST} characters or more",
            hint=f"make a new one: rm {path}, and start again",
        )
    return text


def _make(path: Path) -> None:
    """Write a new secret, whole or not at all; one that is there already stays."""
    if path.exists():
        return
    new = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        try:
            os.link(new, path)  # unlike a rename, it replaces nothing: of two starts, one makes it
        except FileExistsError:
            return
    finally:
        new.unlink(missing_ok=True)
