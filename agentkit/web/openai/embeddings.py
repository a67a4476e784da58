"""/v1/embeddings."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from agentkit.cancel import CancelToken
from agentkit.web.openai.body import Harmless
from agentkit.web.openai.elsewhere import result
from agentkit.web.openai.refusals import Refused, Route
from agentkit.web.service import Here

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PATH = "/v1/embeddings"

router = APIRouter(tags=["openai"], route_class=Route)

MOST_TEXTS = 2048


class EmbeddingBody(Harmless):
    """See https://platform.openai.com/docs/api-reference/embeddings/create."""

    model: str | None = None
    input: str | Annotated[list[str | int | list[int]], Field(min_length=1, max_length=MOST_TEXTS)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)

    @property
    def texts(self) -> list[str]:
        """What becomes vectors.  Raises `Refused` for tokens."""
        given = [self.input] if isinstance(self.input, str) else self.input
        texts = [one for one in given if isinstance(one, str)]
        if len(texts) < len(given):
            said = "tokens of another vocabulary mean nothing to this model"
            raise Refused("input", said, hint="send texts; LangChain: check_embedding_ctx_length")
        return texts


@router.post(PATH)
async def embed(asked: EmbeddingBody, here: Here, request: Request) -> dict[str, Any]:
    """Texts as vectors of length one."""
    name = asked.model or here.runtime.settings.roles.embed
    texts = asked.texts

    def work(cancel: CancelToken) -> tuple[list[str | list[float]], int]:
        model = here.runtime.embedder(name)
        if asked.dimensions not in (None, model.dimensions):
            said = f"the vectors of {name!r} have {model.dimensions} dimensions, and no others"
            raise Refused("dimensions", said)
        vectors = model.embed(texts, cancel)
        return [_written(one, asked.encoding_format) for one in vectors], model.count_tokens(texts)

    vectors, tokens = await result(request, work)
    here.metrics.answered(PATH, name, tokens)
    return {
        "object": "list",
        "model": name,
        "data": [
            {"object": "embedding", "index": index, "embedding": one}
            for index, one in enumerate(vectors)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _written(vector: NDArray[np.float32], form: str) -> str | list[float]:
    if form == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    floats: list[float] = vector.tolist()
    return floats
