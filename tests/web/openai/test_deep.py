"""Lists within lists within lists: whatever is that deep is refused, and nothing breaks."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from agentkit.web.openai.refusals import DEEPEST
from tests.web.openai.conftest import Place, Script

JSON = {"Content-Type": "application/json"}

DEPTHS = (300, 900, 100_000)

CHAT = '{"model": "scripted", "messages": [{"role": "user", "content": %s}]}'
CHAT_MORE = '{"model": "scripted", "messages": [{"role": "user", "content": "x"}], %s}'
RESPONSE = '{"model": "scripted", "input": %s}'
RESPONSE_MORE = '{"model": "scripted", "input": "x", %s}'
TOOL = '"name": "x", "parameters": {"type": "object", "properties": {"a": %s}}}'

BODIES = {
    "chat, all of it": ("chat/completions", "%s"),
    "chat, content": ("chat/completions", CHAT),
    "chat, parsed": ("chat/completions", CHAT.replace("%s", '"x", "parsed": %s')),
    "chat, metadata": ("chat/completions", CHAT_MORE.replace("%s", '"metadata": {"a": %s}')),
    "chat, tool": (
        "chat/completions",
        CHAT_MORE.replace("%s", f'"tools": [{{"type": "function", "function": {{{TOOL}}}]'),
    ),
    "chat, tool, stream": (
        "chat/completions",
        CHAT_MORE.replace(
            "%s", f'"stream": true, "tools": [{{"type": "function", "function": {{{TOOL}}}]'
        ),
    ),
    "chat, schema": (
        "chat/completions",
        CHAT_MORE.replace(
            "%s",
            '"response_format": {"type": "json_schema", "json_schema": {"name": "x",'
            ' "schema": {"type": "object", "properties": {"a": %s}}}}',
        ),
    ),
    "chat, unknown": ("chat/completions", CHAT_MORE.replace("%s", '"unknown": %s')),
    "responses, all of it": ("responses", "%s"),
    "responses, input": ("responses", RESPONSE),
    "responses, parsed": (
        "responses",
        RESPONSE.replace(
            "%s", '[{"role": "user", "content": "x", "parsed_arguments": %s, "summary": [%s]}]'
        ),
    ),
    "responses, part": (
        "responses",
        RESPONSE.replace(
            "%s", '[{"role": "user", "content": [{"type": "input_text", "text": "x", "a": %s}]}]'
        ),
    ),
    "responses, metadata": ("responses", RESPONSE_MORE.replace("%s", '"metadata": {"a": %s}')),
    "responses, tool": (
        "responses", RESPONSE_MORE.replace("%s", f'"tools": [{{"type": "function", {TOOL}]')
    ),
    "responses, tool, stream": (
        "responses",
        RESPONSE_MORE.replace("%s", f'"stream": true, "tools": [{{"type": "function", {TOOL}]'),
    ),
    "responses, schema": (
        "responses",
        RESPONSE_MORE.replace(
            "%s",
            '"text": {"format": {"type": "json_schema", "name": "x",'
            ' "schema": {"type": "object", "properties": {"a": %s}}}}',
        ),
    ),
}  # fmt: skip


def deep(opening: str, depth: int) -> str:
    """A schema, if it is of objects."""
    if opening == "[":
        return "[" * depth + "]" * depth
    return '{"properties": {"a": ' * (depth // 2) + "{}" + "}}" * (depth // 2)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("opening", ["[", "{"])
@pytest.mark.parametrize("where", BODIES)
def test_what_is_too_deep_is_refused_before_a_model_hears_of_it(
    place: Place, script: Script, where: str, opening: str, depth: int
) -> None:
    model = script("Yes.")
    answer = ask(place, where, deep(opening, depth))
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert "within each other" in error["message"]
    assert model.requests == []
    with place.http() as http:
        assert http.get("/v1/models").is_success


@pytest.mark.parametrize("where", [one for one in BODIES if "tool" in one or "schema" in one])
def test_a_schema_may_be_as_deep_as_anybody_needs_it(
    place: Place, script: Script, where: str
) -> None:
    model = script({"a": "Yes."})
    answer = ask(place, where, deep("{", DEEPEST - 20))
    assert answer.status_code == 200, answer.text
    assert "Yes." in answer.text
    assert len(model.requests) == 1


@pytest.mark.parametrize("where", [one for one in BODIES if "schema" in one])
def test_the_engine_takes_a_schema_as_deep_as_the_door(
    place: Place, script: Script, where: str
) -> None:
    answer = ask(place, where, deep("{", DEEPEST - 20), model="tiny")
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": [{"role": "user", "content": "x"}], "tools": "deep"}, "tools"),
        ({"messages": "deep"}, "messages"),
        ({"messages": [{"role": "user", "content": "x"}], "unknown": "deep"}, "unknown"),
        ("deep", None),
    ],
)
def test_the_parameter_that_is_too_deep_is_named(
    place: Place, body: Any, param: str | None
) -> None:
    content = json.dumps(body).replace('"deep"', deep("[", 200))
    with place.http() as http:
        answer = http.post("/v1/chat/completions", content=content, headers=JSON)
    assert answer.json()["error"]["param"] == param


def ask(place: Place, where: str, value: str, model: str = "scripted") -> httpx.Response:
    path, body = BODIES[where]
    body = body.replace("%s", value).replace("scripted", model)
    body = body.replace('"model"', f'{limit(path)}: 8, "model"') if model == "tiny" else body
    with place.http() as http:
        return http.post(f"/v1/{path}", content=body, headers=JSON)


def limit(path: str) -> str:
    return '"max_output_tokens"' if path == "responses" else '"max_tokens"'
