"""The official client reads along."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel, Field

from agentkit.errors import ModelError
from agentkit.messages import Message, ToolCall
from agentkit.web.openai import elsewhere
from tests.web.openai.conftest import Place, Script
from tests.web.openai.test_chat import CLOCK, HELLO, WEATHER, Mood, Report, breaking_off


def read(client: openai.OpenAI, model: str = "scripted", **more: Any) -> list[ChatCompletionChunk]:
    return list(client.chat.completions.create(model=model, messages=HELLO, stream=True, **more))


def test_a_text_comes_in_pieces(client: openai.OpenAI, script: Script) -> None:
    script("Hello there, you.")
    chunks = read(client)
    assert {one.object for one in chunks} == {"chat.completion.chunk"}
    assert len({one.id for one in chunks}) == 1
    deltas = [one.choices[0].delta for one in chunks]
    assert deltas[0].role == "assistant"
    assert [one.content for one in deltas[1:-1]] == ["Hello", " there,", " you."]
    assert [one.choices[0].finish_reason for one in chunks[-2:]] == [None, "stop"]
    assert all(one.usage is None for one in chunks)


def test_a_stream_says_what_a_whole_answer_does(client: openai.OpenAI) -> None:
    how: Any = {"model": "tiny", "max_tokens": 12, "temperature": 0}
    whole = client.chat.completions.create(messages=HELLO, **how).choices[0]
    choices = [one.choices[0] for one in read(client, **how)]
    assert "".join(one.delta.content or "" for one in choices) == whole.message.content
    assert choices[-1].finish_reason == whole.finish_reason == "length"


def test_the_last_chunk_says_what_it_cost(client: openai.OpenAI) -> None:
    chunks = read(client, "tiny", max_tokens=2, stream_options={"include_usage": True})
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 2
    assert all(one.usage is None for one in chunks[:-1])


def test_reasoning_comes_before_the_text(client: openai.OpenAI, script: Script) -> None:
    script(Message("assistant", "Four.", "Two and two."))
    told = [one.choices[0].delta.model_dump(exclude_none=True) for one in read(client)]
    reasoning = [one["reasoning_content"] for one in told if "reasoning_content" in one]
    assert "".join(reasoning) == "Two and two."
    assert told[-2] == {"content": "Four."}


def test_calls_have_an_index_and_their_name_once(client: openai.OpenAI, script: Script) -> None:
    script((ToolCall("c1", "weather", '{"town": "Rome"}'), ToolCall("c2", "clock", "{}")))
    chunks = read(client, tools=[WEATHER, CLOCK])
    pieces = [piece for one in chunks for piece in one.choices[0].delta.tool_calls or ()]
    assert [(one.index, one.id, one.type) for one in pieces] == [
        (0, "c1", "function"),
        (1, "c2", "function"),
    ]
    assert pieces[0].function is not None
    assert json.loads(pieces[0].function.arguments or "") == {"town": "Rome"}
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_several_answers_are_told_apart(client: openai.OpenAI) -> None:
    how: Any = {"model": "tiny", "n": 2, "max_tokens": 8, "seed": 3}
    whole = client.chat.completions.create(messages=HELLO, **how).choices
    texts = {0: "", 1: ""}
    ends = []
    for chunk in read(client, **how):
        (choice,) = chunk.choices
        texts[choice.index] += choice.delta.content or ""
        ends += [choice.index] if choice.finish_reason else []
    assert texts == {one.index: one.message.content for one in whole}
    assert sorted(ends) == [0, 1]


def test_probabilities_come_with_the_tokens(client: openai.OpenAI) -> None:
    choices = [
        one.choices[0] for one in read(client, "tiny", max_tokens=6, logprobs=True, top_logprobs=1)
    ]
    tokens = [token for one in choices if one.logprobs for token in one.logprobs.content or ()]
    assert len(tokens) == 6
    assert "".join(one.token for one in tokens) == "".join(
        one.delta.content or "" for one in choices
    )
    assert all(one.logprob <= 0 and len(one.top_logprobs) == 1 for one in tokens)


class Short(BaseModel):
    """What a model that knows nothing can write to its end."""

    title: str = Field(max_length=4)
    mood: Mood


def test_the_clients_own_helper_puts_a_stream_together(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="tiny", messages=HELLO, response_format=Short, max_tokens=60
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.parsed is not None
    assert final.choices[0].message.parsed.mood in Mood


def test_the_helper_puts_calls_together(client: openai.OpenAI, script: Script) -> None:
    script(ToolCall("c", "Report", '{"title": "A", "mood": "bad", "points": []}'))
    with client.chat.completions.stream(
        model="scripted", messages=HELLO, tools=[openai.pydantic_function_tool(Report)]
    ) as stream:
        done = [one for one in stream if one.type == "tool_calls.function.arguments.done"]
    assert [one.name for one in done] == ["Report"]


def test_the_asynchronous_client_reads_many_at_once(asynchronous: openai.AsyncOpenAI) -> None:
    async def ask(client: openai.AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(
            model="tiny", messages=HELLO, stream=True, max_tokens=4
        )
        return "".join([one.choices[0].delta.content or "" async for one in stream])

    async def all_() -> list[str]:
        async with asynchronous as client:
            return await asyncio.gather(*(ask(client) for _ in range(40)))

    assert [len(one) for one in asyncio.run(all_())] == [4] * 40


def test_what_is_wrong_from_the_start_is_a_status(client: openai.OpenAI, script: Script) -> None:
    script("Yes.", context_tokens=10)
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="scripted", messages=[{"role": "user", "content": "x " * 30}], stream=True
        )
    assert caught.value.code == "context_length_exceeded"


def test_what_goes_wrong_later_is_an_error_in_the_stream(
    client: openai.OpenAI, script: Script
) -> None:
    script(ModelError("it lost its way"))
    with pytest.raises(openai.APIError, match="it lost its way"):
        read(client)


def test_a_stream_that_waits_says_that_it_is_there(
    place: Place, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = threading.Event()

    def slowly(request: Any) -> str:
        heard.wait(10)
        return "Yes."

    monkeypatch.setattr(elsewhere, "SILENCE", 0.01)
    script(slowly)
    body = {"model": "scripted", "messages": HELLO, "stream": True}
    with place.http() as http, http.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = []
        for line in answer.iter_lines():
            lines.append(line)
            if line.startswith(":"):
                heard.set()
    assert ": still here" in lines
    assert lines[-2] == "data: [DONE]"


def test_who_stops_reading_frees_his_place(place: Place, client: openai.OpenAI) -> None:
    with breaking_off(place, tokens=440):
        stream = client.chat.completions.create(
            model="tiny", messages=HELLO, stream=True, max_tokens=440
        )
        next(iter(stream))
        stream.close()
