"""What a folder of sentence-transformers says of itself, read without torch.

modules.json                 the steps from text to vector
config.json                  the transformer
sentence_bert_config.json    the longest text, if not as in tokenizer_config.json
1_Pooling/config.json        how the vectors of tokens become one
tokenizer.json               read by `tokenizers`, as sentence-transformers does
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentkit.errors import ModelDamaged, UserError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

NO_LIMIT = 10**9
"""Tokenizers write a number beyond all use where there is no limit."""


@dataclass(frozen=True)
class Folder:
    """One model.  Everything here raises `ModelDamaged` for a file that is missing or no JSON."""

    path: Path
    name: str

    @cached_property
    def config(self) -> dict[str, Any]:
        """Of the transformer."""
        config: dict[str, Any] = self._json("config.json")
        return config

    @cached_property
    def modules(self) -> list[tuple[str, str]]:
        """Kind and folder of each step, such as `("Pooling", "1_Pooling")`."""
        steps = self._json("modules.json")
        return [(str(step["type"]).rpartition(".")[2], str(step["path"])) for step in steps]

    @cached_property
    def dimensions(self) -> int:
        """Length of the vectors: of the last step that changes it."""
        for kind, path in reversed(self.modules):
            if kind == "Dense":
                return int(self._json(f"{path}/config.json")["out_features"])
        return int(self.config["hidden_size"])

    @cached_property
    def longest(self) -> int:
        """Tokens of a text with the marks around it, at most."""
        own = self._json("sentence_bert_config.json", {}).get("max_seq_length")
        trained = self._json("tokenizer_config.json", {}).get("model_max_length")
        positions = self.config.get("max_position_embeddings")
        if positions and "roberta" in str(self.config.get("model_type")):
            positions -= 2  # they are counted from the padding token's number on
        limits = [own or trained, positions]
        return min([int(limit) for limit in limits if limit and limit < NO_LIMIT], default=512)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """Neither pads nor cuts."""
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_file(str(self.path / "tokenizer.json"))
        except Exception as error:  # the library raises nothing more precise
            raise self._damaged("tokenizer.json", str(error)) from None
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    def encode(self, texts: list[str]) -> list[Encoding]:
        """The tokens of texts."""
        plain = [text.encode("utf-8", "replace").decode() for text in texts]
        encodings: list[Encoding] = self.tokenizer.encode_batch(plain)
        return encodings

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens without the marks around it.  Raises `UserError` for other numbers."""
        size = self.tokenizer.get_vocab_size()
        for token in tokens:
            if not 0 <= token < size:
                hint = f"its tokens are 0 to {size - 1}"
                raise UserError(f"{token} is no token of this model", hint=hint)
        text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text

    def pooling(self) -> dict[str, Any]:
        """How the vectors of tokens become one."""
        path = next((path for kind, path in self.modules if kind == "Pooling"), None)
        return {} if path is None else self._json(f"{path}/config.json")

    def _json(self, name: str, otherwise: Any = None) -> Any:
        try:
            return json.loads((self.path / name).read_bytes())
        except FileNotFoundError:
            if otherwise is not None:
                return otherwise
            raise self._damaged(name, "is missing") from None
        except (OSError, ValueError) as error:
            raise self._damaged(name, str(error)) from None

    def _damaged(self, name: str, fault: str) -> ModelDamaged:
        return ModelDamaged(self.name, f"{self.path / name}: {fault}")
