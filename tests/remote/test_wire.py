"""What is sent, in the words of each kind of server; and what is refused instead."""

from __future__ import annotations

from typing import Any

import pytest

from agentkit.errors import UserError
from agentkit.messages import (
    ChatRequest,
    Choices,
    JsonSchema,
    Lark,
    Message,
    OneTool,
    Regex,
    Sampling,
    ToolCall,
    ToolSchema,
)
from agentkit.remote import Flavour, wire
from agentkit.remote.dialects import DIALECTS
from agentkit.remote.facts import Facts
from agentkit.remote.shapes import Called, Plain, Quoted, Spaced

FLAVOURS: list[Flavour] = ["llama.cpp", "ollama", "vllm", "openai"]
LOOK = ToolSchema("look", "Look at something.", {"type": "object", "properties": {"at": {}}})
WAVE = ToolSchema("wave", "Wave.", {"type": "object"})


def asked(flavour: Flavour, **more: Any) -> wire.Asked:
    request = ChatRequest(more.pop("messages", (Message("user", "Hello"),)), **more)
    wire.check(request)
    return wire.asked(request, Facts(DIALECTS[flavour], "m", ("m",)))


def body(flavour: Flavour, **more: Any) -> dict[str, Any]:
    return asked(flavour, **more).body


def test_a_plain_question_has_only_what_every_server_knows() -> None:
    assert body("openai", max_tokens=5, stop=("x", "")) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.0,
        "top_p": 1.0,
        "frequency_penalty": 0.0,
        "presence_penalty": 0.0,
        "max_tokens": 5,
        "stop": ["x"],
    }


def test_a_conversation_keeps_thoughts_calls_and_results() -> None:
    turns = (
        Message("system", "Be brief."),
        Message("assistant", "", "Hm.", (ToolCall("c1", "look", '{"at": "Ä"}'),)),
        Message("tool", "nothing", tool_call_id="c1"),
    )
    call = {"name": "look", "arguments": '{"at": "Ä"}'}
    assert body("openai", messages=turns)["messages"] == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "Hm.",
            "tool_calls": [{"id": "c1", "type": "function", "function": call}],
        },
        {"role": "tool", "content": "nothing", "tool_call_id": "c1"},
    ]


# -- sampling ------------------------------------------------------------------------------------


def test_what_is_off_is_said_where_a_server_has_defaults_of_its_own() -> None:
    off = {"top_k": 0, "min_p": 0.0}
    assert body("llama.cpp").items() >= {**off, "repeat_penalty": 1.0, "typical_p": 1.0}.items()
    assert body("vllm").items() >= {**off, "repetition_penalty": 1.0}.items()
    assert not body("openai").keys() & {"top_k", "min_p", "repeat_penalty", "dry_multiplier"}
    assert body("openai", sampling=Sampling(top_k=3, dry_multiplier=0.8)).items() >= {
        "top_k": 3,
        "dry_multiplier": 0.8,
    }.items()  # fmt: skip


@pytest.mark.parametrize(
    ("flavour", "sampling", "named"),
    [
        ("ollama", Sampling(top_k=3), "top_k"),
        ("ollama", Sampling(min_p=0.1), "min_p"),
        ("ollama", Sampling(logit_bias={1: 2.0}), "logit_bias"),
        ("ollama", Sampling(dry_multiplier=0.8), "dry_multiplier"),
        ("vllm", Sampling(typical_p=0.5), "typical_p"),
        ("vllm", Sampling(dry_multiplier=0.8), "dry_multiplier"),
    ],
)
def test_a_parameter_that_would_be_ignored_is_refused(
    flavour: Flavour, sampling: Sampling, named: str
) -> None:
    with pytest.raises(UserError, match=f"{flavour} cannot be asked for {named}"):
        body(flavour, sampling=sampling)


@pytest.mark.parametrize(("seed", "sent"), [(0, 0), (7, 7), (-1, 2**31 - 1), (2**32, 0)])
def test_a_seed_is_one_that_no_server_takes_for_any(seed: int, sent: int) -> None:
    assert body("openai", sampling=Sampling(seed=seed))["seed"] == sent
    assert "seed" not in body("openai")


def test_biases_samples_and_probabilities_are_sent() -> None:
    more = body("vllm", samples=3, top_logprobs=0, sampling=Sampling(logit_bias={7: -5.0}))
    assert (more["n"], more["logit_bias"]) == (3, {"7": -5.0})
    assert (more["logprobs"], more["top_logprobs"]) == (True, 1)
    with pytest.raises(UserError, match="ollama cannot be asked for several samples"):
        body("ollama", samples=2)


# -- constraints ---------------------------------------------------------------------------------


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_json_schema_is_asked_of_all_of_them(flavour: Flavour) -> None:
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}
    sent = asked(flavour, constraint=JsonSchema(schema))
    assert sent.body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": True},
    }
    assert list(sent.body["response_format"]["json_schema"]["schema"]["properties"]) == ["b", "a"]
    assert sent.shape is Spaced


