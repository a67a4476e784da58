"""The official client and the Responses API."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from pydantic import BaseModel, Field

from agentkit.errors import ModelError
from agentkit.messages import JsonSchema, Message, OneTool, ToolCall
from tests.web.openai.conftest import Script

CLOCK: Any = {
    "type": "function",
    "name": "clock",
    "description": "The time.",
    "parameters": {"type": "object", "properties": {}},
    "strict": True,
}


def test_an_answer_to_a_text(client: openai.OpenAI, script: Script) -> None:
    model = script("Hello there.")
    found = client.responses.create(
        model="scripted", input="Hello?", instructions="Be kind.", max_output_tokens=20
    )
    assert (found.object, found.status, found.error) == ("response", "completed", None)
    assert found.output_text == "Hello there."
    assert found.usage is not None
    assert found.usage.output_tokens == 2
    assert found.usage.input_tokens_details.cached_tokens == 0
    assert found.instructions == "Be kind."
    (request,) = model.requests
    assert request.messages == (Message("system", "Be kind."), Message("user", "Hello?"))
    assert request.max_tokens == 20


def test_calls_and_their_results(client: openai.OpenAI, script: Script) -> None:
    model = script(ToolCall("c1", "clock", "{}"), "Noon.")
    first = client.responses.create(model="scripted", input="When?", tools=[CLOCK])
    (call,) = first.output
    assert call.type == "function_call"
    assert (call.call_id, call.name, call.arguments) == ("c1", "clock", "{}")
    items: Any = [
        {"role": "user", "content": "When?"},
        *first.output,
        {"type": "function_call_output", "call_id": "c1", "output": "12:00"},
    ]
    assert client.responses.create(model="scripted", input=items).output_text == "Noon."
    assert model.requests[1].messages == (
        Message("user", "When?"),
        Message("assistant", "", tool_calls=(ToolCall("c1", "clock", "{}"),)),
        Message("tool", "12:00", tool_call_id="c1"),
    )


def test_what_was_thought_said_and_called_in_one_go_is_one_turn_again(
    client: openai.OpenAI, script: Script
) -> None:
    turn = Message("assistant", "Let me see.", "A clock.", (ToolCall("c1", "clock", "{}"),))
    model = script(turn, "Noon.")
    first = client.responses.create(model="scripted", input="When?", tools=[CLOCK])
    assert [one.type for one in first.output] == ["reasoning", "message", "function_call"]
    assert first.usage is not None
    assert first.usage.output_tokens_details.reasoning_tokens == len(["A", "clock."])
    items: Any = [
        *first.output,
        {"type": "function_call_output", "call_id": "c1", "output": [
            {"type": "input_text", "text": "12:00"}]},
    ]  # fmt: skip
    client.responses.create(model="scripted", input=items)
    assert model.requests[1].messages == (turn, Message("tool", "12:00", tool_call_id="c1"))


def test_choices_of_tools(client: openai.OpenAI, script: Script) -> None:
    model = script(*[ToolCall("c", "clock", "{}")] * 3)
    choices: list[Any] = [
        "required",
        {"type": "function", "name": "clock"},
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "clock"}]},
    ]
    for choice in choices:
        client.responses.create(model="scripted", input="?", tools=[CLOCK], tool_choice=choice)
    assert [one.tool_choice for one in model.requests] == ["required", OneTool("clock"), "auto"]


class Answer(BaseModel):
    number: int


def test_parse_gives_an_object(client: openai.OpenAI, script: Script) -> None:
    model = script({"number": 4})
    found = client.responses.parse(model="scripted", input="2+2?", text_format=Answer)
    assert found.output_parsed == Answer(number=4)
    assert isinstance(model.requests[0].constraint, JsonSchema)


def test_an_answer_that_was_cut_off_says_so(client: openai.OpenAI) -> None:
    found = client.responses.create(model="tiny", input="Count.", max_output_tokens=2)
    assert found.status == "incomplete"
    assert found.incomplete_details is not None
    assert found.incomplete_details.reason == "max_output_tokens"
    assert len(found.output_text) == 2


def test_events_come_in_their_order(client: openai.OpenAI, script: Script) -> None:
    script(Message("assistant", "Let me see.", "Hm.", (ToolCall("c1", "clock", "{}"),)))
    events = list(
        client.responses.create(model="scripted", input="When?", tools=[CLOCK], stream=True)
    )
    assert [one.sequence_number for one in events] == list(range(len(events)))
    assert [one.type.removeprefix("response.") for one in events] == [
        "created", "in_progress",
        "output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.done",
        "content_part.done", "output_item.done",
        "output_item.added", "content_part.added", *["output_text.delta"] * 3, "output_text.done",
        "content_part.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]  # fmt: skip
    final = events[-1]
    assert final.type == "response.completed"
    assert [one.type for one in final.response.output] == ["reasoning", "message", "function_call"]
    ids = {one.item_id for one in events if hasattr(one, "item_id")}
    assert ids == {one.id for one in final.response.output}


class Digit(BaseModel):
    number: int = Field(ge=0, le=9)


def test_the_clients_own_helper_puts_a_stream_together(client: openai.OpenAI) -> None:
    with client.responses.stream(
        model="tiny", input="2+2?", text_format=Digit, max_output_tokens=40
    ) as stream:
        assert any(one.type == "response.output_text.delta" for one in stream)
        found = stream.get_final_response().output_parsed
    assert found is not None
    assert 0 <= found.number <= 9


def test_probabilities_come_with_the_text(client: openai.OpenAI) -> None:
    found = client.responses.create(
        model="tiny", input="?", include=["message.output_text.logprobs"], top_logprobs=1,
        max_output_tokens=3,
    )  # fmt: skip
    (said,) = found.output
    assert said.type == "message"
    assert said.content[0].type == "output_text"
    assert "".join(one.token for one in said.content[0].logprobs or ()) == found.output_text


def test_the_asynchronous_client_reads_along(asynchronous: openai.AsyncOpenAI) -> None:
    async def ask() -> str:
        async with asynchronous as client:
            stream = await client.responses.create(
                model="tiny", input="?", stream=True, max_output_tokens=7
            )
            return "".join(
                [one.delta async for one in stream if one.type == "response.output_text.delta"]
            )

    assert len(asyncio.run(ask())) == 7


def test_what_goes_wrong_in_a_stream_is_raised(client: openai.OpenAI, script: Script) -> None:
    script(ModelError("lost"))
    with pytest.raises(openai.APIError, match="lost"):
        list(client.responses.create(model="scripted", input="?", stream=True))


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"reasoning": {"effort": "low"}}, "reasoning_effort"),
        ({"reasoning": {"summary": "long"}}, "reasoning.summary"),
        ({"reasoning": {"mood": "auto"}}, "reasoning.mood"),
        ({"text": {"verbosity": "none"}}, "text.verbosity"),
        ({"conversation": "c"}, "conversation"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"input": []}, "input"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        ({"input": [{"role": "user", "content": [
            {"type": "input_image", "image_url": "data:"}]}]}, "input[0].content[0]"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_named(
    client: openai.OpenAI, more: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(**{"model": "tiny", "input": "x", **more})
    assert caught.value.param == param


def test_nothing_is_stored_and_that_may_be_said(client: openai.OpenAI) -> None:
    found = client.responses.create(
        model="tiny", input="?", store=False, include=["reasoning.encrypted_content"],
        max_output_tokens=3,
    )  # fmt: skip
    assert len(found.output_text) == 3
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(found.id)


@pytest.mark.parametrize("store", [None, False])
def test_what_agents_send_with_everything_changes_nothing(
    client: openai.OpenAI, script: Script, store: bool | None
) -> None:
    """A summary of the reasoning is not made: the reasoning itself is there."""
    model = script(Message("assistant", "Four.", "Two and two."))
    found = client.responses.create(
        model="scripted", input="2+2?", store=store, text={"verbosity": "low"},
        reasoning={"summary": "auto"}, include=["reasoning.encrypted_content"],
    )  # fmt: skip
    thought, said = found.output
    assert thought.type == "reasoning"
    assert thought.summary == []
    assert [one.text for one in thought.content or ()] == ["Two and two."]
    assert said.type == "message"
    assert found.output_text == "Four."
    assert found.reasoning is not None
    assert found.reasoning.summary is None
    (request,) = model.requests
    assert request.messages == (Message("user", "2+2?"),)
    assert request.reasoning_effort is None
