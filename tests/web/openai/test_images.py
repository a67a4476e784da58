"""Pictures go on to a model that sees; whatever else stands there is refused with its place."""

from __future__ import annotations

import base64
from typing import Any

import openai
import pytest

from tests.remote.player import CHAT, FINE, Player
from tests.web.openai.conftest import Place

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
DATA = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
TEXT = {"type": "text", "text": "What is it?"}


def shown(url: str = DATA, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def test_a_picture_in_a_chat_reaches_the_model(client: openai.OpenAI, afar: Player) -> None:
    afar.on(CHAT, FINE)
    messages: Any = [{"role": "user", "content": [TEXT, shown(), shown(detail="auto")]}]
    found = client.chat.completions.create(model="far", messages=messages)
    assert found.choices[0].message.content == "Good day."
    assert afar.bodies()[-1]["messages"] == [
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": DATA}}] * 2 + [TEXT],
        }
    ]


def test_a_picture_in_a_response_reaches_the_model(client: openai.OpenAI, afar: Player) -> None:
    afar.on(CHAT, FINE)
    content = [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": DATA, "detail": "auto"},
    ]
    items: Any = [{"role": "user", "content": content}]
    assert client.responses.create(model="far", input=items).output_text == "Good day."
    assert afar.bodies()[-1]["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": DATA}},
        TEXT,
    ]


@pytest.mark.parametrize(
    ("role", "parts", "param", "said"),
    [
        ("user", [shown("http://127.0.0.1/a.png")], "content[0].image_url.url", "no address"),
        ("user", [shown("file:///etc/passwd")], "content[0].image_url.url", "data:image"),
        ("user", [TEXT, shown("data:image/png;base64,!")], "content[1].image_url.url", "base64"),
        ("user", [shown("data:image/png;base64,QUJD")], "content[0].image_url.url", "PNG, JPEG"),
        ("user", [shown("data:image/svg+xml,<svg/>")], "content[0].image_url.url", "data:"),
        ("user", [shown(detail="high")], "content[0].image_url.detail", "auto"),
        ("user", [shown(), TEXT, shown()], "content", "between two pictures"),
        ("system", [shown()], "content[0]", "a user may show them"),
        ("user", [{"type": "input_audio", "input_audio": {}}], "content[0]", "recordings"),
    ],
)  # fmt: skip
def test_what_is_no_picture_that_came_along_is_refused(
    place: Place, afar: Player, role: str, parts: list[Any], param: str, said: str
) -> None:
    asked = len(afar.asked)
    body = {"model": "far", "messages": [{"role": role, "content": parts}]}
    with place.http() as http:
        answer = http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"] == f"messages[0].{param}"
    assert said in error["message"]
    assert len(afar.asked) == asked


def test_a_model_that_reads_only_says_which_would_see(place: Place) -> None:
    with place.http() as http:
        for path, body in {
            "chat/completions": {"messages": [{"role": "user", "content": [TEXT, shown()]}]},
            "responses": {"input": [{"role": "user", "content": [
                {"type": "input_text", "text": "?"},
                {"type": "input_image", "image_url": DATA}]}]},
        }.items():  # fmt: skip
            error = http.post(f"/v1/{path}", json={"model": "tiny", **body}).json()["error"]
            assert error["param"].endswith("[0].content[1]")
            assert error["code"] == "unsupported_content"
            assert "'tiny' takes no images" in error["message"]
            assert "remotes" in error["message"]
