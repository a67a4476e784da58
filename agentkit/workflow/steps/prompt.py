"""`prompt`: ask a chat model; with `output_schema` the answer is data, checked against it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry

from agentkit.errors import ModelError
from agentkit.messages import ChatRequest, Completion, JsonSchema, Message, Sampling
from agentkit.ports import ChatModel
from agentkit.toolbox.answer import answer
from agentkit.workflow.spec import Prompt
from agentkit.workflow.steps.scope import Result, Scope


def record(prompt: Prompt, schema: Mapping[str, Any] | None, model: ChatModel) -> dict[str, Any]:
    """What the journal keeps of a question: all that the answer depends on.

    The examples are one text, because the journal stores a long text once for all questions.
    """
    return {
        "model": model.name,
        "system": prompt.system,
        "examples": json.dumps([example.model_dump() for example in prompt.examples]),
        "text": prompt.text,
        "output_schema": None if schema is None else json.dumps(schema),
        **prompt.model_dump(exclude={"model", "system", "examples", "text"}),
    }


def perform(
    prompt: Prompt, schema: Mapping[str, Any] | None, model: ChatModel, scope: Scope
) -> Result:
    """Ask, and make the tool calls that the model asks for.

    The outputs are the JSON value, or `{"text": ...}` where there is no schema.
    Raises `ModelError` for an answer that was cut off or does not fit the schema, `ApprovalNeeded`
    for a call that waits for a person.
    """
    request = ChatRequest(
        messages=tuple(_messages(prompt)),
        max_tokens=prompt.max_tokens,
        stop=tuple(prompt.stop),
        sampling=Sampling(
            temperature=prompt.temperature,
            top_k=prompt.top_k,
            top_p=prompt.top_p,
            min_p=prompt.min_p,
            seed=prompt.seed,
        ),
        constraint=None if schema is None else JsonSchema(schema),
        tools=tuple(scope.caller.tools[name].schema for name in prompt.tools),
    )
    done = answer(model, request, scope.caller, scope.report, scope.cancel)
    completion, usage = done.completion, done.usage
    if schema is not None:
        return Result(_data(completion, schema), usage)
    if completion.finish_reason == "length":
        written = completion.usage.completion_tokens
        scope.report.warned(f"the answer was cut off after {written} tokens")
    return Result({"text": completion.text.strip()}, usage)


def _messages(prompt: Prompt) -> Iterator[Message]:
    if prompt.system:
        yield Message("system", prompt.system)
    for example in prompt.examples:
        yield Message("user", example.question)
        answer = example.answer
        yield Message("assistant", answer if isinstance(answer, str) else json.dumps(answer))
    yield Message("user", prompt.text)


def _data(completion: Completion, schema: Mapping[str, Any]) -> Any:
    if completion.finish_reason == "length":
        raise ModelError(
            f"the answer was cut off after {completion.usage.completion_tokens} tokens, in the "
            f"middle of its JSON: ...{completion.text[-60:]!r}",
            hint="raise max_tokens of the prompt, or bound the schema (maxLength, maxItems)",
        )
    try:
        value = json.loads(completion.text)
    except ValueError as error:
        raise ModelError(f"the answer is not JSON ({error}): {completion.text[:80]!r}") from None
    fault = next(Draft202012Validator(schema, registry=Registry()).iter_errors(value), None)
    if fault is not None:
        raise ModelError(f"the answer does not fit output_schema: {fault.message}")
    return value
