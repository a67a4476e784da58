"""A function's signature as JSON Schema, and arguments bound to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from agentkit.errors import InvalidInput
from agentkit.schema import result_of, signature_of


class Mood(Enum):
    CALM = "calm"
    WILD = "wild"


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int = 0


def everything(
    text: str,
    count: int,
    path: Path,
    mood: Mood,
    who: Person,
    *,
    people: list[Person] = [],  # noqa: B006  # tools are written like this, and it must be safe
    unit: Literal["s", "min"] = "s",
    limit: Annotated[int, Field(ge=1, le=9)] = 3,
    maybe: str | None = None,
    any_of: int | list[str] = 1,
    data: dict[str, Any] | None = None,
    context: object = None,
) -> None:
    """Do everything.

    More about it.

    Args:
        text: What to say.
        count (int): How often,
            and how long: see below.
        path: Where.

    Returns:
        Nothing.
    """


FULL: dict[str, Any] = {
    "text": "a", "count": 1, "path": "x/y", "mood": "calm", "who": {"name": "Ada"},
}  # fmt: skip


def test_the_schema_describes_every_argument_but_not_the_context() -> None:
    schema = signature_of(everything).json_schema

    Draft202012Validator.check_schema(schema)
    assert list(schema["properties"]) == [
        "text", "count", "path", "mood", "who", "people", "unit", "limit", "maybe", "any_of",
        "data",
    ]  # fmt: skip
    assert schema["required"] == ["text", "count", "path", "mood", "who"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["text"] == {"type": "string", "description": "What to say."}
    assert schema["properties"]["count"] == {
        "type": "integer",
        "description": "How often, and how long: see below.",
    }
    assert schema["properties"]["unit"] == {
        "enum": ["s", "min"],
        "default": "s",
        "type": "string",
    }
    assert schema["properties"]["limit"] == {
        "type": "integer",
        "default": 3,
        "minimum": 1,
        "maximum": 9,
    }
    assert schema["$defs"]["Mood"]["enum"] == ["calm", "wild"]
    assert Draft202012Validator(schema).is_valid(FULL)


def test_the_description_ends_before_the_arguments() -> None:
    signature = signature_of(everything)

    assert signature.description == "Do everything.\n\nMore about it."
    assert signature.wants_context


def test_arguments_arrive_in_the_types_of_the_function() -> None:
    bound = signature_of(everything).bind({**FULL, "people": [{"name": "Bob", "age": "7"}]})

    assert bound["path"] == Path("x/y")
    assert bound["mood"] is Mood.CALM
    assert bound["who"] == Person(name="Ada")
    assert bound["people"] == [Person(name="Bob", age=7)]
    assert bound["limit"] == 3
    assert "context" not in bound


def test_a_default_list_is_not_shared_between_calls() -> None:
    signature = signature_of(everything)
    signature.bind(FULL)["people"].append("x")

    assert signature.bind(FULL)["people"] == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"texd": "a"}, 'unknown argument "texd". did you mean "text"?'),
        ({"zzz": 1}, 'unknown argument "zzz". it takes: text, count, path'),
        ({"context": 1}, 'unknown argument "context"'),
        ({"text": 1}, 'argument "text": must be a string, not the number 1'),
        ({"count": "many"}, 'argument "count": must be an integer, not the string "many"'),
        ({"count": 1.5}, 'argument "count": must be an integer, not the number 1.5'),
        ({"path": 3}, 'argument "path": must be a path, not the number 3'),
        ({"mood": "clam"}, '"clam" is not one of "calm", "wild". did you mean "calm"?'),
        ({"unit": "m"}, 'argument "unit": "m" is not one of "s", "min"'),
        ({"limit": 10}, 'argument "limit": must be 9 or less, not 10'),
        ({"who": {}}, 'argument "who": the key "name" is missing'),
        ({"who": "Ada"}, 'argument "who": must be a mapping, not the string "Ada"'),
        ({"people": [{"name": 1}]}, 'argument "people.0.name": must be a string, not the number 1'),
        ({"any_of": "x"}, 'argument "any_of": must be an integer or a list, not the string "x"'),
        ({"maybe": 1}, 'argument "maybe": must be a string, not the number 1'),
        ({"data": {"a": None}, "who": None}, 'argument "who": must be a mapping, not nothing'),
    ],
)  # fmt: skip
def test_what_does_not_fit(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        signature_of(everything).bind({**FULL, **given})

    assert said in str(caught.value)
    assert "Input should" not in str(caught.value)


def test_every_fault_is_told() -> None:
    with pytest.raises(InvalidInput) as caught:
        signature_of(everything).bind({"count": "x", "path": "p", "mood": "calm", "nope": 1})

    assert str(caught.value).split("; ") == [
        'the argument "text" is missing',
        'argument "count": must be an integer, not the string "x"',
        'the argument "who" is missing',
        'unknown argument "nope". it takes: text, count, path, mood, who, people, unit, limit, '
        "maybe, any_of, data",
    ]


def test_names_of_pydantic_are_names_like_any_other() -> None:
    def tool(
        json: str, copy: int, schema: str, model_fields: str, model_config: int, _x: int
    ) -> None: ...

    given = {"json": "a", "copy": 1, "schema": "b", "model_fields": "c", "model_config": 2, "_x": 3}
    signature = signature_of(tool)

    assert signature.bind(given) == given
    assert list(signature.json_schema["properties"]) == list(given)


def test_a_function_without_arguments() -> None:
    def tool() -> None: ...

    signature = signature_of(tool)

    assert signature.bind({}) == {}
    assert signature.description == ""
    with pytest.raises(InvalidInput, match=r'unknown argument "a"\. it takes none'):
        signature.bind({"a": 1})


def untyped(a) -> None: ...  # type: ignore[no-untyped-def]  # what is tested
def catch_all(*a: int) -> None: ...
def catch_keys(**a: int) -> None: ...
def positional(a: int, /) -> None: ...


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (untyped, "parameter 'a' has no type hint"),
        (catch_all, "parameter 'a' is a catch-all"),
        (catch_keys, "parameter 'a' is a catch-all"),
        (positional, "parameter 'a' cannot be given by name"),
    ],
)
def test_signatures_that_have_no_schema(function: Callable[..., None], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        signature_of(function)


def test_what_a_function_returns_is_known_where_its_hint_leaves_no_doubt() -> None:
    def returning(hint: Any) -> Callable[..., Any]:
        def function() -> None: ...

        function.__annotations__["return"] = hint
        return function

    assert result_of(returning(str)) == {"type": "string"}
    assert result_of(returning(Annotated[int, Field(ge=1)])) == {"type": "integer"}
    assert result_of(returning(dict[str, str])) == {"type": "object"}
    each = {"type": "array", "items": {"type": "object"}}
    assert result_of(returning(list[dict[str, Any]])) == each
    assert result_of(returning(Iterator[dict[str, Any]])) == each
    for doubtful in (Any, str | None, Person, Mood, Literal["a"], bytes, None):
        assert result_of(returning(doubtful)) == {}
