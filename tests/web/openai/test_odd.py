"""Text that is none, numbers that are none: whatever comes, nothing of it is an error of ours."""

from __future__ import annotations

import pytest

from tests.web.openai.conftest import Place, Script

HALF = r'"\ud800"'
"""Half a character: JSON can say it, UTF-8 cannot."""

ASKED = '"messages": [{"role": "user", "content": "x"}]'


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", '{"model": %s, ' + ASKED + "}"),
        ("chat/completions", "{" + ASKED.replace('"x"', "%s") + "}"),
        ("chat/completions", '{"messages": [], %s: 1}'),
        ("completions", '{"model": "scripted", "prompt": %s, "echo": true}'),
        ("completions", '{"model": "scripted", "prompt": %s, "echo": true, "stream": true}'),
        ("completions", '{"model": "tiny", "prompt": "x", "max_tokens": 1, "stop": %s}'),
        ("responses", '{"model": "scripted", "input": "x", "instructions": %s}'),
        ("responses", '{"model": "scripted", "input": "x", "metadata": {"a": %s}}'),
        ("responses", '{"model": "scripted", "input": "x", "metadata": {%s: 1}, "stream": true}'),
        ("embeddings", '{"input": %s}'),
        ("score", '{"text_1": "x", "text_2": %s}'),
        ("score", '{"messages": [{"role": "user", "content": %s}], "continuation": "x"}'),
    ],
)  # fmt: skip
def test_half_a_character(place: Place, script: Script, path: str, body: str) -> None:
    script("Yes.")
    with place.http() as http:
        answer = http.post(
            f"/v1/{path}",
            content=body.replace("%s", HALF),
            headers={"Content-Type": "application/json"},
        )
    assert answer.status_code in (200, 400, 404), answer.text
    assert "mistake" not in answer.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat/completions", '{"temperature": NaN, ' + ASKED + "}"),
        ("chat/completions", '{"logit_bias": {"1": NaN}, ' + ASKED + "}"),
        ("responses", '{"model": "scripted", "input": "x", "metadata": {"a": NaN}}'),
        ("responses", '{"model": "scripted", "input": "x", "tools": [{"type": "function",'
                      ' "name": "x", "parameters": {"a": Infinity}}]}'),
    ],
)  # fmt: skip
def test_a_number_that_is_none(place: Place, script: Script, path: str, body: str) -> None:
    script("Yes.")
    with place.http() as http:
        answer = http.post(
            f"/v1/{path}", content=body, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code in (200, 400), answer.text
    assert "mistake" not in answer.text
