"""Draw the next token: the stages of llama.cpp's default chain, in their order, written in numpy.

Logit bias, penalties and DRY change the logits of a few tokens; top-k, typical, top-p and min-p
then narrow the choice, each by the probabilities that the one before it left; the temperature comes
last.  A grammar comes before everything: what it does not allow has no probability at any stage.

The results are those of llama.cpp's own samplers, which the tests compare; they are not used since
most of them sort or copy the whole vocabulary (top-p on 152k tokens: 8 ms).  Here each stage looks
for a small set that must contain what it keeps, and works on that: no result depends on it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agentkit.engine.vocabulary import Vocabulary
from agentkit.errors import ModelError, UserError
from agentkit.messages import Sampling

Logits = NDArray[np.float32]
Places = NDArray[np.intp]

PENALTY_WINDOW = 64
"""How many tokens back the repetition penalties look, as in llama.cpp's own default.  They and DRY
see the answer only, never the prompt: an answer may repeat what it was asked about."""

DRY_BREAKERS = b'\n:"*'
"""A token with one of these bytes ends a repetition, as in llama.cpp's own default."""

BIAS_BOUND = 100.0
"""The largest logit bias; its negative bans a token."""

BOUNDS: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 5.0),
    "top_k": (0, 1_000_000),
    "top_p": (0.0, 1.0),
    "typical_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "repeat_penalty": (0.1, 10.0),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
    "dry_multiplier": (0.0, 100.0),
    "dry_base": (1.0, 10.0),
    "dry_allowed_length": (1, 1_000_000),
}
"""Smallest and largest value; whole numbers where the parameter is one."""

_BLOCKS = 512
_LARGEST_DRY_EXPONENT = 88.7228391
"""Natural logarithm of the largest float32: llama.cpp's penalty grows no further."""


class Mask(Protocol):
    """Which tokens may come next."""

    def permits(self, token: int) -> bool:
        """Whether this one may."""

    def allowed(self) -> Places:
        """Ids of all that may, in ascending order, at least one."""


def check(sampling: Sampling, vocabulary_size: int | None = None) -> None:
    """Raise `UserError` for a parameter that makes no sense, and name it."""
    for name, (low, high) in BOUNDS.items():
        value = getattr(sampling, name)
        kind = int if isinstance(low, int) else (int, float)
        if isinstance(value, bool) or not isinstance(value, kind):
            wanted = "a whole number" if kind is int else "a number"
            raise UserError(f"{name} must be {wanted}, not {value!r}")
        if not low <= value <= high:  # also catches NaN
            raise UserError(f"{name} must be between {low} and {high}, not {value!r}")
    seed = sampling.seed
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise UserError(f"seed must be a whole number, not {seed!r}")
    for token, bias in sampling.logit_bias.items():
        _check_bias(token, bias, vocabulary_size)


def _check_bias(token: object, bias: object, vocabulary_size: int | None) -> None:
    if isinstance(token, bool) or not isinstance(token, int):
        raise UserError(f"logit_bias wants ids of tokens, not {token!r}")
    if token < 0 or (vocabulary_size is not None and token >= vocabulary_size):
        raise UserError(
            f"logit_bias: {token} is no token of this model",
            hint=f"its tokens are 0 to {vocabulary_size - 1}" if vocabulary_size else None,
        )
    if isinstance(bias, bool) or not isinstance(bias, int | float):
        raise UserError(f"logit_bias: the bias of token {token} must be a number, not {bias!r}")
    if not -BIAS_BOUND <= bias <= BIAS_BOUND:
        raise UserError(
            f"logit_bias: the bias of token {token} must be between {-BIAS_BOUND:g} and "
            f"{BIAS_BOUND:g}, not {bias!r}"
        )


