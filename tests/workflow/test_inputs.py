"""What a caller gives: every type, from the command line and from Python; all faults at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import InvalidInput
from agentkit.workflow.inputs import bind, convert
from agentkit.workflow.spec import Input, Workflow


def workflow(**inputs: dict[str, Any]) -> Workflow:
    steps = [{"id": "a", "prompt": "Hello"}]
    return Workflow.model_validate({"name": "test", "inputs": inputs, "steps": steps})


@pytest.mark.parametrize(
    ("kind", "value", "bound"),
    [
        ("string", "", ""),
        ("string", "12", "12"),
        ("integer", "12", 12),
        ("integer", " -3 ", -3),
        ("integer", 12, 12),
        ("integer", 12.0, 12),
        ("number", "1.5", 1.5),
        ("number", "1e3", 1000.0),
        ("number", 2, 2),
        ("boolean", "yes", True),
        ("boolean", "TRUE", True),
        ("boolean", "off", False),
        ("boolean", "0", False),
        ("boolean", False, False),
        ("list", '["a", 1]', ["a", 1]),
        ("list", (1, 2), [1, 2]),
        ("object", '{"a": {"b": 1}}', {"a": {"b": 1}}),
        ("object", {"a": 1}, {"a": 1}),
    ],
)
def test_values_come_in_the_declared_type(kind: Any, value: Any, bound: Any) -> None:
    given_back = convert(Input(type=kind), value)

    assert given_back == bound
    assert type(given_back) is type(bound)


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("string", 12, "must be a string, not 12"),
        ("integer", "1.5", 'must be an integer, not "1.5"'),
        ("integer", 1.5, "must be an integer, not 1.5"),
        ("integer", True, "must be an integer, not true"),
        ("integer", "9" * 5000, "must be an integer, not"),
        ("number", "much", 'must be a number, not "much"'),
        ("number", "nan", 'must be a number, not "nan"'),
        ("number", "inf", 'must be a number, not "inf"'),
        ("boolean", "maybe", 'must be true or false, not "maybe"'),
        ("boolean", 1, "must be true or false, not 1"),
        ("list", "a, b", 'must be JSON for a list, not "a, b"'),
        ("list", '{"a": 1}', "must be a list, not"),
        ("object", "[1]", "must be an object, not"),
        ("object", '{"a": NaN}', "must be JSON for an object, not"),
        ("object", "[" * 100_000, "must be JSON for an object, not"),
        ("file", "", 'must be the path of a file, not ""'),
        ("file", "a\0b", "must be the path of a file, not"),
        ("file", 3, "must be the path of a file, not 3"),
        ("folder", "~nobody-by-this-name/x", "there is no such user"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(kind: Any, value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=r"^") as caught:
        convert(Input(type=kind), value)

    assert said in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("limits", "value", "said"),
    [
        ({"type": "integer", "minimum": 1}, "0", "must be 1 or greater, not 0"),
        ({"type": "number", "maximum": 0.5}, "0.6", "must be 0.5 or less, not 0.6"),
        ({"pattern": "^[0-9]{5}$"}, "123", '"123" does not match the pattern ^[0-9]{5}$'),
        ({"enum": ["calm", "wild"]}, "clam", 'not one of "calm", "wild". did you mean "calm"?'),
        ({"type": "integer", "enum": [1, 2]}, "3", '"3" is not one of 1, 2'),
    ],
)
def test_limits(limits: dict[str, Any], value: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^") as caught:
        convert(Input.model_validate(limits), value)

    assert said in str(caught.value)


def test_paths_are_absolute_and_may_come_from_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    for value in ("a.wav", "~/a.wav", tmp_path / "a.wav", str(tmp_path / "a.wav")):
        assert convert(Input(type="file"), value) == str(tmp_path / "a.wav")
    assert convert(Input(type="folder"), "sub") == str(tmp_path / "sub")


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("file", "meting.wav", 'there is no file meting.wav. did you mean "meeting.wav"?'),
        ("file", "nowhere/x.wav", "there is no file nowhere/x.wav"),
        ("file", "sub", "sub is a folder, not a file"),
        ("folder", "meeting.wav", "meeting.wav is a file, not a folder"),
        ("folder", "subb", 'there is no folder subb. did you mean "sub"?'),
    ],
)
def test_paths_that_do_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, value: str, said: str
) -> None:
    (tmp_path / "meeting.wav").touch()
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ValueError, match=r"^") as caught:
        convert(Input(type=kind), value)
    assert str(caught.value) == said


def test_all_faults_are_told_at_once() -> None:
    declared = workflow(
        audio={"type": "file", "description": "the recording"},
        count={"type": "integer", "default": 3},
        mood={"enum": ["calm", "wild"]},
    )
    with pytest.raises(InvalidInput) as caught:
        bind(declared, {"cuont": "1", "count": "many", "mood": "clam", "x": "1"})

    assert str(caught.value).splitlines() == [
        'there is no input "cuont". did you mean "count"?',
        'there is no input "x", only "audio", "count", "mood"',
        'the input "audio" (the recording) is missing: -i audio=...',
        'input "count": must be an integer, not "many"',
        'input "mood": "clam" is not one of "calm", "wild". did you mean "calm"?',
    ]


def test_a_workflow_without_inputs_takes_none() -> None:
    with pytest.raises(InvalidInput, match='there is no input "x": the workflow takes none'):
        bind(workflow(), {"x": "1"})


def test_what_is_not_given_is_the_default_or_null() -> None:
    declared = workflow(
        a={"default": "x"}, b={"required": False}, c={"type": "list", "default": []}
    )

    assert bind(declared, {}) == {"a": "x", "b": None, "c": []}
    assert bind(declared, {"b": None}) == {"a": "x", "b": None, "c": []}


def test_null_is_no_value_for_a_required_input() -> None:
    with pytest.raises(InvalidInput, match='the input "a" must not be null'):
        bind(workflow(a={}), {"a": None})


def test_a_default_file_must_exist_when_the_run_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    declared = workflow(a={"type": "file", "default": "notes.txt"})
    with pytest.raises(InvalidInput, match=r"there is no file notes\.txt"):
        bind(declared, {})

    (tmp_path / "notes.txt").touch()
    assert bind(declared, {}) == {"a": str(tmp_path / "notes.txt")}


@given(st.sampled_from(["string", "integer", "number", "boolean", "list", "object"]), st.text())
def test_any_text_is_a_value_or_a_sentence(kind: Any, text: str) -> None:
    try:
        value = convert(Input(type=kind), text)
    except ValueError as error:
        assert str(error).startswith("must be")  # noqa: PT017  # any fault is welcome, if it is told so
    else:
        assert convert(Input(type=kind), value) == value
