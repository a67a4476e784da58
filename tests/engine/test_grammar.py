"""Schemas as masks: what is kept, what is refused, what is forced."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from agentkit.engine import LlamaChatModel, grammar
from agentkit.engine.grammar import Grammars, Matcher
from agentkit.engine.vocabulary import Vocabulary
from agentkit.errors import ModelError, UserError

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def vocabulary(chat_model: Callable[[str], LlamaChatModel]) -> Vocabulary:
    return chat_model("smollm2-135m")._vocabulary


@pytest.fixture(scope="module")
def grammars(vocabulary: Vocabulary) -> Grammars:
    return Grammars(vocabulary)


def forced_text(vocabulary: Vocabulary, matcher: Matcher) -> str:
    return b"".join(map(vocabulary.piece, matcher.forced())).decode()


def test_a_constant_is_forced_whole(vocabulary: Vocabulary, grammars: Grammars) -> None:
    value = {"a": [1, 2, {"b": "größe 🦊"}], "c": None}
    matcher = grammars.matcher({"const": value})
    text = ""
    while not matcher.finished:
        run = matcher.forced()
        if not run:
            run = [int(matcher.allowed()[0])]
            matcher.accept(run)
        text += b"".join(map(vocabulary.piece, run)).decode()
    assert text == json.dumps(value, ensure_ascii=False)


def test_matchers_of_one_schema_go_their_own_ways(
    vocabulary: Vocabulary, grammars: Grammars
) -> None:
    schema = {"enum": ["left", "right"]}
    one, other = grammars.matcher(schema), grammars.matcher(schema)
    quote = one.forced()
    one.accept(vocabulary.tokenize("left", special=False))
    assert other.forced() == quote
    other.accept(vocabulary.tokenize("right", special=False))


def test_the_order_of_properties_is_the_order_of_the_answer(
    vocabulary: Vocabulary, grammars: Grammars
) -> None:
    for names in (["z", "a"], ["a", "z"]):
        schema = {
            "type": "object",
            "properties": {name: {"const": 1} for name in names},
            "required": ["a", "z"],
            "additionalProperties": False,
        }
        assert forced_text(vocabulary, grammars.matcher(schema)).startswith(f'{{"{names[0]}": 1')


def test_only_the_latest_grammars_are_kept(
    vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grammar, "CACHED_GRAMMARS", 3)
    grammars = Grammars(vocabulary)
    for value in (1, 2, 3, 1, 4):
        grammars.matcher({"const": value})
    assert [json.loads(text)["const"] for _, text in grammars._compiled] == [3, 1, 4]


def test_threads_may_compile_at_once(
    vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grammar, "CACHED_GRAMMARS", 2)
    grammars, failed = Grammars(vocabulary), []

    def compile_some(first: int) -> None:
        try:
            for value in range(first, first + 20):
                assert grammars.matcher({"const": value % 7}).forced()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=compile_some, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"$ref": "https://example.com/elsewhere.json"},
        {"type": "string", "pattern": "("},
        {"type": "string", "pattern": "(?<=a)b"},
        {"type": "integer", "minimum": 5, "maximum": 4},
        {"enum": []},
        {"enum": [object()]},
    ],
)
def test_what_cannot_be_enforced_is_refused_in_one_line(
    grammars: Grammars, schema: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=r"^the schema ") as caught:
        grammars.matcher(schema)
    assert "\n" not in str(caught.value)


def test_a_schema_that_refers_to_itself(grammars: Grammars) -> None:
    node: dict[str, Any] = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    assert not grammars.matcher(node).finished


def test_a_schema_that_contains_itself_is_refused(grammars: Grammars) -> None:
    schema: dict[str, Any] = {"type": "object"}
    schema["properties"] = schema
    with pytest.raises(UserError, match=r"^the schema is not valid"):
        grammars.matcher(schema)


def test_a_token_that_is_not_allowed_is_an_error(
    vocabulary: Vocabulary, grammars: Grammars
) -> None:
    matcher = grammars.matcher({"const": 1})
    with pytest.raises(ModelError, match="lost its way"):
        matcher.accept(vocabulary.tokenize("x", special=False))
