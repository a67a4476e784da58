"""Messages to prompt tokens, through the chat template that the model file carries.

A template is code from the internet: it runs in Jinja's immutable sandbox, and the loops that it
can make out of nothing are bounded.  Contents are put in as opaque marks, other ones each time, and
replaced after rendering, so that scaffolding and content can be tokenised apart (see `vocabulary`),
and so that content is never parsed as a template and no text can pose as a mark.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from jinja2 import TemplateError
from jinja2.ext import loopcontrols

from agentkit.engine.vocabulary import Vocabulary
from agentkit.errors import ModelError, UserError
from agentkit.messages import Message
from agentkit.templates import BoundedSandbox

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""For models that bring no template; the most common format among small models."""

MAX_ROUNDS = 100_000
"""How many numbers all `range` calls of one rendering may give together."""


class ChatTemplate:
    """Renders conversations for one model.  Raises `ModelError` for a template that is broken."""

    def __init__(self, source: str | None, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        environment = BoundedSandbox(extensions=[loopcontrols])
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        try:
            self._template = environment.from_string(source or CHATML)
        except TemplateError as error:
            raise ModelError(f"the chat template of the model is broken: {error}") from None

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """The prompt, ending where the model's answer begins."""
        if not messages:
            raise UserError("a request needs at least one message")
        contents = [message.content for message in messages]
        nonce = secrets.token_hex(8)
        marked = [
            {"role": message.role, "content": f"{nonce}-{index}-{nonce}"}
            for index, message in enumerate(messages)
        ]
        rendered = self._render(marked)
        # scaffolding, index, scaffolding, index, ..., scaffolding
        parts = re.split(f"{nonce}-([0-9]+)-{nonce}", rendered)
        tokens: list[int] = []
        for scaffolding, index in zip(parts[::2], [*parts[1::2], None], strict=True):
            tokens += self._vocabulary.tokenize(scaffolding, special=True)
            if index is not None:
                tokens += self._vocabulary.tokenize(contents[int(index)], special=False)
        if not tokens:
            raise ModelError("the chat template of the model renders this conversation to nothing")
        bos = self._vocabulary.bos
        if self._vocabulary.adds_bos and bos >= 0 and tokens[:1] != [bos]:
            tokens.insert(0, bos)
        return tokens

    def _render(self, messages: list[dict[str, str]]) -> str:
        try:
            return self._template.render(
                messages=messages,
                add_generation_prompt=True,
                bos_token=self._vocabulary.text(self._vocabulary.bos),
                eos_token=self._vocabulary.text(self._vocabulary.eos),
                range=_bounded_range(),
            )
        except UserError:
            raise
        except Exception as error:  # whatever foreign template code raises
            raise ModelError(f"the chat template of the model failed: {error}") from error


def _bounded_range() -> Callable[..., range]:
    left = MAX_ROUNDS

    def bounded(*arguments: int) -> range:
        nonlocal left
        numbers = range(*arguments)
        left -= len(numbers)
        if left < 0:
            raise ModelError(f"it counts beyond {MAX_ROUNDS}")
        return numbers

    return bounded


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: str) -> None:
    """Templates call this for conversations that they do not support (two user turns in a row)."""
    raise UserError(f"the chat template of the model refuses this conversation: {message}")
