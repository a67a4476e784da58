"""How one family of models writes tool calls and reasoning: to be forced, and to be read.

A dialect has the grammar that keeps an answer to its request, the reader that takes the answer
apart, and the words for tools and calls where a chat template has none.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar

from agentkit.engine.dialects.lark import Rules, choice, literal
from agentkit.engine.dialects.reader import AnswerReader, Sign
from agentkit.engine.dialects.schemas import answer_rule, arguments_rule, told
from agentkit.engine.marks import Piece
from agentkit.engine.vocabulary import Vocabulary
from agentkit.errors import UnknownName, UserError
from agentkit.messages import (
    ChatRequest,
    Choices,
    Constraint,
    JsonSchema,
    Lark,
    OneTool,
    Regex,
    ToolCall,
    ToolSchema,
)

REASONING = (("<think>", "</think>"), ("[THINK]", "[/THINK]"))
"""Markers around reasoning, of the families that have any."""


class Dialect(ABC):
    """One family, with one vocabulary.  `source` is the chat template of the model."""

    native: ClassVar[bool] = True
    """Whether the family's own templates show tools and calls, in this dialect."""

    opener: ClassVar[str]
    """What the family itself writes first in a call."""

    gap: ClassVar[str] = "\n"
    """What stands between a text and the calls after it."""

    instruction: ClassVar[str] = ""
    """How to call a tool, for models whose template does not say it."""

    def __init__(self, source: str, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        found = [markers for markers in REASONING if markers[1] in source]
        self._reasons = bool(found)
        self.think = found[0] if found else REASONING[0]

    # -- prompts ---------------------------------------------------------------------------------

    def describe(self, tools: Sequence[ToolSchema]) -> str:
        """The tools, and how to call one."""
        known = [json.dumps(told(tool), ensure_ascii=False) for tool in tools]
        return "\n".join(["You can use these tools:", *known, self.instruction])

    @abstractmethod
    def write(self, calls: Sequence[ToolCall]) -> list[Piece]:
        """Calls as the model would have written them."""

    # -- answers ---------------------------------------------------------------------------------

    def grammar(self, request: ChatRequest, *, thinking: bool) -> str | None:
        """A grammar in Lark for the answer to a request; None if the constraint alone will do.

        `thinking` says that the prompt ends within a block of reasoning.  Raises `UserError` for a
        `tool_choice` or constraint that cannot be kept.
        """
        rules = Rules(self._vocabulary)
        tools = callable_tools(request)
        if tools:
            answer = self._calling(rules, request, tools)
        elif self._comes_later(request, thinking=thinking):
            answer = _wanted(rules, request.constraint)
        elif request.tools and not request.constraint and rules.is_token(self.opener):
            answer = f"{rules.text()}?"  # without the markers of calls
        else:
            return None
        return rules.write(self._reasoned(rules, answer, thinking=thinking))

    def reader(self, request: ChatRequest, *, thinking: bool) -> AnswerReader:
        """A reader of the answer to a request."""
        tools = callable_tools(request)
        reader = AnswerReader(
            self._signs() if tools else (),
            tools=frozenset(tool.name for tool in tools),
            think=self.think,
            thinking=thinking,
            hidden=self._hidden,
        )
        for tool in tools:
            reader.notes += arguments_rule(tool)[1]
        beside = (
            request.tool_choice == "auto"
            if tools
            else self._comes_later(request, thinking=thinking)
        )
        if beside and isinstance(request.constraint, JsonSchema):
            reader.notes += answer_rule(request.constraint.schema)[1]
        return reader

    def _comes_later(self, request: ChatRequest, *, thinking: bool) -> bool:
        """Whether reasoning may come before what the constraint speaks of."""
        if isinstance(request.constraint, Lark) and not thinking:
            return False  # it cannot be a part of another grammar: this model answers at once
        return request.constraint is not None and (thinking or self._reasons)

    @abstractmethod
    def _signs(self) -> Iterable[Sign]:
        """What introduces calls in answers."""

    @abstractmethod
    def _calls(self, rules: Rules, opened: str, tools: Sequence[ToolSchema], *, many: bool) -> str:
        """The expression for calls; `opened` is the one for the opener of the first."""

    def _calling(self, rules: Rules, request: ChatRequest, tools: Sequence[ToolSchema]) -> str:
        """Calls; before or instead of them, where the model may choose, something else."""
        many = request.parallel_tool_calls and not isinstance(request.tool_choice, OneTool)
        marker = rules.marker(self.opener)
        if request.tool_choice != "auto":
            return self._calls(rules, marker, tools, many=many)
        if request.constraint:
            calls = self._calls(rules, marker, tools, many=many)
            return choice([calls, _wanted(rules, request.constraint)])
        return self._free(rules, tools, many=many)

    def _free(self, rules: Rules, tools: Sequence[ToolSchema], *, many: bool) -> str:
        """Any text, then calls, if the model likes."""
        if rules.is_token(self.opener):
            calls = self._calls(rules, rules.marker(self.opener), tools, many=many)
            return f"{rules.text()}? ({calls})?"
        opened = rules.up_to(self.opener, "opened")
        return choice([self._calls(rules, opened, tools, many=many), rules.text()])

    def _reasoned(self, rules: Rules, answer: str, *, thinking: bool) -> str:
        """The answer after reasoning, if there is or may be any."""
        opening, closing = self.think
        gap = r' "\n\n"' if opening == "<think>" else ""  # as all of these models write
        if thinking:
            return f"{rules.up_to(closing, 'reasoning')}{gap} {answer}"
        if self._reasons:
            return f"({rules.up_to(closing, 'reasoning', after=opening)}{gap})? {answer}"
        return answer

    def _functions(
        self,
        rules: Rules,
        tools: Sequence[ToolSchema],
        *,
        after_name: str = "",
        before_arguments: str = "",
    ) -> str:
        """The name of a tool, and arguments that its schema accepts.

        Between them comes the text `after_name` and the expression `before_arguments`.
        """
        options = []
        for number, tool in enumerate(tools):
            arguments = rules.add(f"arguments_{number}", arguments_rule(tool)[0])
            name = json.dumps(tool.name, ensure_ascii=False)[1:-1]
            begun = f"{literal(name + after_name)} {before_arguments}"
            options.append(rules.add(f"tool_{number}", f"{begun} {arguments}"))
        return rules.add("call", choice(options))

    def _hidden(self, marker: str) -> bool:
        """Whether a marker is a control token, which is no text."""
        token = self._vocabulary.marker(marker)
        return token is not None and not self._vocabulary.piece(token)


def callable_tools(request: ChatRequest) -> tuple[ToolSchema, ...]:
    """The tools that the answer to a request may call.

    Raises `UserError` if two have one name, or if the `tool_choice` is not among them.
    """
    names = [tool.name for tool in request.tools]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two tools are named {name!r}")
    if request.tool_choice == "none":
        return ()
    if isinstance(request.tool_choice, OneTool):
        wanted = request.tool_choice.name
        if wanted not in names:
            raise UnknownName("tool", wanted, names, hint="name one of the tools of the request")
        return tuple(tool for tool in request.tools if tool.name == wanted)
    tools = tuple(tool for tool in request.tools if tool.allowed is not False)
    if request.tool_choice == "required" and not tools:
        raise UserError("tool_choice is 'required', but the request has no tools to be called")
    return tools


def call_object(call: ToolCall, key: str) -> str:
    """A call as a JSON object, with its arguments under this key."""
    name = json.dumps(call.name, ensure_ascii=False)
    return f'{{"name": {name}, "{key}": {call.arguments}}}'


def _wanted(rules: Rules, constraint: Constraint | None) -> str:
    """What a constraint asks for, as a part of a grammar."""
    match constraint:
        case JsonSchema(schema):
            return rules.add("wanted", answer_rule(schema)[0])
        case Regex(pattern):
            closing = re.compile(r"(?<!\\)((?:\\\\)*)/")  # a slash that is not escaped yet
            return rules.add("wanted", "/" + closing.sub(r"\1\/", pattern) + "/")
        case Choices(options) if options:
            return rules.add("wanted", choice([literal(option) for option in options]))
        case Choices():
            raise UserError("there are no choices to choose from")
        case _:
            raise UserError(
                "a grammar of your own goes neither with tools nor after reasoning",
                hint="use a JSON Schema, a regular expression or choices",
            )
