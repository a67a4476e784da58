"""Tokens that may do some things, for other people and programs.

Of each only the SHA-256 is kept: they are random, so nobody guesses one from that.  The service
sees a change of the file at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

from filelock import FileLock

from agentkit.errors import MachineError, UnknownName, UserError

Scope = Literal["read", "run", "inference"]
"""`read`: look at runs and what they made; `run`: begin runs, too; `inference`: ask models."""

SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "ak-"
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of one; `expires` None: never.  Times are UTC."""

    name: str
    scopes: tuple[Scope, ...]
    digest: str
    made: datetime
    expires: datetime | None = None

    @property
    def valid(self) -> bool:
        """Whether its time is not over."""
        return self.expires is None or datetime.now(UTC) < self.expires


class Tokens:
    """Those of one file.  May be used from any thread, and by several processes at once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[int, int] | None = None
        self._known: dict[str, Token] = {}

    def all(self) -> list[Token]:
        """Every token, in the order in which they were made."""
        return list(self._read().values())

    def find(self, secret: str) -> Token | None:
        """The valid token that a secret is; None: none."""
        digest = _digest(secret)
        for token in self._read().values():
            if secrets.compare_digest(token.digest, digest):
                return token if token.valid else None
        return None

    def make(self, name: str, scopes: Sequence[str], seconds: float | None = None) -> str:
        """A new token; what is returned is shown once and kept nowhere.

        Raises `UserError` for a name that is none or taken, and for no or unknown scopes.
        """
        chosen = tuple(scope for scope in SCOPES if scope in scopes)
        if not re.fullmatch(NAME, name) or name == "owner":
            raise UserError(f"{name!r} is no name for a token: letters, digits, '.', '_' and '-'")
        if not chosen or set(scopes) - set(SCOPES):
            raise UserError(f"a token needs a scope: {', '.join(SCOPES)}")
        secret, made = PREFIX + secrets.token_urlsafe(32), datetime.now(UTC)
        expires = None if seconds is None else made + timedelta(seconds=seconds)
        with self._changed() as known:
            if name in known:
                raise UserError(f"there is a token {name!r}", hint=f"agentkit tokens revoke {name}")
            known[name] = Token(name, chosen, _digest(secret), made, expires)
        return secret

    def revoke(self, name: str) -> None:
        """Forget one: it opens nothing any more.  Raises `UnknownName`."""
        with self._changed() as known:
            if name not in known:
                raise UnknownName("token", name, known, hint="agentkit tokens list")
            del known[name]

    @contextmanager
    def _changed(self) -> Iterator[dict[str, Token]]:
        """The tokens, to be changed while nobody else does."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self._file.with_suffix(".lock")):
                known = dict(self._read())
                yield known
                self._write(known)
        except OSError as error:
            raise MachineError(f"{self._file} cannot be written: {error.strerror}") from None

    def _write(self, known: dict[str, Token]) -> None:
        new = self._file.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump([asdict(token) for token in known.values()], file, default=str, indent=2)
        new.replace(self._file)

    def _read(self) -> dict[str, Token]:
        try:
            state = self._file.stat()
        except FileNotFoundError:
            return {}
        seen = (state.st_mtime_ns, state.st_ino)
        if seen != self._seen:
            try:
                known = [_token(one) for one in json.loads(self._file.read_text(encoding="utf-8"))]
            except (OSError, ValueError, TypeError, KeyError) as error:
                hint = f"make new ones: rm {self._file}"
                raise MachineError(f"{self._file} cannot be read: {error}", hint=hint) from None
            self._seen, self._known = seen, {token.name: token for token in known}
        return self._known


def _token(kept: dict[str, object]) -> Token:
    token = Token(**kept)  # type: ignore[arg-type]
    if not set(token.scopes) <= set(SCOPES):
        raise ValueError(f"{token.name!r} has scopes that there are not")
    return replace(
        token,
        scopes=tuple(token.scopes),
        made=_moment(token.made),
        expires=None if token.expires is None else _moment(token.expires),
    )


def _moment(written: object) -> datetime:
    moment = datetime.fromisoformat(str(written))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
