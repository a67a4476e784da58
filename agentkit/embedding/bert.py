"""BERT from its formulas, for a few short texts: there before torch could be imported.

A search needs the vector of one question.  torch and sentence-transformers take eight seconds to
import for it and 20 ms to compute it, this takes a quarter of a second and 5 ms, and gives the same
numbers to the sixth digit (tests compare them).  Longer work is for torch, which is several times
faster there.  The weights are mapped from the file, and nothing is copied that is not used.

Only what is exactly known is computed here: BERT with its usual activation and positions, the mean
or the first token, vectors of length one.  `Bert.of` gives None for everything else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from agentkit.embedding.folder import Folder

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Encoding

    Array = NDArray[np.float32]

STEPS = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
USUAL = {"model_type": "bert", "hidden_act": "gelu"}
MODES = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}


class Bert:
    """One model.  Not for many threads at once."""

    def __init__(self, folder: Folder, tensors: Mapping[str, Array], *, mean: bool) -> None:
        import threadpoolctl

        self._tensors = tensors
        self._mean = mean
        self._heads = int(folder.config["num_attention_heads"])
        self._layers = int(folder.config["num_hidden_layers"])
        self._epsilon = np.float32(folder.config["layer_norm_eps"])
        self._threads = threadpoolctl.ThreadpoolController()

    @classmethod
    def of(cls, folder: Folder) -> Bert | None:
        """The model of a folder, if it is one that is computed here."""
        config, pooling = folder.config, folder.pooling()
        modes = {key for key, value in pooling.items() if value is True and "mode" in key}
        usual = (
            [kind for kind, _ in folder.modules] in STEPS
            and all(config.get(key) == value for key, value in USUAL.items())
            and config.get("position_embedding_type", "absolute") == "absolute"
            and modes in ({MODES["mean"]}, {MODES["cls"]})
        )
        tensors = _tensors(folder.path / "model.safetensors") if usual else None
        if tensors is None or "embeddings.word_embeddings.weight" not in tensors:
            return None
        return cls(folder, tensors, mean=MODES["mean"] in modes)

    def embed(self, texts: Sequence[Encoding]) -> Array:
        """Unit vectors, a row for each text."""
        with self._threads.limit(limits=1):  # for products this small, threads only wait
            rows = [self._vector(text.ids) for text in texts]
        return np.stack(rows)

    def _vector(self, tokens: Sequence[int]) -> Array:
        states = self._states(tokens)
        vector: Array = states.mean(axis=0) if self._mean else states[0]
        return vector / max(np.linalg.norm(vector), np.finfo(np.float32).tiny)

    def _states(self, tokens: Sequence[int]) -> Array:
        """A vector for each token."""
        words = self._tensors["embeddings.word_embeddings.weight"][list(tokens)]
        places = self._tensors["embeddings.position_embeddings.weight"][: len(tokens)]
        kind = self._tensors["embeddings.token_type_embeddings.weight"][0]
        states = self._norm("embeddings.LayerNorm", words + places + kind)
        for layer in range(self._layers):
            states = self._layer(f"encoder.layer.{layer}", states)
        return states

    def _layer(self, at: str, x: Array) -> Array:
        heads, (count, width) = self._heads, x.shape
        query, key, value = (
            self._linear(f"{at}.attention.self.{name}", x)
            .reshape(count, heads, width // heads)
            .swapaxes(0, 1)
            for name in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / np.float32(math.sqrt(width / heads))
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        seen = self._linear(
            f"{at}.attention.output.dense", (scores @ value).swapaxes(0, 1).reshape(count, width)
        )
        x = self._norm(f"{at}.attention.output.LayerNorm", x + seen)
        inner = _gelu(self._linear(f"{at}.intermediate.dense", x))
        return self._norm(f"{at}.output.LayerNorm", x + self._linear(f"{at}.output.dense", inner))

    def _linear(self, at: str, x: Array) -> Array:
        product: Array = x @ self._tensors[f"{at}.weight"].T
        return product + self._tensors[f"{at}.bias"]

    def _norm(self, at: str, x: Array) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self._epsilon)
        scaled: Array = centred / scale * self._tensors[f"{at}.weight"]
        return scaled + self._tensors[f"{at}.bias"]


def _gelu(x: Array) -> Array:
    return x * np.float32(0.5) * (1 + _erf(x * np.float32(math.sqrt(0.5))))


def _erf(x: Array) -> Array:
    """To 1.5e-7: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26."""
    size = np.abs(x)
    t = 1 / (1 + np.float32(0.3275911) * size)
    terms = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
    sum_of_terms = np.zeros_like(t)
    for factor in terms:
        sum_of_terms = (sum_of_terms + np.float32(factor)) * t
    erf: Array = np.copysign(1 - sum_of_terms * np.exp(-size * size), x)
    return erf


def _tensors(file: Path) -> Mapping[str, Array] | None:
    """The weights, mapped; None unless all are there as float32."""
    if not file.is_file():
        return None
    mapped = np.memmap(file, np.uint8, mode="r")
    start = 8 + int.from_bytes(mapped[:8].tobytes(), "little")
    try:
        header = json.loads(mapped[8:start].tobytes())
    except ValueError:
        return None  # torch's library tells what is wrong with it
    tensors: dict[str, Array] = {}
    for name, about in header.items():
        if name == "__metadata__" or name.endswith("position_ids"):
            continue
        first, end = (start + offset for offset in about["data_offsets"])
        if about["dtype"] != "F32" or end > len(mapped):
            return None
        tensors[name.removeprefix("bert.")] = (
            mapped[first:end].view(np.float32).reshape(about["shape"])
        )
    return tensors
