"""Draw the next token: the stages of llama.cpp's default chain, in their order, written in numpy.

Logit bias, penalties and DRY change the logits of a few tokens; top-k, typical, top-p and min-p
then narrow the choice, each by the probabilities that the one before it left; the temperature comes
last.  A grammar comes before everything: what it does not allow has no probability at any stage.

The results are those of llama.cpp's own samplers, which the tests compare; they are not used since
most of them sort or copy the whole vocabulary (top-p on 152k tokens: 8 ms).  Here each stage looks
for a small set that must contain what it keeps, and works on that: no result depends on it.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
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

_BLOCK = 256
_NEVER = np.float32(1000)
"""A token so much less likely than the likeliest has probability 0 in floating point."""
_LARGEST_DRY_EXPONENT = 80.0
"""Natural logarithm of where the penalty of DRY stops growing, well within float32."""


class Mask(Protocol):
    """Which tokens may come next."""

    def permits(self, token: int) -> bool:
        """Whether this one may."""

    def candidates(self, logits: Logits) -> tuple[Places, Logits]:
        """Ids of tokens, all that may come next among them, and their logits.

        A token that may not come has the logit -inf, or is missing.
        """


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

    def __init__(self, sampling: Sampling, vocabulary: Vocabulary) -> None:
        check(sampling, vocabulary.size)
        self._sampling = sampling
        self._everything: Places = vocabulary.ids
        self._bias_ids = np.array(list(sampling.logit_bias), dtype=np.intp)
        bias = np.array(list(sampling.logit_bias.values()), dtype=np.float32)
        self._bias = np.where(bias == -BIAS_BOUND, np.float32(-np.inf), bias)
        self._penalised = (
            sampling.repeat_penalty != 1
            or sampling.frequency_penalty != 0
            or sampling.presence_penalty != 0
        )
        self._recent: list[int] = []
        self._repetitions = Repetitions(vocabulary.piece) if sampling.dry_multiplier > 0 else None
        self._narrow = _stages(sampling)
        seed = None if sampling.seed is None else sampling.seed % 2**64  # -1 is not 1
        self._random = random.Random(seed)  # noqa: S311 - a draw is no secret

    def draw(self, logits: Logits, mask: Mask | None = None) -> int:
        """A token of those that the mask permits; without a mask, of all.

        `logits` has the shape `(vocabulary size,)` and is left as it is.  Raises `ModelError` for
        logits that are no numbers, `UserError` if `logit_bias` bans all that may come next.
        """
        logits = self._adjusted(logits)
        if self._sampling.temperature > 0:
            token = self._pick(logits, mask)
        else:
            token = int(np.argmax(logits))
            if mask is not None and not np.isnan(logits[token]) and not mask.permits(token):
                places, values = mask.candidates(logits)
                token = int(places[np.argmax(values)])
        if not np.isfinite(logits[token]):
            raise _unusable(logits[token])
        return token

    def accept(self, tokens: Sequence[int]) -> None:
        """Tell the penalties what was written, drawn or forced."""
        if self._penalised:
            self._recent = [*self._recent, *tokens][-PENALTY_WINDOW:]
        if self._repetitions:
            for token in tokens:
                self._repetitions.accept(token)

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
        for token, length in self._repetitions.prolonged_by(allowed).items():
            exponent = min((length - allowed) * math.log(base), _LARGEST_DRY_EXPONENT)
            logits[token] -= np.float32(self._sampling.dry_multiplier * math.exp(exponent))

    def _pick(self, logits: Logits, mask: Mask | None) -> int:
        places, values = mask.candidates(logits) if mask else (self._everything, logits)
        peak = values.max()
        if not np.isfinite(peak):
            raise _unusable(peak)
        for narrow in self._narrow:
            kept = narrow(values)
            places, values = places[kept], values[kept]
        weights, _ = _weights(values / np.float32(self._sampling.temperature))
        return int(places[_drawn(weights, self._random.random())])


def _unusable(logit: np.float32) -> ModelError | UserError:
    if logit == -np.inf:
        return UserError("logit_bias bans every token that may come next")
    return ModelError("the model computes numbers that are none (NaN): its file is damaged")


def _drawn(weights: Logits, chance: float) -> int:
    """A place with the probability of its weight; `chance` is uniform in [0, 1).

    Blocks first, then a place in the block: adding up every weight would take most of the time.
    """
    blocks = np.add.reduceat(weights, np.arange(0, len(weights), _BLOCK), dtype=np.float64)
    ends = np.cumsum(blocks)
    sought = chance * ends[-1]
    block = _exceeding(ends, sought)
    within = np.cumsum(weights[block * _BLOCK : (block + 1) * _BLOCK], dtype=np.float64)
    return block * _BLOCK + _exceeding(within, sought - (ends[block] - blocks[block]))


def _exceeding(sums: NDArray[np.float64], sought: float) -> int:
    """The first place where a running sum exceeds a number; never one that adds nothing to it."""
    within = min(max(sought, 0.0), np.nextafter(sums[-1], 0.0))
    return int(np.searchsorted(sums, within, "right"))


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
    """Places of the `count` largest values, the largest first; all if there are not so many."""
    near = np.arange(len(values)) if count >= len(values) else _reaching(values, count)
    if len(near) > count:
        near = near[np.argpartition(values[near], -count)[-count:]]
    return near[np.argsort(-values[near], kind="stable")]


def _reaching(values: Logits, count: int) -> Places:
    """A few places with the `count` largest values among them.

    At least `count` values reach the `count`-th largest of the maxima of blocks.
    """
    blocks = len(values) // _BLOCK
    if blocks <= 2 * count:
        return np.argpartition(values, -count)[-count:]
    maxima = values[: blocks * _BLOCK].reshape(blocks, _BLOCK).max(axis=1)
    return np.flatnonzero(values >= np.partition(maxima, -count)[-count])


def _top_p(values: Logits, mass: float) -> Places:
    """The likeliest that together have at least so much probability."""
    weights, total = _weights(values)
    return _nearest(values.max() - values, weights, mass * total)


def _typical(values: Logits, mass: float) -> Places:
    """Those whose surprise is nearest to the expected one (Meister et al., 2022)."""
    weights, total = _weights(values)
    below = np.maximum(values - values.max(), -_NEVER)
    surprise = np.float32(np.log(total)) - below
    entropy = np.float32(np.dot(weights, surprise) / total)
    return _nearest(np.abs(surprise - entropy), weights, mass * total)


def _min_p(values: Logits, share: float) -> Places:
    """Those with at least this share of the likeliest one's probability."""
    return np.flatnonzero(values >= values.max() + np.log(np.float32(share)))


def _nearest(distance: Logits, weights: Logits, mass: float) -> Places:
    """Places in the order of `distance`, up to where their weights add up to `mass`."""
    for reach in (4, 8, 16, np.inf):
        near = np.flatnonzero(distance <= reach)
        if weights[near].sum(dtype=np.float64) >= mass:
            break
    near = near[np.argsort(distance[near], kind="stable")]
    total = np.cumsum(weights[near], dtype=np.float64)
    return near[: np.searchsorted(total, mass) + 1]


def _weights(values: Logits) -> tuple[Logits, float]:
    """Probabilities but for a common factor, and their sum."""
    weights: Logits = np.exp(values - values.max())
    return weights, float(weights.sum())


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