class Sampler:
    """Draws the tokens of one answer, with a random state of its own.

    The same seed and logits give the same tokens, whatever else the model is asked meanwhile.
    Raises `UserError` for parameters that make no sense.
    """

    def __init__(self, sampling: Sampling, vocabulary: Vocabulary | int) -> None:
        size = vocabulary if isinstance(vocabulary, int) else vocabulary.size
        check(sampling, size)
        self._sampling = sampling
        self._everything: Places = np.arange(size)
        self._bias_ids = np.array(list(sampling.logit_bias), dtype=np.intp)
        bias = np.array(list(sampling.logit_bias.values()), dtype=np.float32)
        self._bias = np.where(bias == -BIAS_BOUND, np.float32(-np.inf), bias)
        self._penalised = (
            sampling.repeat_penalty != 1
            or sampling.frequency_penalty != 0
            or sampling.presence_penalty != 0
        )
        self._recent: list[int] = []
        self._repetitions: Repetitions | None = None
        if sampling.dry_multiplier > 0:
            assert not isinstance(vocabulary, int), "DRY reads the text of tokens"
            self._repetitions = Repetitions(vocabulary.piece)
        self._narrow = _stages(sampling)
        self._random = random.Random(None if sampling.seed is None else sampling.seed % 2**64)  # noqa: S311

    def draw(self, logits: Logits, mask: Mask | NDArray[np.intp] | None = None) -> int:
        """A token of those that the mask permits; without a mask, of all.

        `logits` has the shape `(vocabulary size,)` and is left as it is.  Raises `ModelError` for
        logits that are no numbers, `UserError` if `logit_bias` bans all that may come next.
        """
        logits = self._adjusted(logits)
        if self._sampling.temperature > 0:
            places = self._everything if mask is None else _allowed(mask)
            return self._pick(logits, places)
        token = int(np.argmax(logits))
        if not np.isnan(logits[token]) and mask is not None and not _permits(mask, token):
            places = _allowed(mask)
            token = int(places[np.argmax(logits[places])])
        _require_number(logits[token])
        return token

    def accept(self, tokens: Iterable[int]) -> None:
        """Tell the penalties what was written, drawn or forced."""
        if self._penalised:
            self._recent = [*self._recent, *tokens][-PENALTY_WINDOW:]
        if self._repetitions:
            for token in tokens:
                self._repetitions.accept(token)

    def close(self) -> None:
        """Nothing to free."""

    def __enter__(self) -> Sampler:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def _adjusted(self, logits: Logits) -> Logits:
        """With bias, penalties and DRY; the given logits themselves if none of them is on."""
        changes = [self._add_bias] if len(self._bias_ids) else []
        changes += [self._penalise] if self._recent else []
        changes += [self._discourage] if self._repetitions else []
        if changes:
            logits = logits.copy()
        for change in changes:
            change(logits)
        return logits

    def _add_bias(self, logits: Logits) -> None:
        logits[self._bias_ids] += self._bias

    def _penalise(self, logits: Logits) -> None:
        counts = Counter(self._recent)
        ids = np.fromiter(counts, dtype=np.intp)
        count = np.fromiter(counts.values(), dtype=np.float32)
        repeat = np.float32(self._sampling.repeat_penalty)
        values = logits[ids]
        values = np.where(values <= 0, values * repeat, values / repeat)
        frequency, presence = self._sampling.frequency_penalty, self._sampling.presence_penalty
        logits[ids] = values - count * np.float32(frequency) - np.float32(presence)

    def _discourage(self, logits: Logits) -> None:
        assert self._repetitions is not None
        allowed, base = self._sampling.dry_allowed_length, self._sampling.dry_base
        largest = _LARGEST_DRY_EXPONENT / np.log(base) if base > 1.000001 else np.inf
        for token, length in self._repetitions.prolonged_by(allowed).items():
            exponent = min(length - allowed, int(largest) if np.isfinite(largest) else length)
            logits[token] -= self._sampling.dry_multiplier * base**exponent

    def _pick(self, logits: Logits, places: Places) -> int:
        values = logits if places is self._everything else logits[places]
        peak = values.max()
        _require_number(peak)
        for narrow in self._narrow:
            kept = narrow(values)
            places, values = places[kept], values[kept]
        weights = np.exp((values - values.max()) / np.float32(self._sampling.temperature))
        total = np.cumsum(weights, dtype=np.float64)
        return int(places[np.searchsorted(total, self._random.random() * total[-1], "right")])


def _allowed(mask: Mask | NDArray[np.intp]) -> Places:
    return mask if isinstance(mask, np.ndarray) else mask.allowed()


def _permits(mask: Mask | NDArray[np.intp], token: int) -> bool:
    return bool((mask == token).any()) if isinstance(mask, np.ndarray) else mask.permits(token)


def _require_number(logit: np.float32) -> None:
    if np.isnan(logit) or logit == np.inf:
        raise ModelError("the model computes numbers that are none (NaN): its file is damaged")
    if logit == -np.inf:
        raise UserError("logit_bias bans every token that may come next")


# -- stages: the places, among some logits, of those that are kept ---------------------------------


