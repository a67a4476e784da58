"""Whatever is wrong is said in OpenAI's shape, with the parameter that is to blame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest

from agentkit.errors import MachineError, ModelBusy, ModelError
from tests.web.conftest import LIMIT, Served
from tests.web.openai.conftest import Place, Script
from tests.web.openai.test_chat import CLOCK, HELLO

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "content": [{"type": "x"}]}]},
         "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": "x", "mood": 1}]}, "messages[0].mood"),
        ({"temperature": 9}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 1000}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"stop": ["x"] * 99}, "stop"),
        ({"tools": [CLOCK, CLOCK]}, "tools"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [CLOCK], "tool_choice": {"type": "function", "function": {"name": "no"}}},
         "tool_choice"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"verbosity": "none"}, "verbosity"),
        ({"functions": [{"name": "x"}]}, "functions"),
        ({"audio": {"voice": "x", "format": "mp3"}}, "audio"),
        ({"modalities": ["text", "audio"]}, "modalities[1]"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"max_token": 7}, "max_token"),
    ],
)  # fmt: skip
def test_a_parameter_that_is_wrong_or_not_supported_is_named(
    place: Place, more: dict[str, Any], param: str
) -> None:
    with place.http() as http:
        answer = http.post("/v1/chat/completions", json={"messages": HELLO, **more})
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert error["message"]


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"top_logprobs": 3}, "logprobs"),
        ({"stream_options": {"include_usage": True}}, "stream"),
        ({"logit_bias": {"the": 1}}, "tokenize"),
        ({"logit_bias": {"99999": 1}}, "99999 is no token"),
        ({"response_format": {"type": "json_schema", "json_schema": {
            "name": "x", "schema": {"type": "nonsense"}}}}, "schema"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_said(place: Place, more: dict[str, Any], word: str) -> None:
    with place.http() as http:
        answer = http.post("/v1/chat/completions", json={"messages": HELLO, **more})
    assert answer.status_code == 400, answer.text
    assert word in answer.json()["error"]["message"]


def test_null_is_the_same_as_nothing(place: Place) -> None:
    unsaid = dict.fromkeys(("tools", "stop", "n", "functions", "temperature", "seed", "audio"))
    with place.http() as http:
        body = {"model": "tiny", "messages": HELLO, "max_tokens": 1, **unsaid}
        assert http.post("/v1/chat/completions", json=body).status_code == 200


def test_a_prompt_that_is_too_long_is_told_by_how_much(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="tokens too long") as caught:
        client.chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "x" * 600}]
        )
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "messages")


def test_a_model_that_is_not_there(client: openai.OpenAI) -> None:
    for name in ("gpt-9", "qwen2.5-coder-1.5b", "../../etc/passwd"):
        with pytest.raises(openai.NotFoundError) as caught:
            client.chat.completions.create(model=name, messages=HELLO)
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError, match="agentkit models pull"):
        client.models.retrieve("qwen2.5-coder-1.5b")


def test_a_model_for_something_else(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="tiny-embed"):
        client.chat.completions.create(model="tiny-embed", messages=HELLO)


def test_models_are_listed_with_their_owners(client: openai.OpenAI) -> None:
    assert [(one.id, one.object, one.owned_by) for one in client.models.list()] == [
        ("tiny", "model", "agentkit"),
        ("tiny-coder", "model", "agentkit"),
        ("tiny-embed", "model", "agentkit"),
        ("far", "model", "remote"),
    ]
    assert client.models.retrieve("tiny").id == "tiny"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such")


def test_too_much_to_do_says_when_to_come_again(client: openai.OpenAI, script: Script) -> None:
    script(ModelBusy("scripted", 256))
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="scripted", messages=HELLO)
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "rate_limit_error")


def test_for_a_model_that_is_full_nothing_is_begun(
    client: openai.OpenAI, script: Script, inside: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = script("Hello.")
    monkeypatch.setattr(type(inside.service.runtime._models), "full", lambda _: {"scripted"})
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="scripted", messages=HELLO)
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "rate_limit_error")
    assert model.requests == []


@pytest.mark.parametrize(
    ("error", "status"),
    [(ModelError("lost"), 500), (MachineError("no memory"), 503)],
)
def test_what_is_not_the_clients_fault(
    client: openai.OpenAI, script: Script, error: Exception, status: int
) -> None:
    script(error)
    with pytest.raises(openai.InternalServerError, match=str(error)) as caught:
        client.chat.completions.create(model="scripted", messages=HELLO)
    assert caught.value.status_code == status


def test_what_is_no_json(place: Place) -> None:
    with place.http() as http:
        for content in (b"{", b"[1]", b"", b'"x"', b"[" * 10_000):
            answer = http.post(
                "/v1/chat/completions",
                content=content,
                headers={"Content-Type": "application/json"},
            )
            assert answer.status_code == 400, (content[:10], answer.text)
            assert answer.json()["error"]["type"] == "invalid_request_error"


def test_without_a_token_nobody_is_answered(place: Place) -> None:
    with (
        openai.OpenAI(
            api_key="wrong", base_url=f"{place.url}/v1", max_retries=0, timeout=LIMIT
        ) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.models.list()
    assert (caught.value.code, caught.value.type) == ("invalid_api_key", "invalid_request_error")


def test_a_token_for_inference_is_enough_and_good_for_nothing_else(place: Place) -> None:
    with place.http() as http:
        assert http.get("/v1/models").is_success
        for path in ("/api/runs", "/api/memory", "/metrics"):
            assert http.get(path).status_code == 403


def test_refusals_are_counted_by_their_reason(place: Place) -> None:
    def counted(reason: str) -> float:
        with place.http(place.owner) as owner:
            lines = owner.get("/metrics").text.splitlines()
        name = f'agentkit_refusals_total{{reason="{reason}"}} '
        return next((float(one.removeprefix(name)) for one in lines if one.startswith(name)), 0)

    def ask(path: str = "chat/completions", **more: Any) -> int:
        with place.http() as http:
            body = {"model": "tiny", "messages": HELLO, **more}
            return http.post(f"/v1/{path}", json=body).status_code

    asked: dict[str, Callable[[], int]] = {
        "model_not_found": lambda: ask(model="gpt-9"),
        "unsupported_parameter": lambda: ask(audio={}),
        "context_length_exceeded": lambda: ask(messages=[{"role": "user", "content": "x" * 600}]),
        "not_found": lambda: ask("nothing/of/this/name"),
        "invalid_api_key": lambda: httpx.get(f"{place.url}/v1/models").status_code,
        "wrong_host": lambda: (
            httpx.get(f"{place.url}/v1/models", headers={"Host": "evil.example"}).status_code
        ),
    }
    for reason, refuse in asked.items():
        before = counted(reason)
        assert refuse() >= 400
        assert counted(reason) == before + 1, reason


def test_a_body_that_is_not_said_to_be_json_is_told_how_to_say_it(place: Place) -> None:
    with place.http() as http:
        answer = http.post(
            "/v1/chat/completions",
            content=b"{}",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
    assert answer.status_code == 400
    assert "Content-Type: application/json" in answer.json()["error"]["message"]
