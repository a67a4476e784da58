"""Grammars of answers, written in llguidance's dialect of Lark.

Two pitfalls shaped this.  A marker that is one special token has to be named by its number: as a
string it makes the matcher force a token that it then refuses.  A marker that is ordinary text has
to end a *lazy* terminal, or the free text before it would swallow it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from agentkit.engine.vocabulary import Vocabulary

TEXT = r"/(.|\n)*/"
"""Anything but control tokens."""


class Rules:
    """A grammar in the making."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._rules: dict[str, str] = {}

    def add(self, name: str, body: str) -> str:
        """A rule (a terminal, if the name is in capitals); returns what refers to it."""
        self._rules[name] = body
        return name.removesuffix("[lazy]")

    def marker(self, text: str) -> str:
        """A marker: by its number if it is one token, otherwise spelled out."""
        token = self._vocabulary.marker(text)
        return literal(text) if token is None else f"<[{token}]>"

    def is_token(self, marker: str) -> bool:
        """Whether a marker is one token."""
        return self._vocabulary.marker(marker) is not None

    def text(self) -> str:
        """Any text, also none."""
        return self.add("TEXT", TEXT)

    def up_to(self, marker: str, name: str, *, after: str = "") -> str:
        """Any text and then, the first time that it comes, a marker; `after` begins the text."""
        if self.is_token(marker):
            begun = f"{self.marker(after)} " if after else ""
            return self.add(name, f"{begun}{self.text()}? {self.marker(marker)}")
        begun = f"{literal(after)} " if after else ""
        return self.add(f"{name}[lazy]", f"{begun}{TEXT} {literal(marker)}")

    def write(self, start: str) -> str:
        """The grammar, beginning with the expression `start`."""
        return "\n".join(
            f"{name}: {body}" for name, body in {"start": start, **self._rules}.items()
        )


def literal(text: str) -> str:
    """A text as a string of Lark."""
    return json.dumps(text)


def choice(options: Sequence[str]) -> str:
    """One of several expressions."""
    return f"({' | '.join(options)})"
