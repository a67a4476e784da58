"""/v1/embeddings."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field

from agentkit.cancel import CancelToken
from agentkit.errors import UserError
from agentkit.ports import Embedder
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

Tokens = Annotated[list[int], Field(min_length=1)]


class EmbeddingBody(Harmless):
    """See https://platform.openai.com/docs/api-reference/embeddings/create."""

    model: str | None = None
    input: str | Tokens | Annotated[list[str | Tokens], Field(min_length=1, max_length=MOST_TEXTS)]
    """Texts, or tokens of the model's own vocabulary."""
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)

    def texts(self, model: Embedder) -> list[str]:
        """What becomes vectors.  Raises `Refused` for what is no token of this model."""
        match self.input:
            case str() | [int(), *_]:
                given: list[Any] = [self.input]
            case _:
                given = list(self.input)
        try:
            return [one if isinstance(one, str) else model.text(one) for one in given]
        except UserError as error:
            hint = f"{error.hint}; for LangChain, set check_embedding_ctx_length=False"
            raise Refused("input", error.message, hint=hint) from None


@router.post(PATH)
async def embed(asked: EmbeddingBody, here: Here, request: Request) -> dict[str, Any]:
    """Texts as vectors of length one."""
    name = asked.model or here.runtime.settings.roles.embed

    def work(cancel: CancelToken) -> tuple[list[str | list[float]], int]:
        model = here.runtime.embedder(name)
        if asked.dimensions not in (None, model.dimensions):
            said = f"the vectors of {name!r} have {model.dimensions} dimensions, and no others"
            raise Refused("dimensions", said)
        texts = asked.texts(model)
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
