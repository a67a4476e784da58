"""Vectors, tokens and scores; the models are real ones that know nothing."""

from __future__ import annotations

import asyncio
import base64
import math
from typing import Any

import numpy as np
import openai
import pytest

from tests.web.openai.conftest import Place

# -- /v1/embeddings --------------------------------------------------------------------------------


def test_a_text_becomes_a_vector_of_length_one(client: openai.OpenAI) -> None:
    found = client.embeddings.create(model="tiny-embed", input="Hello.")
    assert found.object == "list"
    assert found.model == "tiny-embed"
    assert math.isclose(np.linalg.norm(found.data[0].embedding), 1, rel_tol=1e-5)
    assert found.usage.prompt_tokens == found.usage.total_tokens == len("Hello.")


def test_several_texts_keep_their_order(client: openai.OpenAI) -> None:
    both = client.embeddings.create(model="tiny-embed", input=["one", "another"]).data
    alone = client.embeddings.create(model="tiny-embed", input="another").data
    assert [one.index for one in both] == [0, 1]
    assert both[1].embedding == pytest.approx(alone[0].embedding, abs=1e-4)


def test_base64_and_numbers_say_the_same(place: Place) -> None:
    def ask(form: str | None) -> Any:
        more = {} if form is None else {"encoding_format": form}
        with place.http() as http:
            answer = http.post("/v1/embeddings", json={"input": "x", **more})
        return answer.json()["data"][0]["embedding"]

    numbers = np.frombuffer(base64.b64decode(ask("base64")), dtype="<f4")
    assert numbers.tolist() == ask("float") == ask(None)


def test_tokens_of_the_models_own_are_as_good_as_their_text(client: openai.OpenAI) -> None:
    """Of one text, of several, and beside texts; the marks around a text change nothing."""

    def ask(given: Any) -> list[list[float]]:
        return [one.embedding for one in client.embeddings.create(input=given, model="").data]

    (wanted,) = ask("Hello.")
    tokens = list(b"Hello.")
    assert ask(tokens) == [wanted]
    assert ask([*tokens, 258]) == [wanted]
    for several in ([tokens, list(b"x")], [tokens, "x"]):
        assert ask(several)[0] == pytest.approx(wanted, abs=1e-4)
    assert len(ask([list(b"Hi")] * 3)) == 3


def test_tokens_of_another_vocabulary_are_told_apart_where_that_can_be(
    client: openai.OpenAI,
) -> None:
    with pytest.raises(openai.BadRequestError, match=r"no token of .*LangChain") as caught:
        client.embeddings.create(model="tiny-embed", input=[9906, 13])
    assert caught.value.param == "input"


def test_the_asynchronous_client_gets_vectors(asynchronous: openai.AsyncOpenAI) -> None:
    async def ask() -> int:
        async with asynchronous as client:
            found = await client.embeddings.create(model="tiny-embed", input=["a", "b", "c"])
        return len(found.data)

    assert asyncio.run(ask()) == 3


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"input": [1, 2, 100_000]}, "input"),
        ({"input": [[1, 2], [-1]]}, "input"),
        ({"input": [1 << 80]}, "input"),
        ({"input": [True]}, "input[0]"),
        ({"input": [1, "x"]}, "input[1]"),
        ({"input": [[]]}, "input[0]"),
        ({"input": []}, "input"),
        ({"dimensions": 3}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"truncate": True}, "truncate"),
    ],
)
def test_what_cannot_be_embedded_is_named(place: Place, more: dict[str, Any], param: str) -> None:
    with place.http() as http:
        answer = http.post("/v1/embeddings", json={"input": "x", **more})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_a_text_that_is_too_long_is_told_by_how_much(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="too long") as caught:
        client.embeddings.create(model="tiny-embed", input="x" * 5000)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")


def test_a_chat_model_embeds_nothing(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="embed"):
        client.embeddings.create(model="tiny", input="x")


# -- /tokenize, /detokenize ------------------------------------------------------------------------


def test_tokens_of_a_text_and_back(place: Place) -> None:
    with place.http() as http:
        found = http.post("/tokenize", json={"model": "tiny", "prompt": "Hi<|im_end|>"}).json()
        assert found == {"count": 3, "tokens": [*b"Hi", 258]}
        back = http.post("/detokenize", json={"model": "tiny", "tokens": found["tokens"]}).json()
    assert back["prompt"] == back["content"] == "Hi<|im_end|>"


def test_tokens_in_the_words_of_llama_server(place: Place) -> None:
    with place.http() as http:
        found = http.post("/tokenize", json={"content": "Hi", "with_pieces": True}).json()
    assert found["tokens"] == [{"id": 72, "piece": "H"}, {"id": 105, "piece": "i"}]


def test_tokens_of_a_conversation_are_those_that_the_model_reads(
    place: Place, client: openai.OpenAI
) -> None:
    messages: Any = [{"role": "user", "content": "Hi"}]
    with place.http() as http:
        found = http.post("/tokenize", json={"messages": messages, "return_token_strs": True})
    read = client.chat.completions.create(model="tiny", messages=messages, max_tokens=1).usage
    assert read is not None
    assert found.json()["count"] == read.prompt_tokens
    assert found.json()["token_strs"][0] == "<|im_start|>"


def test_what_is_no_token_or_no_single_text_is_refused(place: Place) -> None:
    with place.http() as http:
        assert http.post("/detokenize", json={"tokens": [100_000]}).status_code == 400
        assert http.post("/tokenize", json={}).status_code == 400
        assert http.post("/tokenize", json={"prompt": "a", "content": "b"}).status_code == 400


# -- /v1/score -------------------------------------------------------------------------------------


def test_an_answer_has_the_probability_that_the_model_gives_it(
    place: Place, client: openai.OpenAI
) -> None:
    messages: Any = [{"role": "user", "content": "Hi"}]
    written = client.chat.completions.create(
        model="tiny", messages=messages, max_tokens=3, temperature=0, logprobs=True
    ).choices[0]
    assert written.logprobs is not None
    likely = sum(one.logprob for one in written.logprobs.content or ())
    body = {"messages": messages, "continuation": [written.message.content, "no"]}
    with place.http() as http:
        found = http.post("/v1/score", json=body).json()
    assert [one["index"] for one in found["data"]] == [0, 1]
    assert found["data"][0]["score"] == pytest.approx(likely, abs=0.01)
    assert len(found["data"][1]["tokens"]) == 2
    assert found["data"][1]["score"] == pytest.approx(
        sum(one["logprob"] for one in found["data"][1]["tokens"])
    )


def test_two_texts_are_as_near_as_their_vectors(place: Place) -> None:
    body = {"model": "tiny-embed", "text_1": "one", "text_2": ["one", "another thing"]}
    with place.http() as http:
        found = http.post("/v1/score", json=body).json()["data"]
    assert found[0]["score"] == pytest.approx(1, abs=1e-4)
    assert found[1]["score"] < found[0]["score"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": [{"role": "user", "content": "Hi"}]},
        {"text_1": "a", "text_2": "b", "continuation": "c"},
        {"text_1": ["a", "b"], "text_2": ["a", "b", "c"]},
        {"messages": [{"role": "user", "content": "Hi"}], "continuation": ""},
    ],
)
def test_what_cannot_be_scored_is_refused(place: Place, body: dict[str, Any]) -> None:
    with place.http() as http:
        assert http.post("/v1/score", json=body).status_code == 400
