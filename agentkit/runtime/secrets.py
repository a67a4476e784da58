"""Secrets: where settings say that they are, and every place where they must not appear.

A workflow names what it needs; only settings say what a name means, so that no file can ask for
something that nobody gave it.

What a run is told, keeps and hands out has no secrets in it: its events, results of calls, outputs,
errors.  So later steps read `***` as well, whether the run went straight through or found what was
done in the journal, which holds no secrets: a run that goes on is the run that nobody disturbed.
What a step needs is at hand as `secrets.NAME`.
"""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import quote, quote_plus

from agentkit.config import SecretSource, Settings
from agentkit.errors import UserError, did_you_mean
from agentkit.events import Event

MASK = "***"
"""What stands where a secret stood."""

OPEN = ("run", "time", "usage", "definition", "files")
"""Parts of events that are as they are: a workflow file that holds a secret holds it on disk."""

SHORTEST = 4
"""Characters; what is shorter stands in too many words to be hidden in them."""

SHORTEST_CODE = 8
"""Characters of base64; what is shorter stands in some file or other by chance."""

_WRITTEN: tuple[Callable[[str], str], ...] = (
    lambda value: json.dumps(value)[1:-1],
    lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    lambda value: repr(value)[1:-1],
    lambda value: value.replace("'", "'\"'\"'"),  # as shlex quotes it
    lambda value: value.replace("'", "'\\''"),  # as people do
    html.escape,
    lambda value: quote(value, errors="replace"),
    lambda value: quote(value, safe="", errors="replace"),
    lambda value: quote_plus(value, errors="replace"),
)
"""How programs write a text within another one."""


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
    """Hides values in whatever is told of a run, as they are and as programs write them."""

    values: tuple[str, ...]

    @classmethod
    def of(cls, secrets: Iterable[str]) -> Masks:
        """Longer ones first: one may be part of another."""
        worth = {form for value in secrets if len(value) >= SHORTEST for form in _forms(value)}
        return cls(tuple(sorted(worth, key=lambda form: (-len(form), form))))

    def event(self, event: Event) -> Event:
        """The event without them."""
        if not self.values:
            return event
        told = {one.name: getattr(event, one.name) for one in fields(event)}
        hidden = {name: self.hide(value) for name, value in told.items() if name not in OPEN}
        return replace(event, **hidden)

    def hide(self, value: Any) -> Any:
        """A value at any depth without them; an error is changed where it is, and its causes."""
        if not self.values:
            return value
        if isinstance(value, str):
            for secret in self.values:
                value = value.replace(secret, MASK)
            return value
        if isinstance(value, BaseException):
            return self._error(value, set())
        if isinstance(value, Mapping):
            return {self.hide(key): self.hide(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.hide(item) for item in value)
        return value

    def inputs(self, inputs: Mapping[str, Any], secret: Iterable[str]) -> dict[str, Any]:
        """Those of a run as a resumed one has them; the `secret` ones are as they were given."""
        return {**self.hide(inputs), **{name: inputs[name] for name in secret if name in inputs}}

    @contextmanager
    def errors(self) -> Iterator[None]:
        """What is raised in here is raised without them."""
        try:
            yield
        except BaseException as error:
            hidden = self.hide(error)
            if hidden is error:
                raise
            raise hidden.with_traceback(error.__traceback__) from None

    def _error(self, error: BaseException, seen: set[int]) -> BaseException:
        """The error itself; one that cannot be changed gives way to one that says the same."""
        if id(error) in seen:
            return error
        seen.add(id(error))

        def hidden(value: Any) -> Any:
            known = isinstance(value, BaseException)
            return self._error(value, seen) if known else self.hide(value)

        error.args = tuple(hidden(one) for one in error.args)
        vars(error).update({name: hidden(value) for name, value in vars(error).items()})
        if isinstance(error, OSError):
            for name in ("strerror", "filename", "filename2"):
                if getattr(error, name) is not None:  # None would be shown
                    setattr(error, name, hidden(getattr(error, name)))
        quiet = error.__suppress_context__
        if error.__cause__ is not None:
            error.__cause__ = hidden(error.__cause__)
        if error.__context__ is not None:
            error.__context__ = hidden(error.__context__)
        error.__suppress_context__ = quiet
        said = str(error)
        if self.hide(said) == said:
            return error
        return RuntimeError(self.hide(f"{type(error).__name__}: {said}"))


def _forms(value: str) -> set[str]:
    """How a text may stand within another one: itself, escaped, quoted, or in base64 anywhere."""
    coded = {code for code in _in_base64(value) if len(code) >= SHORTEST_CODE}
    return {value, *(write(value) for write in _WRITTEN), *coded}


def _in_base64(value: str) -> Iterator[str]:
    """What of base64 depends on the text alone, wherever in a longer one it begins."""
    data = value.encode(errors="replace")
    for before in range(3):
        whole = base64.b64encode(bytes(before) + data).decode()
        first, last = -(-before * 8 // 6), (before + len(data)) * 8 // 6
        yield whole[first:last]
        yield whole[first:last].replace("+", "-").replace("/", "_")
