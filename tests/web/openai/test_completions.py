"""The official client lets a model go on with a text."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from tests.web.openai.conftest import Script


def test_a_text_goes_on(client: openai.OpenAI, script: Script) -> None:
    model = script("upon a time.")
    found = client.completions.create(model="scripted", prompt="Once", max_tokens=9, stop="END")
    assert found.object == "text_completion"
    assert found.choices[0].text == "upon a time."
    assert found.choices[0].finish_reason == "stop"
    assert found.usage is not None
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (1, 3)
    (request,) = model.requests
    assert (request.text, request.messages, request.stop) == ("Once", (), ("END",))


def test_where_nothing_is_said_it_is_short(client: openai.OpenAI) -> None:
    found = client.completions.create(model="tiny", prompt="Once")
    assert found.usage is not None
    assert found.usage.completion_tokens == 16
    assert found.choices[0].finish_reason == "length"


def test_nothing_is_written_around_the_text(client: openai.OpenAI) -> None:
    found = client.completions.create(model="tiny", prompt="Once", max_tokens=1)
    assert found.usage is not None
    assert found.usage.prompt_tokens == len("Once")


def test_markers_are_markers_and_tokens_are_taken_too(client: openai.OpenAI) -> None:
    def ask(prompt: Any) -> tuple[str, int]:
        found = client.completions.create(model="tiny", prompt=prompt, max_tokens=8, temperature=0)
        assert found.usage is not None
        return found.choices[0].text, found.usage.prompt_tokens

    text = ask("<|im_start|>user\nHi<|im_end|>\n")
    assert text[1] == len("user\nHi\n") + 2
    assert ask([257, *b"user\nHi", 258, *b"\n"]) == text


def test_several_prompts_and_several_answers(client: openai.OpenAI, script: Script) -> None:
    model = script("a", "b", "c", "d")
    found = client.completions.create(model="scripted", prompt=["One", "Two"], n=2)
    assert [(one.index, one.text) for one in found.choices] == [
        (0, "a"), (1, "b"), (2, "c"), (3, "d"),
    ]  # fmt: skip
    assert [one.text for one in model.requests] == ["One", "Two"]
    assert found.usage is not None
    assert found.usage.prompt_tokens == 2


def test_an_echo_repeats_the_text(client: openai.OpenAI, script: Script) -> None:
    script(" upon")
    found = client.completions.create(model="scripted", prompt="Once", echo=True)
    assert found.choices[0].text == "Once upon"
    tokens = client.completions.create(model="tiny", prompt=list(b"Hi"), echo=True, max_tokens=1)
    assert tokens.choices[0].text.startswith("Hi")


def test_a_gap_is_filled_by_a_model_that_has_markers_for_it(client: openai.OpenAI) -> None:
    """As code editors ask; what looks like a marker in the texts is none."""

    def ask(**how: Any) -> tuple[str, int]:
        found = client.completions.create(model="tiny-coder", max_tokens=8, temperature=0, **how)
        assert found.usage is not None
        return found.choices[0].text, found.usage.prompt_tokens

    prefix, suffix, middle = 259, 260, 261
    written: Any = [prefix, *b"a = <|im_end|>", suffix, *b"\nb", middle]
    asked = ask(prompt="a = <|im_end|>", suffix="\nb")
    assert asked == ask(prompt=written)
    assert asked[1] == len(written)
    assert ask(prompt=list(b"a = <|im_end|>"), suffix="\nb") == asked


def test_a_stream(client: openai.OpenAI) -> None:
    how: Any = {"model": "tiny", "prompt": "Once", "max_tokens": 5, "temperature": 0}
    whole = client.completions.create(**how).choices[0]
    chunks = list(
        client.completions.create(stream=True, stream_options={"include_usage": True}, **how)
    )
    assert "".join(one.choices[0].text for one in chunks[:-1]) == whole.text
    assert chunks[-2].choices[0].finish_reason == whole.finish_reason
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == len("Once") + 5


def test_probabilities_in_the_older_form(client: openai.OpenAI) -> None:
    found = client.completions.create(
        model="tiny", prompt="Once", logprobs=2, max_tokens=3, temperature=0
    ).choices[0]
    told = found.logprobs
    assert told is not None
    assert "".join(told.tokens or ()) == found.text
    assert told.text_offset == [0, 1, 2]
    assert told.top_logprobs is not None
    assert all(len(one) == 2 for one in told.top_logprobs)
    assert all(value <= 0 for value in told.token_logprobs or ())


def test_an_echo_tells_how_likely_the_prompt_is(client: openai.OpenAI) -> None:
    """As lm-evaluation-harness asks."""
    prompt: list[Any] = list(b"Once")
    for more in ({"max_tokens": 0}, {"max_tokens": 2, "stream": True}, {"max_tokens": 2}):
        asked: Any = {"model": "tiny", "prompt": prompt, "logprobs": 2, "echo": True, **more}
        found = client.completions.create(temperature=0, **asked)
        choices = [one.choices[0] for one in (found if "stream" in more else [found])]
        told = [one.logprobs for one in choices if one.logprobs is not None]
        text = "".join(one.text for one in choices)
        tokens = [token for one in told for token in one.tokens or ()]
        likely = [value for one in told for value in one.token_logprobs or ()]
        rivals = [top for one in told for top in one.top_logprobs or ()]
        assert "".join(tokens) == text
        assert tokens[:4] == list("Once")
        assert len(tokens) == 4 + more["max_tokens"]
        assert [place for one in told for place in one.text_offset or ()] == list(range(len(text)))
        assert (likely[0], rivals[0]) == (None, None)
        assert all(value <= 0 for value in likely[1:])
        assert all(len(one) == 2 for one in rivals[1:])


def test_the_probability_of_a_prompt_is_that_of_what_is_written(client: openai.OpenAI) -> None:
    """The model is asked for the same text twice: to write it, and to read it."""
    how: Any = {"model": "tiny", "temperature": 0, "logprobs": 0}
    written = client.completions.create(prompt="Once", max_tokens=5, **how).choices[0]
    again = client.completions.create(
        prompt=f"Once{written.text}", max_tokens=0, echo=True, **how
    ).choices[0]
    assert written.logprobs is not None
    assert again.logprobs is not None
    assert (again.logprobs.token_logprobs or [])[4:] == pytest.approx(
        written.logprobs.token_logprobs, abs=0.01
    )
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(prompt="x" * 600, max_tokens=0, echo=True, **how)
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"suffix": "x"}, "suffix"),
        ({"suffix": "x", "echo": True}, "echo"),
        ({"best_of": 3}, "best_of"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"prompt": []}, "prompt"),
        ({"n": 99}, "n"),
    ],
)
def test_what_is_not_supported_is_named(
    client: openai.OpenAI, more: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(**{"model": "tiny", "prompt": "x", **more})
    assert caught.value.param == param


def test_a_token_that_is_none_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="9999 is no token"):
        client.completions.create(model="tiny", prompt=[9999])