def _stages(sampling: Sampling) -> list[Callable[[Logits], Places]]:
    stages: list[Callable[[Logits], Places]] = []
    if sampling.top_k > 0:
        stages.append(partial(largest, count=sampling.top_k))
    if sampling.typical_p < 1:
        stages.append(partial(_typical, mass=sampling.typical_p))
    if sampling.top_p < 1:
        stages.append(partial(_top_p, mass=sampling.top_p))
    if sampling.min_p > 0:
        stages.append(partial(_min_p, share=sampling.min_p))
    return stages


def largest(values: Logits, count: int) -> Places:
    """Places of the `count` largest values, the largest first.

    The smallest of the `count` largest maxima of blocks is not above the value sought, so that only
    what reaches it is sorted.
    """
    size = len(values) // _BLOCKS
    if count < _BLOCKS // 2 and size > 1:
        maxima = values[: size * _BLOCKS].reshape(_BLOCKS, size).max(axis=1)
        near = np.flatnonzero(values >= np.partition(maxima, -count)[-count])
    elif count < len(values):
        near = np.argpartition(values, -count)[-count:]
    else:
        near = np.arange(len(values))
    return near[np.argsort(-values[near], kind="stable")[:count]]


def _top_p(values: Logits, mass: float) -> Places:
    """The likeliest that together have at least so much probability."""
    probabilities = _softmax(values)
    return _nearest(values.max() - values, probabilities, mass)


def _typical(values: Logits, mass: float) -> Places:
    """Those whose surprise is nearest to the expected one (Meister et al., 2022)."""
    probabilities = _softmax(values)
    surprise = -np.log(probabilities, where=probabilities > 0, out=np.full_like(values, -np.inf))
    entropy = np.sum(np.where(probabilities > 0, probabilities * surprise, 0))
    return _nearest(np.abs(surprise - entropy), probabilities, mass)


def _min_p(values: Logits, share: float) -> Places:
    """Those with at least this share of the likeliest one's probability."""
    return np.flatnonzero(values >= values.max() + np.log(np.float32(share)))


def _nearest(distance: Logits, probabilities: Logits, mass: float) -> Places:
    """Places in the order of `distance`, up to where their probabilities add up to `mass`."""
    for reach in (4, 8, 16, np.inf):
        near = np.flatnonzero(distance <= reach)
        if probabilities[near].sum() >= mass:
            break
    near = near[np.argsort(distance[near], kind="stable")]
    total = np.cumsum(probabilities[near], dtype=np.float64)
    return near[: np.searchsorted(total, mass) + 1]


def _softmax(values: Logits) -> Logits:
    weights: Logits = np.exp(values - values.max())
    weights /= weights.sum()
    return weights


class Repetitions:
    """How long a repetition each token would prolong (DRY, by p-e-w and pi6am).

    `_suffix[j]` counts the tokens before place j that are also the last ones of all: written at
    place j is what would prolong the repetition.  One more token makes each of these either longer
    by one or 0, so no text is compared twice.
    """

    def __init__(self, piece: Callable[[int], bytes]) -> None:
        self._piece = piece
        self._tokens = np.zeros(64, dtype=np.intp)
        self._suffix = np.zeros(64, dtype=np.intp)
        self._length = 0
        self._since_breaker = 0

    def accept(self, token: int) -> None:
        """One more token was written."""
        if self._length + 1 >= len(self._tokens):
            self._tokens = np.pad(self._tokens, (0, len(self._tokens)))
            self._suffix = np.pad(self._suffix, (0, len(self._suffix)))
        n = self._length
        same = self._tokens[:n] == token
        self._suffix[1 : n + 1] = np.where(same, self._suffix[:n] + 1, 0)
        self._tokens[n] = token
        self._length += 1
        self._since_breaker = 0 if self._breaks(token) else self._since_breaker + 1

    def prolonged_by(self, allowed_length: int) -> dict[int, int]:
        """Tokens that would prolong a repetition of `allowed_length` or more, with its length."""
        if self._since_breaker < allowed_length:
            return {}
        lengths = np.minimum(self._suffix[: self._length], self._since_breaker)
        found: dict[int, int] = {}
        for place in np.flatnonzero(lengths >= allowed_length):
            token, length = int(self._tokens[place]), int(lengths[place])
            if length > found.get(token, 0) and not self._breaks(token):
                found[token] = length
        return found

    def _breaks(self, token: int) -> bool:
        return not set(DRY_BREAKERS).isdisjoint(self._piece(token))