def test_choices_patterns_and_grammars_are_asked_as_each_server_takes_them() -> None:
    choices, pattern, grammar = Choices(("a", "b")), Regex("a+"), Lark('start: "a"')
    assert body("llama.cpp", constraint=choices)["grammar"] == "root ::= [a] | [b]"
    assert body("llama.cpp", constraint=pattern)["grammar"] == "root ::= ([a])+"
    for constraint, wanted in [
        (choices, {"choice": ["a", "b"]}),
        (pattern, {"regex": "a+"}),
        (grammar, {"grammar": 'start: "a"'}),
    ]:
        assert body("vllm", constraint=constraint)["structured_outputs"] == wanted
    for flavour in ("ollama", "openai"):
        sent = asked(flavour, constraint=choices)
        schema = sent.body["response_format"]["json_schema"]["schema"]
        assert (schema, sent.shape) == ({"enum": ["a", "b"]}, Quoted)


@pytest.mark.parametrize(
    ("flavour", "constraint", "named"),
    [
        ("llama.cpp", Lark("start: /a/"), "llama.cpp cannot be asked for Lark"),
        ("ollama", Lark("start: /a/"), "ollama cannot be asked for Lark"),
        ("ollama", Regex("a"), "ollama cannot be asked for regular"),
        ("openai", Regex("a"), "an OpenAI-compatible server cannot be asked for regular"),
        ("vllm", Choices(()), "nothing to choose from"),
        ("llama.cpp", Regex("(?=a)"), "a lookaround"),
    ],
)
def test_a_constraint_that_cannot_be_kept_is_named(
    flavour: Flavour, constraint: Any, named: str
) -> None:
    with pytest.raises(UserError, match=named):
        body(flavour, constraint=constraint)


# -- tools ---------------------------------------------------------------------------------------


def test_tools_and_the_choice_among_them_are_sent() -> None:
    sent = body("openai", tools=(LOOK,), tool_choice="required", parallel_tool_calls=False)
    function = {
        "name": "look",
        "description": "Look at something.",
        "parameters": {"type": "object", "properties": {"at": {}}},
    }
    assert sent["tools"] == [{"type": "function", "function": function}]
    assert (sent["tool_choice"], sent["parallel_tool_calls"]) == ("required", False)
    named = body("vllm", tools=(LOOK, WAVE), tool_choice=OneTool("wave"))["tool_choice"]
    assert named == {"type": "function", "function": {"name": "wave"}}
    assert "tool_choice" not in body("openai")


@pytest.mark.parametrize("flavour", ["llama.cpp", "ollama"])
def test_a_call_is_forced_by_a_schema_where_the_choice_is_not_obeyed(flavour: Flavour) -> None:
    sent = asked(flavour, tools=(LOOK, WAVE), tool_choice="required")
    wanted = sent.body["response_format"]["json_schema"]["schema"]["anyOf"]
    assert [one["properties"]["name"] for one in wanted] == [{"const": "look"}, {"const": "wave"}]
    assert wanted[0]["properties"]["arguments"] == LOOK.parameters
    assert len(sent.body["tools"]) == 2
    assert sent.shape is Called
    one = body(flavour, tools=(LOOK, WAVE), tool_choice=OneTool("wave"))
    (only,) = one["response_format"]["json_schema"]["schema"]["anyOf"]
    assert only["properties"]["name"] == {"const": "wave"}


def test_ollama_is_not_told_of_tools_that_it_must_not_use() -> None:
    assert "tools" not in body("ollama", tools=(LOOK,), tool_choice="none")
    assert body("llama.cpp", tools=(LOOK,), tool_choice="none")["tool_choice"] == "none"


def test_a_constraint_and_a_choice_of_tools_exclude_each_other() -> None:
    wanted: dict[str, Any] = {"tools": (LOOK,), "constraint": JsonSchema({})}
    with pytest.raises(UserError, match="both keep to a constraint and call tools"):
        body("llama.cpp", **wanted)
    assert asked("llama.cpp", tool_choice="none", **wanted).shape is Spaced


def test_text_without_constraint_is_plain() -> None:
    assert asked("llama.cpp", tools=(LOOK,)).shape is Plain


# -- what makes no sense -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"messages": ()}, "message"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"samples": 0}, "samples"),
        ({"timeout": 0.0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"adapters": {"poet": 1.0}}, "LoRA"),
        ({"tool_choice": "required"}, "no tools"),
        ({"tool_choice": OneTool("dance")}, "dance"),
        ({"tools": (ToolSchema("x", "", {"type": 5}),)}, "schema of the tool 'x'"),
        ({"constraint": JsonSchema({"type": "nothing"})}, "the schema is not valid"),
        ({"constraint": JsonSchema({"enum": [{1}]})}, "the schema is not valid"),
        ({"constraint": JsonSchema({"const": float("nan")})}, "the schema is not valid"),
        ({"sampling": Sampling(logit_bias={1: float("nan")})}, "logit_bias"),
        ({"sampling": Sampling(logit_bias={1: 101.0})}, "logit_bias"),
        ({"sampling": Sampling(dry_base=0.5)}, "dry_base"),
    ],
)
def test_what_makes_no_sense_is_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        body("openai", **wrong)
