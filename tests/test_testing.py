"""The test doubles that ship: their examples run, and they blame the right one."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import pytest

from agentkit import testing
from agentkit.cancel import CancelToken
from agentkit.errors import BadAudio, Cancelled, MachineError, PromptTooLong
from agentkit.messages import (
    ChatRequest,
    Choices,
    Completion,
    JsonSchema,
    Message,
    OneTool,
    Regex,
    ToolCall,
    ToolSchema,
)
from agentkit.testing import ScriptedModel, ScriptedServices, ScriptedTranscriber
from agentkit.toolbox.context import ToolServices
from agentkit.transcript import Transcript
from agentkit.workflow.steps.scope import Place, Services


def question(text: str = "What now?", **more: Any) -> ChatRequest:
    return ChatRequest((Message("user", text),), **more)


def ask(model: ScriptedModel, request: ChatRequest) -> Completion:
    *_, last = model.stream(request)
    assert last.completion is not None
    return last.completion


def test_the_examples_in_the_docstrings_run() -> None:
    found = doctest.testmod(testing)
    assert found.failed == 0
    assert found.attempted >= 12


def test_answers_may_be_text_data_functions_and_exceptions() -> None:
    model = ScriptedModel(
        "plain", {"a": "ü"}, lambda request: request.messages[0].content.upper(), MachineError("no")
    )
    assert [ask(model, question("hear me")).text for _ in range(3)] == [
        "plain",
        '{"a": "ü"}',
        "HEAR ME",
    ]
    with pytest.raises(MachineError, match="no"):
        ask(model, question())
    assert len(model.requests) == 4


def test_one_question_too_many_is_shown_to_the_author_of_the_test() -> None:
    model = ScriptedModel("only one")
    ask(model, question())
    with pytest.raises(AssertionError, match=r"request 2 came.* 1 answers.*'And then\?'"):
        ask(model, question("And then?"))


@pytest.mark.parametrize("answer", ["no JSON", {"age": "old"}, {}, "[]"])
def test_an_answer_that_no_model_could_give_is_the_author_s_fault(answer: Any) -> None:
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer"}},
        "required": ["age"],
    }
    with pytest.raises(AssertionError, match=r"JSON was asked for|does not fit the schema"):
        ask(ScriptedModel(answer), question(constraint=JsonSchema(schema)))


def test_an_answer_may_think_talk_and_call() -> None:
    calls = (ToolCall("1", "look", "{}"), ToolCall("2", "wave", '{"at": "Ann"}'))
    model = ScriptedModel(Message("assistant", "I look.", "Who is it?", calls), calls, calls[0])
    deltas = list(model.stream(question()))
    assert [delta.reasoning for delta in deltas if delta.reasoning] == ["Who", " is", " it?"]
    assert [delta.text for delta in deltas if delta.text] == ["I", " look."]
    assert [delta.call.name for delta in deltas if delta.call] == ["look", "wave"]
    completion = deltas[-1].completion
    assert completion is not None
    assert completion.message == Message("assistant", "I look.", "Who is it?", calls)
    assert completion.finish_reason == "tool_calls"
    assert ask(model, question()).tool_calls == calls
    assert ask(model, question()).tool_calls == calls[:1]


def test_each_sample_takes_an_answer() -> None:
    model = ScriptedModel("one", "two", "three")
    told = [delta.completion for delta in model.stream(question(samples=2)) if delta.completion]
    assert [completion.text for completion in told] == ["one", "two"]
    with pytest.raises(AssertionError, match="request 2 came"):
        ask(model, question(samples=2))


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("maybe", {"constraint": Choices(("yes", "no"))}),
        ("12a", {"constraint": Regex("[0-9]+")}),
        ("no call", {"tool_choice": "required"}),
        ("no call", {"tool_choice": OneTool("look")}),
        (ToolCall("1", "wave", "{}"), {"tool_choice": OneTool("look")}),
        (ToolCall("1", "look", "{}"), {"tool_choice": "none"}),
    ],
)
def test_an_answer_that_was_not_asked_for_is_the_author_s_fault(
    answer: Any, wanted: dict[str, Any]
) -> None:
    tools = (ToolSchema("look", "", {}), ToolSchema("wave", "", {}))
    with pytest.raises(AssertionError, match=r"none of|not match|required|to be called|may be"):
        ask(ScriptedModel(answer), question(tools=tools, **wanted))


def test_a_model_that_may_choose_may_be_wrong() -> None:
    wrong = ToolCall("1", "dance", '["not", "an", "object"]')
    assert ask(ScriptedModel(wrong), question(tools=(ToolSchema("look", "", {}),))).tool_calls


def test_the_context_counts_words() -> None:
    model = ScriptedModel("a b c d e", context_tokens=6)
    assert model.count_tokens(question("one two").messages) == 3
    assert ask(model, question("one two")).usage.completion_tokens == 3
    with pytest.raises(PromptTooLong):
        model.stream(question("one two three four five six"))


@pytest.mark.parametrize("text", ["", " ", "one", " two  words\n", "tab\tand\n\nlines "])
def test_every_character_of_an_answer_is_told(text: str) -> None:
    assert ask(ScriptedModel(text), question()).text == text


def test_the_transcriber_hears_by_file_name() -> None:
    ready = Transcript((), None, 3.0, 0, 0, "other")
    broken = BadAudio(Path("bad.wav"), "broken")
    ears = ScriptedTranscriber({"talk.wav": "a b\n\nc", "ready.wav": ready, "bad.wav": broken})
    seen: list[tuple[float, float | None, str]] = []
    talk = ears.transcribe(
        Path("anywhere/talk.wav"),
        language="de",
        progress=lambda done, total, unit: seen.append((done, total, unit)),
    )
    assert [(word.start, word.end, word.text) for word in talk.words] == [
        (0.0, 0.4, "a"),
        (0.4, 0.8, "b"),
        (0.8, 1.2, "c"),
    ]
    assert (talk.language, talk.duration, talk.covered_seconds) == ("de", 1.2, 1.2)
    assert seen == [(0.8, 1.2, "s"), (1.2, 1.2, "s")]
    assert ears.transcribe(Path("ready.wav")) is ready
    with pytest.raises(BadAudio):
        ears.transcribe(Path("bad.wav"))
    with pytest.raises(AssertionError, match=r"no transcript for 'other.wav'"):
        ears.transcribe(Path("other.wav"))
    assert [path.name for path in ears.heard] == ["talk.wav", "ready.wav", "bad.wav", "other.wav"]
    ears.close()


def test_the_transcriber_hears_silence_and_stops_when_asked() -> None:
    ears = ScriptedTranscriber({"quiet.wav": ""})
    silence = ears.transcribe(Path("quiet.wav"))
    assert (silence.segments, silence.language, silence.duration) == ((), None, 0)
    token = CancelToken()
    token.cancel("enough")
    with pytest.raises(Cancelled, match="enough"):
        ears.transcribe(Path("quiet.wav"), cancel=token)


def test_services_stand_in_for_the_runtime() -> None:
    model, ears = ScriptedModel("yes"), ScriptedTranscriber({})
    services = ScriptedServices(model, ears)
    lent: tuple[Services, ToolServices, Place] = (services, services, services)

    assert lent[2].chat() is model
    assert services.chat() is services.chat("any") is model
    assert services.transcriber() is services.transcriber("any") is ears
