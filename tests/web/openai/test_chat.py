"""The official client asks, and reads whole answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from agentkit.messages import JsonSchema, Message, OneTool, ToolCall
from agentkit.web.openai.body import USUAL_MIN_P
from tests.web.openai.conftest import Place, Script

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello?"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a town.",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
    },
}
CLOCK: Any = {"type": "function", "function": {"name": "clock"}}


def test_an_answer_has_all_that_clients_look_at(client: openai.OpenAI, script: Script) -> None:
    script("Hello there.")
    found = client.chat.completions.create(model="scripted", messages=HELLO)
    assert found.object == "chat.completion"
    assert found.id.startswith("chatcmpl-")
    assert found.model == "scripted"
    (choice,) = found.choices
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "stop", None)
    assert choice.message.role == "assistant"
    assert choice.message.content == "Hello there."
    assert choice.message.tool_calls is None
    assert found.usage is not None
    assert found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens
    assert found.usage.completion_tokens == 2


def test_what_was_read_before_is_counted_as_cached(client: openai.OpenAI) -> None:
    told = [
        client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "cached? " * 20}], max_tokens=4
        ).usage
        for _ in range(2)
    ]
    assert told[1] is not None
    assert told[1].prompt_tokens_details is not None
    assert told[1].prompt_tokens_details.cached_tokens == told[1].prompt_tokens - 1


def test_without_a_model_it_is_the_one_of_the_settings(place: Place) -> None:
    with place.http() as http:
        found = http.post("/v1/chat/completions", json={"messages": HELLO, "max_tokens": 3})
    assert found.json()["model"] == "tiny"


def test_the_asynchronous_client_is_answered_too(asynchronous: openai.AsyncOpenAI) -> None:
    async def ask() -> list[str | None]:
        async with asynchronous as client:
            found = await asyncio.gather(
                *(client.chat.completions.create(
                    model="tiny", messages=HELLO, max_tokens=3, temperature=0)
                  for _ in range(8))
            )  # fmt: skip
        return [one.choices[0].message.content for one in found]

    answers = asyncio.run(ask())
    assert len(answers) == 8
    assert {len(one or "") for one in answers} == {3}


def test_several_answers_to_one_question(client: openai.OpenAI) -> None:
    found = client.chat.completions.create(
        model="tiny", messages=HELLO, n=3, max_tokens=8, seed=1, temperature=2
    )
    assert [one.index for one in found.choices] == [0, 1, 2]
    assert len({one.message.content for one in found.choices}) == 3
    assert found.usage is not None
    assert found.usage.completion_tokens == 3 * 8


def test_how_an_answer_is_drawn_reaches_the_model(client: openai.OpenAI, script: Script) -> None:
    model = script("Yes.")
    client.chat.completions.create(
        model="scripted",
        messages=HELLO,
        temperature=0.3,
        top_p=0.9,
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        logit_bias={"17": -100},
        seed=7,
        stop=["\n", "END"],
        max_completion_tokens=50,
        extra_body={"top_k": 40, "min_p": 0.1, "repeat_penalty": 1.1},
    )
    (request,) = model.requests
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.seed) == (0.3, 0.9, 7)
    assert (sampling.frequency_penalty, sampling.presence_penalty) == (0.5, -0.5)
    assert (sampling.top_k, sampling.min_p, sampling.repeat_penalty) == (40, 0.1, 1.1)
    assert sampling.logit_bias == {17: -100.0}
    assert (request.stop, request.max_tokens) == (("\n", "END"), 50)
    assert request.priority == "interactive"


def test_where_nothing_is_said_the_defaults_are_those_of_the_api(
    client: openai.OpenAI, script: Script
) -> None:
    model = script("Yes.")
    client.chat.completions.create(model="scripted", messages=HELLO)
    sampling = model.requests[0].sampling
    assert (sampling.temperature, sampling.top_p, sampling.min_p) == (1.0, 1.0, USUAL_MIN_P)


def test_the_older_name_of_a_limit_is_taken(client: openai.OpenAI, script: Script) -> None:
    model = script("One two three four.")
    found = client.chat.completions.create(
        model="scripted", messages=HELLO, max_tokens=2, stop="never"
    )
    assert found.choices[0].finish_reason == "length"
    assert found.choices[0].message.content == "One two"
    assert model.requests[0].stop == ("never",)


def test_a_seed_repeats_an_answer_and_another_one_does_not(client: openai.OpenAI) -> None:
    def ask(seed: int) -> str | None:
        found = client.chat.completions.create(
            model="tiny", messages=HELLO, max_tokens=12, seed=seed
        )
        return found.choices[0].message.content

    assert ask(1) == ask(1) != ask(2)


def test_a_bias_can_ban_a_token(client: openai.OpenAI) -> None:
    def ask(**more: Any) -> str:
        found = client.chat.completions.create(
            model="tiny", messages=HELLO, max_tokens=1, temperature=0, **more
        )
        return found.choices[0].message.content or ""

    first = ask()
    assert ask(logit_bias={str(ord(first)): -100}) != first


def test_harmless_parameters_are_taken(client: openai.OpenAI) -> None:
    found = client.chat.completions.create(
        model="tiny",
        messages=HELLO,
        max_tokens=3,
        user="u",
        metadata={"a": "b"},
        store=True,
        service_tier="auto",
        safety_identifier="s",
        prompt_cache_key="k",
        modalities=["text"],
    )
    assert len(found.choices[0].message.content or "") == 3


def test_probabilities_of_tokens_come_with_their_rivals(client: openai.OpenAI) -> None:
    found = client.chat.completions.create(
        model="tiny", messages=HELLO, max_tokens=3, logprobs=True, top_logprobs=4, temperature=0
    )
    told = found.choices[0].logprobs
    assert told is not None
    assert told.content is not None
    assert len(told.content) == 3
    for one in told.content:
        assert bytes(one.bytes or []).decode() == one.token
        assert one.logprob <= 0
        assert len(one.top_logprobs) == 4
        assert one.top_logprobs[0].logprob == one.logprob  # greedy
    assert "".join(one.token for one in told.content) == found.choices[0].message.content


# -- what a conversation is made of ----------------------------------------------------------------


def test_all_roles_and_forms_of_content_come_through(client: openai.OpenAI, script: Script) -> None:
    model = script("Yes.")
    client.chat.completions.create(
        model="scripted",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
            {
                "role": "user",
                "name": "ann",
                "content": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "clock", "arguments": "{}"},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "noon"},
        ],
    )
    assert model.requests[0].messages == (
        Message("system", "Be brief."),
        Message("system", "Be kind."),
        Message("user", "One.\nTwo."),
        Message("assistant", "", tool_calls=(ToolCall("c1", "clock", "{}"),)),
        Message("tool", "noon", tool_call_id="c1"),
    )


def test_reasoning_is_given_and_taken_back(client: openai.OpenAI, script: Script) -> None:
    model = script(Message("assistant", "Four.", "Two and two."), "Sure.")
    first = client.chat.completions.create(model="scripted", messages=HELLO).choices[0].message
    assert first.model_dump()["reasoning_content"] == "Two and two."
    client.chat.completions.create(
        model="scripted",
        messages=[*HELLO, first.to_dict(), {"role": "user", "content": "Sure?"}],  # type: ignore[list-item]
    )
    assert model.requests[1].messages[1] == Message("assistant", "Four.", "Two and two.")


def test_how_long_a_model_reasons_is_told_to_its_template(client: openai.OpenAI) -> None:
    def read(**how: Any) -> int:
        found = client.chat.completions.create(
            model="tiny-coder", messages=HELLO, max_tokens=1, **how
        )
        assert found.usage is not None
        tokens: int = found.usage.prompt_tokens
        return tokens

    assert read(reasoning_effort="none") == read() + len("<think>\n\n</think>\n\n")
    assert read(reasoning_effort="high") == read()
    with pytest.raises(openai.BadRequestError) as caught:
        read(reasoning_effort="much")
    assert caught.value.param == "reasoning_effort"


def test_reasoning_by_the_name_that_ollama_gives_it(place: Place, script: Script) -> None:
    model = script("Yes.")
    turn = {"role": "assistant", "content": "Four.", "reasoning": "Hm."}
    with place.http() as http:
        http.post("/v1/chat/completions", json={"model": "scripted", "messages": [turn, *HELLO]})
    assert model.requests[0].messages[0].reasoning == "Hm."


def test_an_answer_can_be_sent_back_as_it_came(client: openai.OpenAI, script: Script) -> None:
    model = script((ToolCall("c1", "clock", "{}"),), "Noon.")
    first = client.chat.completions.create(model="scripted", messages=HELLO, tools=[CLOCK])
    said = first.choices[0].message
    assert said.tool_calls is not None
    result: Any = {"role": "tool", "tool_call_id": said.tool_calls[0].id, "content": "12:00"}
    found = client.chat.completions.create(
        model="scripted",
        messages=[*HELLO, said.to_dict(), result],  # type: ignore[list-item]
        tools=[CLOCK],
    )
    assert found.choices[0].message.content == "Noon."
    assert model.requests[1].messages[1].tool_calls == (ToolCall("c1", "clock", "{}"),)


# -- tools -----------------------------------------------------------------------------------------


def test_calls_come_as_json_text_beside_no_content(client: openai.OpenAI, script: Script) -> None:
    model = script((ToolCall("c1", "weather", '{"town": "Rome"}'), ToolCall("c2", "clock", "{}")))
    found = client.chat.completions.create(
        model="scripted", messages=HELLO, tools=[WEATHER, CLOCK]
    ).choices[0]
    assert found.finish_reason == "tool_calls"
    assert found.message.content is None
    assert found.message.tool_calls is not None
    calls = [(one.id, one.type, one.function.name, one.function.arguments)  # type: ignore[union-attr]
             for one in found.message.tool_calls]  # fmt: skip
    assert calls == [
        ("c1", "function", "weather", '{"town": "Rome"}'),
        ("c2", "function", "clock", "{}"),
    ]
    weather, clock = model.requests[0].tools
    assert weather.description == "The weather of a town."
    assert clock.parameters == {"type": "object", "properties": {}}
    assert model.requests[0].parallel_tool_calls


@pytest.mark.parametrize("wish", ["auto", "none", "required"])
def test_a_choice_in_a_word(client: openai.OpenAI, script: Script, wish: Any) -> None:
    model = script(ToolCall("c", "clock", "{}") if wish == "required" else "No.")
    client.chat.completions.create(
        model="scripted",
        messages=HELLO,
        tools=[CLOCK],
        tool_choice=wish,
        parallel_tool_calls=False,
    )
    assert model.requests[0].tool_choice == wish
    assert not model.requests[0].parallel_tool_calls


def test_a_choice_by_name(client: openai.OpenAI, script: Script) -> None:
    model = script(ToolCall("c", "clock", "{}"))
    client.chat.completions.create(
        model="scripted",
        messages=HELLO,
        tools=[WEATHER, CLOCK],
        tool_choice={"type": "function", "function": {"name": "clock"}},
    )
    assert model.requests[0].tool_choice == OneTool("clock")


def test_a_choice_among_some_leaves_the_prompt_as_it_is(
    client: openai.OpenAI, script: Script
) -> None:
    model = script(ToolCall("c", "clock", "{}"))
    client.chat.completions.create(
        model="scripted",
        messages=HELLO,
        tools=[WEATHER, CLOCK],
        tool_choice={
            "type": "allowed_tools",
            "allowed_tools": {
                "mode": "required",
                "tools": [{"type": "function", "function": {"name": "clock"}}],
            },
        },
    )
    assert model.requests[0].tool_choice == "required"
    assert [tool.allowed for tool in model.requests[0].tools] == [False, None]


# -- answers with a shape --------------------------------------------------------------------------


class Mood(StrEnum):
    GOOD = "good"
    BAD = "bad"


class Report(BaseModel):
    title: str
    mood: Mood
    points: list[int]


def test_parse_gives_an_object(client: openai.OpenAI, script: Script) -> None:
    model = script({"title": "Monday", "mood": "good", "points": [1, 2]})
    found = client.chat.completions.parse(
        model="scripted", messages=HELLO, response_format=Report
    ).choices[0]
    assert found.message.parsed == Report(title="Monday", mood=Mood.GOOD, points=[1, 2])
    constraint = model.requests[0].constraint
    assert isinstance(constraint, JsonSchema)
    assert list(constraint.schema["properties"]) == ["title", "mood", "points"]


def test_parse_gives_the_arguments_of_calls_as_objects(
    client: openai.OpenAI, script: Script
) -> None:
    script(ToolCall("c", "Report", '{"title": "A", "mood": "bad", "points": []}'))
    found = client.chat.completions.parse(
        model="scripted", messages=HELLO, tools=[openai.pydantic_function_tool(Report)]
    ).choices[0]
    assert found.message.tool_calls is not None
    assert found.message.tool_calls[0].function.parsed_arguments == Report(
        title="A", mood=Mood.BAD, points=[]
    )


@pytest.mark.filterwarnings("ignore:Pydantic serializer")  # the client's own, about `parsed`
def test_a_parsed_answer_can_be_sent_back(client: openai.OpenAI, script: Script) -> None:
    model = script({"title": "A", "mood": "bad", "points": []}, "Why?")
    said = client.chat.completions.parse(model="scripted", messages=HELLO, response_format=Report)
    client.chat.completions.create(
        model="scripted",
        messages=[*HELLO, said.choices[0].message, *HELLO],  # type: ignore[list-item]
    )
    assert json.loads(model.requests[1].messages[1].content)["title"] == "A"


def test_any_object_and_a_schema_of_ones_own(client: openai.OpenAI, script: Script) -> None:
    model = script({}, "[1]", "text")
    formats: list[Any] = [
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "array"}}},
        {"type": "text"},
    ]
    for one in formats:
        client.chat.completions.create(model="scripted", messages=HELLO, response_format=one)
    assert [one.constraint for one in model.requests] == [
        JsonSchema({"type": "object"}),
        JsonSchema({"type": "array"}),
        None,
    ]


def test_a_model_that_knows_nothing_still_keeps_to_a_schema(client: openai.OpenAI) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 9}},
              "required": ["n"], "additionalProperties": False}  # fmt: skip
    found = client.chat.completions.create(
        model="tiny",
        messages=HELLO,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
        max_tokens=40,
    )
    assert json.loads(found.choices[0].message.content or "")["n"] <= 9


# -- who does not wait -----------------------------------------------------------------------------


@contextmanager
def breaking_off(
    place: Place, tokens: int, route: str = "/v1/chat/completions"
) -> Iterator[Callable[[], None]]:
    """What is done within ends an answer of so many tokens; wait until the model is at work."""

    def users() -> int:
        return sum(one["users"] for one in owner.get("/api/models/loaded").json())

    def wait() -> None:
        while not users():
            pass

    with place.http(place.owner) as owner:
        before = spent(place, "written", route)
        yield wait
        while users():
            pass
        assert spent(place, "written", route) - before < tokens


def spent(place: Place, kind: str, route: str = "/v1/chat/completions") -> float:
    """Tokens of `tiny`, as /metrics has them."""
    name = f'agentkit_api_tokens_total{{kind="{kind}",model="tiny",route="{route}"}} '
    with place.http(place.owner) as owner:
        lines = owner.get("/metrics").text.splitlines()
    return next((float(one.removeprefix(name)) for one in lines if one.startswith(name)), 0)


def test_a_client_that_goes_away_frees_its_place(place: Place) -> None:
    body = {"messages": HELLO, "max_tokens": 440, "temperature": 0}

    async def leave(wait: Callable[[], None]) -> None:
        about = {"Authorization": f"Bearer {place.token}"}
        async with httpx.AsyncClient(base_url=place.url, headers=about, trust_env=False) as http:
            asking = asyncio.create_task(http.post("/v1/chat/completions", json=body))
            await asyncio.to_thread(wait)
            asking.cancel()

    with breaking_off(place, tokens=440) as wait:
        asyncio.run(leave(wait))


def test_metrics_tell_what_answers_cost(place: Place, client: openai.OpenAI) -> None:
    def all_() -> list[float]:
        return [spent(place, kind) for kind in ("read", "cached", "written")]

    messages: Any = [{"role": "user", "content": "What does it cost? " * 8}]
    before = all_()
    found = [
        client.chat.completions.create(model="tiny", messages=messages, max_tokens=3, n=n).usage
        for n in (1, 2)
    ]
    told = [one.model_dump() for one in found if one is not None]
    assert [after - then for after, then in zip(all_(), before, strict=True)] == [
        sum(one["prompt_tokens"] for one in told),
        sum(one["prompt_tokens_details"]["cached_tokens"] for one in told),
        sum(one["completion_tokens"] for one in told),
    ]
    assert told[1]["completion_tokens"] == 6
    read = spent(place, "read", "/v1/completions")
    list(client.completions.create(model="tiny", prompt=["abc", "d"], max_tokens=1, stream=True))
    assert spent(place, "read", "/v1/completions") - read == len("abcd")
