"""Draw the next token: llama.cpp's sampler chain over the tokens that are allowed."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentkit.errors import ModelError, UserError
from agentkit.messages import Sampling

PENALTY_WINDOW = 64
"""How many tokens back the repetition penalties look, as in llama.cpp's own default."""

BOUNDS: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 5.0),
    "top_k": (0, 1_000_000),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repeat_penalty": (0.1, 10.0),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
}
"""Smallest and largest value; whole numbers where the parameter is one."""

RANDOM_SEED = 0xFFFFFFFF
"""To llama.cpp this seed means "any"."""

_TOKEN_DATA = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Sampler:
    """One request's chain with its own random state.  Use it in a `with`: it holds C memory."""

    def __init__(self, sampling: Sampling, vocabulary_size: int) -> None:
        check(sampling)
        self._everything = np.arange(vocabulary_size)
        penalised = (
            sampling.repeat_penalty != 1
            or sampling.frequency_penalty != 0
            or sampling.presence_penalty != 0
        )
        self._chain: Any = None
        if sampling.temperature > 0 or penalised:
            self._chain = _build(sampling, vocabulary_size, penalised=penalised)

    def draw(self, logits: NDArray[np.float32], allowed: NDArray[np.intp] | None = None) -> int:
        """A token id; `allowed` None means every token is.  Raises `ModelError` for NaN logits."""
        if self._chain is None:
            chosen = logits if allowed is None else logits[allowed]
            place = int(np.argmax(chosen))
            token = place if allowed is None else int(allowed[place])
        else:
            token = self._apply(logits, self._everything if allowed is None else allowed)
        if np.isnan(logits[token]):
            raise ModelError("the model computes numbers that are none (NaN): its file is damaged")
        return token

    def _apply(self, logits: NDArray[np.float32], ids: NDArray[np.intp]) -> int:
        import llama_cpp

        data = np.zeros(len(ids), dtype=_TOKEN_DATA)
        data["id"], data["logit"] = ids, logits[ids]
        candidates = llama_cpp.llama_token_data_array(
            data=data.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token_data)),
            size=len(ids),
            selected=-1,
            sorted=False,
        )
        llama_cpp.llama_sampler_apply(self._chain, ctypes.byref(candidates))
        if candidates.selected < 0:
            raise ModelError("the sampler chose no token")
        return int(candidates.data[candidates.selected].id)

    def accept(self, tokens: Iterable[int]) -> None:
        """Tell the penalties what was written, drawn or forced."""
        if self._chain is not None:
            import llama_cpp

            for token in tokens:
                llama_cpp.llama_sampler_accept(self._chain, token)

    def __enter__(self) -> Sampler:
        return self

    def __exit__(self, *failure: object) -> None:
        if self._chain is not None:
            import llama_cpp

            llama_cpp.llama_sampler_free(self._chain)
            self._chain = None


def _build(sampling: Sampling, vocabulary_size: int, *, penalised: bool) -> Any:
    import llama_cpp as lib

    chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
    stages: list[Any] = []
    if penalised:
        stages.append(
            lib.llama_sampler_init_penalties(
                vocabulary_size,
                PENALTY_WINDOW,
                sampling.repeat_penalty,
                sampling.frequency_penalty,
                sampling.presence_penalty,
            )
        )
    if sampling.temperature > 0:
        if sampling.top_k > 0:
            stages.append(lib.llama_sampler_init_top_k(sampling.top_k))
        if sampling.top_p < 1:
            stages.append(lib.llama_sampler_init_top_p(sampling.top_p, 1))
        if sampling.min_p > 0:
            stages.append(lib.llama_sampler_init_min_p(sampling.min_p, 1))
        stages.append(lib.llama_sampler_init_temp(sampling.temperature))
        seed = random.getrandbits(32) if sampling.seed is None else sampling.seed
        stages.append(lib.llama_sampler_init_dist(seed % RANDOM_SEED))
    else:
        stages.append(lib.llama_sampler_init_greedy())
    for stage in stages:
        lib.llama_sampler_chain_add(chain, stage)
    return chain


def check(sampling: Sampling) -> None:
    """Raise `UserError` for a parameter that makes no sense, and name it."""
    for name, (low, high) in BOUNDS.items():
        value = getattr(sampling, name)
        kind = int if isinstance(low, int) else (int, float)
        if isinstance(value, bool) or not isinstance(value, kind):
            wanted = "a whole number" if kind is int else "a number"
            raise UserError(f"{name} must be {wanted}, not {value!r}")
        if not low <= value <= high:  # also catches NaN
            raise UserError(f"{name} must be between {low} and {high}, not {value!r}")
    if sampling.seed is not None and not isinstance(sampling.seed, int):
        raise UserError(f"seed must be a whole number, not {sampling.seed!r}")
