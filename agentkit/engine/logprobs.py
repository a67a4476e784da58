"""How likely the model found a token: natural log probabilities over the whole vocabulary."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agentkit.engine.sampling import Mask, largest
from agentkit.engine.vocabulary import Vocabulary
from agentkit.errors import UserError
from agentkit.messages import TokenLogprob

MOST_ALTERNATIVES = 20
"""How many likeliest tokens can be asked for beside each token, as in OpenAI's API."""


def check_top(top: int | None) -> None:
    """Raise `UserError` for a number of alternatives that is not given."""
    if top is None:
        return
    if isinstance(top, bool) or not isinstance(top, int):
        raise UserError(f"top_logprobs must be a whole number, not {top!r}")
    if not 0 <= top <= MOST_ALTERNATIVES:
        raise UserError(f"top_logprobs must be between 0 and {MOST_ALTERNATIVES}, not {top}")


def token_logprob(
    logits: NDArray[np.float32],
    token: int,
    *,
    top: int,
    matcher: Mask | None = None,
    forced: bool = False,
    vocabulary: Vocabulary,
) -> TokenLogprob:
    """What the model thought of a token, and what of the `top` likeliest ones.

    `logits` are those that the token was drawn from, shape `(vocabulary size,)`; the matcher must
    not have accepted the token yet.
    """
    everything = log_sum_exp(logits)
    logit = float(logits[token])
    if forced:
        among_allowed = 0.0
    elif matcher is None:
        among_allowed = logit - everything
    else:
        among_allowed = logit - log_sum_exp(matcher.candidates(logits)[1])
    likeliest = largest(logits, top) if top else ()
    return TokenLogprob(
        token=shown(vocabulary, token),
        logprob=logit - everything,
        allowed_logprob=among_allowed,
        forced=forced,
        top=tuple((shown(vocabulary, int(n)), float(logits[n]) - everything) for n in likeliest),
    )


def log_sum_exp(values: NDArray[np.float32]) -> float:
    """`log(sum(exp(values)))`, without overflow."""
    peak = values.max()
    return float(peak) + float(np.log(np.exp(values - peak).sum(dtype=np.float64)))


def shown(vocabulary: Vocabulary, token: int) -> bytes:
    """The bytes of a token; a control token has the text that stands for it in templates."""
    return vocabulary.piece(token) or vocabulary.text(token).encode()
