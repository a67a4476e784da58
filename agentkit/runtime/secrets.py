"""Secrets: where settings say that they are, and every place where they must not appear.

A workflow names what it needs; only settings say what a name means, so that no file can ask for
something that nobody gave it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from agentkit.config import SecretSource, Settings
from agentkit.errors import UserError, did_you_mean
from agentkit.events import Event

MASK = "***"
"""What stands where a secret stood."""

OPEN = ("run", "time", "usage", "definition", "files")
"""Parts of events that are as they are: a workflow file that holds a secret holds it on disk."""

SHORTEST = 4
"""Characters; what is shorter stands in too many words to be hidden in them."""


def resolved(names: Iterable[str], settings: Settings) -> dict[str, str]:
    """The values of secrets.  Raises `UserError` for one that is not in settings or not there."""
    return {name: _value(name, _source(name, settings)) for name in names}


def _source(name: str, settings: Settings) -> SecretSource:
    if name not in settings.secrets:
        near = did_you_mean(name, settings.secrets)
        raise UserError(
            f"the workflow needs the secret {name}, and settings do not say where it is.{near}",
            hint=f"add to settings.yaml: secrets: {{{name}: {{env: {name}}}}}",
        )
    return settings.secrets[name]


def _value(name: str, source: SecretSource) -> str:
    if source.env is not None:
        value = os.environ.get(source.env, "")
        if not value:
            hint = f"export {source.env}=..."
            raise UserError(f"secret {name}: the variable {source.env} is not set", hint=hint)
        return value
    if source.file is not None:
        try:
            value = source.file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise UserError(f"secret {name}: {source.file}: {reason}") from None
        if not value:
            raise UserError(f"secret {name}: {source.file} is empty")
        return value
    assert source.keyring is not None
    return _from_keyring(name, source.keyring)


def _from_keyring(name: str, entry: str) -> str:
    try:
        import keyring
    except ImportError:
        hint = "pip install 'agentkit[keyring]'"
        raise UserError(f"secret {name}: keyrings need a package more", hint=hint) from None
    service, _, user = entry.partition("/")
    try:
        value: str | None = keyring.get_password(service, user)
    except keyring.errors.KeyringError as error:
        raise UserError(f"secret {name}: the keyring cannot be read: {error}") from None
    if not value:
        hint = f"keyring set {service} {user}"
        raise UserError(f"secret {name}: the keyring has no {entry}", hint=hint)
    return value


@dataclass(frozen=True)
class Masks:
    """Hides values in whatever is told of a run."""

    values: tuple[str, ...]

    @classmethod
    def of(cls, secrets: Iterable[str]) -> Masks:
        """Longer ones first: one may be part of another."""
        worth = {value for value in secrets if len(value) >= SHORTEST}
        return cls(tuple(sorted(worth, key=len, reverse=True)))

    def event(self, event: Event) -> Event:
        """The event without them."""
        if not self.values:
            return event
        told = {one.name: getattr(event, one.name) for one in fields(event)}
        hidden = {name: self.hide(value) for name, value in told.items() if name not in OPEN}
        return replace(event, **hidden)

    def hide(self, value: Any) -> Any:
        """A value at any depth without them."""
        if isinstance(value, str):
            for secret in self.values:
                value = value.replace(secret, MASK)
            return value
        if isinstance(value, Mapping):
            return {self.hide(key): self.hide(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.hide(item) for item in value)
        return value
