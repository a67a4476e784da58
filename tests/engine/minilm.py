"""all-minilm-l6-v2 twice: as a GGUF file for llama.cpp, and as forty lines of numpy to check it by.

The catalog's model is a folder of sentence-transformers: weights in safetensors, the tokenizer as
JSON.  What is written here is what llama.cpp's own conversion writes for it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

Tensors = Mapping[str, NDArray[np.float32]]

NAMES = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}
"""Parts of a layer, in the words of sentence-transformers and of llama.cpp."""


def read_tensors(folder: Path) -> Tensors:
    """The weights of a folder of sentence-transformers."""
    data = (folder / "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    tensors = {}
    for name, about in json.loads(data[8:start]).items():
        if about.get("dtype") == "F32":
            first, end = about["data_offsets"]
            flat = np.frombuffer(data[start + first : start + end], np.float32)
            tensors[name] = flat.reshape(about["shape"])
    return tensors


# -- as a GGUF file ------------------------------------------------------------------------------


def write_gguf(folder: Path, path: Path, pooling: gguf.PoolingType = gguf.PoolingType.MEAN) -> Path:
    """Convert; matrices become float16.  `pooling` is what the file will say."""
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(pooling)
    _add_vocabulary(writer, folder, config["type_vocab_size"])
    for name, tensor in _renamed(read_tensors(folder)):
        matrix = tensor.ndim == 2 and not name.startswith(("position", "token_types"))
        writer.add_tensor(name, tensor.astype(np.float16) if matrix else tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_vocabulary(writer: gguf.GGUFWriter, folder: Path, types: int) -> None:
    """Word pieces as llama.cpp wants them: the beginnings of words are marked, not the rests."""
    words = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("jina-v2-en")
    writer.add_token_list(
        [w if w in special else w[2:] if w.startswith("##") else "\u2581" + w for w in words]
    )
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control if word in special else normal for word in words])
    writer.add_token_type_count(types)
    writer.add_bos_token_id(words.index("[CLS]"))
    writer.add_eos_token_id(words.index("[SEP]"))
    writer.add_sep_token_id(words.index("[SEP]"))
    writer.add_pad_token_id(words.index("[PAD]"))
    writer.add_unk_token_id(words.index("[UNK]"))
    writer.add_mask_token_id(words.index("[MASK]"))


def _renamed(tensors: Tensors) -> Iterator[tuple[str, NDArray[np.float32]]]:
    yield "token_embd.weight", tensors["embeddings.word_embeddings.weight"]
    yield "position_embd.weight", tensors["embeddings.position_embeddings.weight"]
    yield "token_types.weight", tensors["embeddings.token_type_embeddings.weight"]
    yield "token_embd_norm.weight", tensors["embeddings.LayerNorm.weight"]
    yield "token_embd_norm.bias", tensors["embeddings.LayerNorm.bias"]
    for name, tensor in tensors.items():
        if name.startswith("encoder.layer."):
            _, _, layer, rest = name.split(".", 3)
            part, _, kind = rest.rpartition(".")
            yield f"blk.{layer}.{NAMES[part]}.{kind}", tensor


# -- in numpy ------------------------------------------------------------------------------------


class Reference:
    """The same model from the paper's formulas, one text at a time, in float64."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        self._layers: int = config["num_hidden_layers"]
        self._heads: int = config["num_attention_heads"]
        self._epsilon: float = config["layer_norm_eps"]
        self._tensors = {n: t.astype(np.float64) for n, t in read_tensors(folder).items()}
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def embed(self, text: str) -> NDArray[np.float64]:
        """A unit vector: the mean of those of the tokens."""
        mean: NDArray[np.float64] = self.tokens(text).mean(axis=0)
        return mean / np.linalg.norm(mean)

    def tokens(self, text: str) -> NDArray[np.float64]:
        """A vector for each token, shape `(tokens, width)`."""
        tokens = self._tokenizer.encode(text).ids
        vectors: NDArray[np.float64] = self._tensors["embeddings.word_embeddings.weight"][tokens]
        vectors = vectors + self._tensors["embeddings.position_embeddings.weight"][: len(tokens)]
        vectors = vectors + self._tensors["embeddings.token_type_embeddings.weight"][0]
        vectors = self._norm("embeddings.LayerNorm", vectors)
        for layer in range(self._layers):
            vectors = self._layer(f"encoder.layer.{layer}", vectors)
        return vectors

    def _layer(self, at: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        heads, width = self._heads, x.shape[1]
        query, key, value = (
            self._linear(f"{at}.attention.self.{name}", x)
            .reshape(len(x), heads, width // heads)
            .swapaxes(0, 1)
            for name in ("query", "key", "value")
        )
        scores = np.exp(query @ key.swapaxes(1, 2) / math.sqrt(width / heads))
        seen = (scores / scores.sum(axis=-1, keepdims=True)) @ value
        seen = self._linear(f"{at}.attention.output.dense", seen.swapaxes(0, 1).reshape(x.shape))
        x = self._norm(f"{at}.attention.output.LayerNorm", x + seen)
        inner = self._linear(f"{at}.intermediate.dense", x)
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        return self._norm(f"{at}.output.LayerNorm", x + self._linear(f"{at}.output.dense", inner))

    def _linear(self, at: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return x @ self._tensors[f"{at}.weight"].T + self._tensors[f"{at}.bias"]

    def _norm(self, at: str, x: NDArray[np.float64]) -> NDArray[np.float64]:
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self._epsilon)
        scaled: NDArray[np.float64] = centred / scale * self._tensors[f"{at}.weight"]
        return scaled + self._tensors[f"{at}.bias"]
