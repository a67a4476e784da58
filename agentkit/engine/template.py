"""Messages to prompt tokens, through the chat template that the model file carries.

A template is code from the internet: it runs in Jinja's immutable sandbox.  Contents are put in as
opaque marks and replaced after rendering, so that scaffolding and content can be tokenised apart
(see `vocabulary`), and so that content is never parsed as a template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from agentkit.engine.vocabulary import Vocabulary
from agentkit.errors import ModelError, UserError
from agentkit.messages import Message

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""For models that bring no template; the most common format among small models."""

_MARK = re.compile("\ue000([0-9]+)\ue001")  # private-use characters: no real text has them


class ChatTemplate:
    """Renders conversations for one model.  Raises `ModelError` for a template that is broken."""

    def __init__(self, source: str | None, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        try:
            self._template = environment.from_string(source or CHATML)
        except TemplateError as error:
            raise ModelError(f"the chat template of the model is broken: {error}") from None

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """The prompt, ending where the model's answer begins."""
        contents = [message.content for message in messages]
        marked = [
            {"role": message.role, "content": f"\ue000{index}\ue001"}
            for index, message in enumerate(messages)
        ]
        parts = _MARK.split(self._render(marked))  # scaffolding, index, scaffolding, index, ...
        tokens: list[int] = []
        for scaffolding, index in zip(parts[::2], [*parts[1::2], None], strict=True):
            tokens += self._vocabulary.tokenize(scaffolding, special=True)
            if index is not None:
                tokens += self._vocabulary.tokenize(contents[int(index)], special=False)
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
            )
        except UserError:
            raise
        except Exception as error:  # whatever foreign template code raises
            raise ModelError(f"the chat template of the model failed: {error}") from error


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: str) -> None:
    """Templates call this for conversations that they do not support (two user turns in a row)."""
    raise UserError(f"the chat template of the model refuses this conversation: {message}")
