"""`prompt`: ask a chat model; with `output_schema` the answer is data, checked against it.

A `strategy` spends more questions on a hard one; `checks` decide whether the answer is accepted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from agentkit import events as ev
from agentkit.agent.checks import Check, Fault, first_fault
from agentkit.agent.strategies import Asker
from agentkit.errors import ModelError, ToolError
from agentkit.fitting import first_misfit
from agentkit.messages import ChatRequest, Completion, Image, JsonSchema, Message, Sampling
from agentkit.pictures import KNOWN, MOST_BYTES, picture
from agentkit.ports import ChatModel
from agentkit.toolbox.answer import answer
from agentkit.toolbox.caller import Caller
from agentkit.toolbox.files import GrantedFiles
from agentkit.workflow.quality import ANSWER
from agentkit.workflow.spec import SAMPLING, Prompt, Step
from agentkit.workflow.steps import quality
from agentkit.workflow.steps.scope import Result, Scope


def record(
    step: Step, prompt: Prompt, schema: Mapping[str, Any] | None, model: ChatModel
) -> dict[str, Any]:
    """What the journal keeps of a question: all that the answer depends on.

    The examples are one text, because the journal stores a long text once for all questions.
    """
    thought = {} if step.strategy is None else {"strategy": step.strategy.name}
    return {
        "model": model.name,
        "system": prompt.system,
        "examples": json.dumps([example.model_dump() for example in prompt.examples]),
        "text": prompt.text,
        "output_schema": None if schema is None else json.dumps(schema),
        **prompt.model_dump(exclude={"model", "system", "examples", "text"}),
        **thought,
    }


def perform(
    step: Step, prompt: Prompt, schema: Mapping[str, Any] | None, model: ChatModel, scope: Scope
) -> Result:
    """Ask, make the tool calls that the model asks for, and check the answer.

    `prompt` and `schema` are those of the step, evaluated.  The outputs are the JSON value, or
    `{"text": ...}` where there is no schema.  Raises `ModelError` for an answer that was cut off,
    does not fit the schema or fails a check, `ApprovalNeeded` for a call that waits for a person.
    """
    asker = Asker(model, _request(prompt, schema, scope), scope.cancel)
    checks = list(
        quality.checks(
            step.checks,
            scope,
            ANSWER,
            lambda question, said: asker.likely(quality.yes_or_no(question), [("", said)]),
        )
    )

    @cache  # a strategy has looked at the last answer already
    def found(text: str) -> Fault | None:
        return _found(checks, text, schema)

    completion = _answered(step, asker, lambda text: (found(text) or ("", ""))[1], scope)
    if schema is None and completion.finish_reason == "length":
        written = completion.usage.completion_tokens
        scope.report.warned(f"the answer was cut off after {written} tokens")
    said = completion.text.strip() if schema is None else _data(completion, schema)
    quality.accept(found(completion.text), said, ModelError)
    return Result({"text": said} if schema is None else said, asker.usage)


def _request(prompt: Prompt, schema: Mapping[str, Any] | None, scope: Scope) -> ChatRequest:
    return ChatRequest(
        messages=tuple(_messages(prompt, tuple(_images(prompt.images, scope.caller)))),
        max_tokens=prompt.max_tokens,
        stop=tuple(prompt.stop),
        sampling=Sampling(**{name: getattr(prompt, name) for name in SAMPLING}),
        constraint=None if schema is None else JsonSchema(schema),
        tools=tuple(scope.caller.tools[name].schema for name in prompt.tools),
    )


def _answered(step: Step, asker: Asker, fault: Callable[[str], str], scope: Scope) -> Completion:
    """The answer; the asker knows afterwards what it cost, and what was said before it."""
    if step.strategy is None:
        done = answer(asker.model, asker.request, scope.caller, scope.report, scope.cancel)
        asker.usage += done.usage
        asker.request = replace(asker.request, messages=done.messages[:-1])
        return done.completion
    solution = quality.strategy(step.strategy, fault)(asker)
    scope.report.tell(
        ev.StepReasoned(
            **scope.report.place,
            strategy=step.strategy.name,
            thoughts=solution.thoughts,
            votes=solution.votes,
            candidates=solution.candidates,
        )
    )
    return solution.completion


def _found(checks: Sequence[Check], text: str, schema: Mapping[str, Any] | None) -> Fault | None:
    """What is wrong with an answer; one that is cut off fits no schema."""
    try:
        return first_fault(checks, text.strip() if schema is None else json.loads(text))
    except ValueError as error:
        return "output_schema", f"it is not JSON ({error})"


def _images(paths: Sequence[str], caller: Caller) -> Iterator[Image]:
    """The pictures of a question.  Raises `ToolError` for a file that is none, or not granted."""
    files = GrantedFiles(caller.folder, caller.grants, lambda path: None)
    for path in paths:
        found = picture(files.read(path, limit=MOST_BYTES))
        if found is None:
            raise ToolError(f"{path!r} is no picture that models see: {KNOWN} are")
        yield found


def _messages(prompt: Prompt, images: tuple[Image, ...]) -> Iterator[Message]:
    if prompt.system:
        yield Message("system", prompt.system)
    for example in prompt.examples:
        yield Message("user", example.question)
        answer = example.answer
        yield Message("assistant", answer if isinstance(answer, str) else json.dumps(answer))
    yield Message("user", prompt.text, images=images)


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
    fault = first_misfit(value, schema)
    if fault is not None:
        raise ModelError(f"the answer does not fit output_schema: {fault.message}")
    return value
