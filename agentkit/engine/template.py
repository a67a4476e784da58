"""Messages to prompt tokens, through the chat template that the model file carries.

A template is code from the internet: it runs in Jinja's immutable sandbox, and the loops that it
can make out of nothing are bounded.  It never gets hold of what users, tools and models wrote (see
`marks`): scaffolding and content are tokenised apart, and no text can pose as a control token.

What the template can say in its own words is found out by trying; `turns` says the rest for it.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise, takewhile
from typing import Any, NamedTuple

from jinja2 import TemplateError, meta, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from agentkit.engine.dialects import choose, told
from agentkit.engine.marks import Arguments, Marks, Piece, to_json
from agentkit.engine.turns import Abilities, Composer, Turn
from agentkit.engine.vocabulary import Vocabulary
from agentkit.engine.written import Written
from agentkit.errors import AgentkitError, ModelError, Unsupported, UserError
from agentkit.messages import Message, ReasoningEffort, ToolCall, ToolSchema
from agentkit.templates import BoundedSandbox

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""For models that bring no template; the most common format among small models."""

MAX_ROUNDS = 100_000
"""How many numbers all `range` calls of one rendering may give together."""

NO_EFFORT = ("none", "minimal")
"""What switches reasoning off, where a template can only be told whether or not."""

EFFORTS = ("low", "medium", "high")
"""What templates know that are told how much; any other word would be written into the prompt."""

CALL_ID = re.compile("[A-Za-z0-9]{9}")
"""The form of the ids of calls that Mistral's templates insist on."""


NOTHING: Mapping[str, Any] = {}

TAME = Abilities()
"""User and assistant by turns, and nothing else: for what a template refuses otherwise."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation as a model reads it.

    The first `stable` tokens come of the template, the system message and the tools alone.
    `thinking` says that the template has opened a block of reasoning at the end.
    """

    tokens: list[int]
    stable: int
    thinking: bool


class _Rendering(NamedTuple):
    pieces: list[Piece]
    complete: bool


class ChatTemplate:
    """Renders conversations for one model.  Raises `ModelError` for a template that is broken.

    `written` has the answers that the model gave before: in the history of a prompt they stand
    token by token as they were written.
    """

    def __init__(
        self,
        source: str | None,
        vocabulary: Vocabulary,
        written: Written | None = None,
        *,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._vocabulary = vocabulary
        environment = BoundedSandbox(extensions=[loopcontrols, _Generation])
        environment.filters["tojson"] = _to_json
        environment.globals["strftime_now"] = lambda form: now().strftime(form)
        try:
            self._template = environment.from_string(source or CHATML)
            self._variables = meta.find_undeclared_variables(environment.parse(source or CHATML))
        except TemplateError as error:
            raise ModelError(f"the chat template of the model is broken: {error}") from None
        self.dialect = choose(source, vocabulary)
        self._able = self._abilities()
        self._composer = Composer(self.dialect, written or Written())
        self._header, self._opening = self._frame()

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema] = (),
        effort: ReasoningEffort | None = None,
    ) -> Prompt:
        """The prompt, ending where the model's answer begins.

        Raises `UserError` for a conversation that the template refuses in every form, `Unsupported`
        for an `effort` that it has no words for.
        """
        if not messages:
            raise UserError("a request needs at least one message")
        pieces = self._pieces(messages, tools, self._effort(effort) if effort else {})
        tokens, stable = self._tokenized(pieces)
        if not tokens:
            raise ModelError("the chat template of the model renders this conversation to nothing")
        opening, closing = self.dialect.think
        end = _last_scaffolding(pieces)
        return Prompt(tokens, stable, thinking=end.rfind(opening) > end.rfind(closing))

    def prefix(self, messages: Sequence[Message], tools: Sequence[ToolSchema] = ()) -> list[int]:
        """What every prompt begins with whose conversation begins with these messages."""
        probe = secrets.token_hex(16)
        following = [Message("user", probe)]
        if messages and messages[-1].tool_calls:
            call = messages[-1].tool_calls[0]
            following.append(Message("tool", probe, tool_call_id=call.id))
        beginnings = []
        for message in following:
            pieces = self._pieces([*messages, message], tools)
            before = list(takewhile(lambda piece: probe not in piece.text, pieces))
            if len(before) == len(pieces):
                return []  # the template does not show the last message
            beginnings.append(self._tokenized(before)[0])
        return beginnings[0][: min(_shared(beginnings[0], other) for other in beginnings)]

    # -- rendering -------------------------------------------------------------------------------

    def _effort(self, effort: ReasoningEffort) -> dict[str, Any]:
        """What the template is told about reasoning."""
        if "reasoning_effort" in self._variables:
            if effort not in EFFORTS:
                why = f"this model knows {', '.join(EFFORTS)}, and not {effort}"
                raise Unsupported("reasoning_effort", why)
            return {"reasoning_effort": effort}
        if "enable_thinking" in self._variables:
            return {"enable_thinking": effort not in NO_EFFORT}
        why = "the template of this model knows nothing of reasoning"
        raise Unsupported("reasoning_effort", why, hint="leave it out, or ask another model")

    def _pieces(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema],
        told: Mapping[str, Any] = NOTHING,
    ) -> list[Piece]:
        """The prompt in pieces: as the template likes it best, and with nothing left out.

        A template may refuse what it could well print (it checks that roles alternate, and takes no
        account of tools); then it is not listened to.  If it leaves something out in every form,
        that is how it is.
        """
        refusal: AgentkitError | None = None
        poor: list[Piece] = []
        for composer in (self._composer, replace(self._composer, written=Written())):
            poor.clear()  # tokens that were left out are worse than a text that was
            for able in (self._able, replace(TAME, system=self._able.system), TAME):
                turns = composer.turns(messages, tools, able)
                for insist in (False, True):
                    try:
                        rendering = self._rendered(
                            turns, tools if able.tools else (), insist=insist, told=told
                        )
                    except (UserError, ModelError) as error:
                        refusal = refusal or error
                        continue
                    if rendering.complete:
                        return self._resumed(rendering.pieces)
                    poor = poor or rendering.pieces
        if refusal and not poor:
            raise refusal
        return poor

    def _rendered(
        self,
        turns: Sequence[Turn],
        tools: Sequence[ToolSchema] = (),
        *,
        insist: bool = False,
        answering: bool = True,
        told: Mapping[str, Any] = NOTHING,
    ) -> _Rendering:
        marks = Marks()
        described = [_tool(tool, marks) for tool in tools]
        conversation = [_message(turn, marks) for turn in turns]
        contents = [entry["content"] for entry in conversation if entry["content"]]
        try:
            rendered = self._template.render(
                messages=conversation,
                **({"tools": described} if described else {}),
                add_generation_prompt=answering,
                bos_token=self._vocabulary.text(self._vocabulary.bos),
                eos_token=self._vocabulary.text(self._vocabulary.eos),
                range=_bounded_range(),
                raise_exception=_ignore if insist else _raise,
                **told,
            )
        except UserError:
            raise
        except Exception as error:  # whatever foreign template code raises
            raise ModelError(f"the chat template of the model failed: {error}") from error
        return _Rendering(_merged(marks.pieces(rendered)), marks.all_in(rendered, contents))

    def _resumed(self, pieces: list[Piece]) -> list[Piece]:
        """Remembered answers right behind the prompt that they were the answer to.

        Some templates put an empty block of reasoning before an answer, or do not repeat the
        beginning of the one that they had opened.
        """
        for before, answer in pairwise(range(len(pieces))):
            place = pieces[before].text.rfind(self._header)
            if pieces[answer].tokens is not None and self._header and place >= 0:
                asked = pieces[before].text[: place + len(self._header)]
                pieces[before] = Piece(asked + self._opening, trusted=True)
        return pieces

    def _tokenized(self, pieces: Iterable[Piece]) -> tuple[list[int], int]:
        """Tokens, and how many of them come before anything that changes between conversations."""
        tokens: list[int] = []
        stable, moving = 0, False
        for piece in pieces:
            if not piece.trusted and not piece.static:
                stable = stable if moving else len(tokens)
                moving = True
            if piece.tokens is not None:
                tokens += piece.tokens
            else:
                tokens += self._vocabulary.tokenize(piece.text, special=piece.trusted, after=tokens)
            if piece.static and not moving:
                stable = len(tokens)
        bos = self._vocabulary.bos
        if tokens and self._vocabulary.adds_bos and bos >= 0 and tokens[0] != bos:
            return [bos, *tokens], stable and stable + 1
        return tokens, stable

    # -- what the template can do ----------------------------------------------------------------

    def _abilities(self) -> Abilities:
        user, other = Turn("user", [Piece("One")]), Turn("user", [Piece("Two")])
        system, answer = Turn("system", [Piece("Three")]), Turn("assistant", [Piece("Four")])
        five, six = (ToolCall(f"{name:0>9}", name, "{}") for name in ("Five", "Six"))
        calling = Turn("assistant", [Piece("")], calls=(five,))
        result = Turn("tool", [Piece("Seven")], call_id=five.id)
        tool = ToolSchema("Eight", "", {"type": "object", "properties": {}})
        native = self.dialect.native and self._shows([user], tool)
        calls = native and self._shows([user, calling], tool)
        return Abilities(
            system=self._shows([system, user, answer, other]),
            repeats=self._shows([user, other]),
            begins=self._shows([answer, user]),
            tools=native,
            calls=calls,
            parallel=calls and self._shows([user, replace(calling, calls=(five, six))], tool),
            beside=calls and self._shows([user, replace(answer, calls=(five,))], tool),
            results=calls and self._shows([user, calling, result], tool),
        )

    def _shows(self, turns: Sequence[Turn], *tools: ToolSchema) -> bool:
        """Whether the template prints all that is in a conversation, and in its order.

        (Some move the system message to the last question, into other places as time goes by.)
        """
        try:
            pieces = self._rendered(turns, tools).pieces
        except (UserError, ModelError):
            return False
        shown = "".join(piece.text for piece in pieces if not piece.trusted)
        texts = [
            text
            for turn in turns
            for text in (
                *(piece.text for piece in turn.pieces),
                *(call.name for call in turn.calls),
            )
        ]
        in_order = re.search(".*".join(texts), shown, re.DOTALL)
        return bool(in_order) and all(tool.name in shown for tool in tools)

    def _frame(self) -> tuple[str, str]:
        """What comes between question and answer, and what a prompt has after that.

        The latter is the beginning of a block of reasoning, where the template opens one.
        """
        question, answer = Turn("user", [Piece("One")]), Turn("assistant", [Piece("Two")])
        try:
            prompt = self._rendered([question]).pieces
            history = self._rendered([question, answer, question], answering=False).pieces
        except (UserError, ModelError):
            return "", ""
        before = takewhile(lambda piece: "Two" not in piece.text, history)
        asked, answered = _last_scaffolding(prompt), _last_scaffolding(list(before))
        same = _shared(asked, answered)
        return asked[:same], asked[same:]


def _message(turn: Turn, marks: Marks) -> dict[str, Any]:
    """A turn as templates expect it."""
    entry: dict[str, Any] = {"role": turn.role, "content": marks.sealed(turn.pieces)}
    if turn.reasoning:
        entry["reasoning_content"] = marks.text(turn.reasoning)
    if turn.calls:
        entry["tool_calls"] = [
            {
                "type": "function",
                "id": _call_id(call.id),
                "function": {
                    "name": marks.text(call.name),
                    "arguments": Arguments(marks, json.loads(call.arguments)),
                },
            }
            for call in turn.calls
        ]
    if turn.role == "tool":
        entry["tool_call_id"] = _call_id(turn.call_id)
        if turn.name:
            entry["name"] = marks.text(turn.name)
    return entry


def _tool(tool: ToolSchema, marks: Marks) -> dict[str, Any]:
    """A tool as templates expect it."""
    function = {key: marks.value(value, static=True) for key, value in told(tool).items()}
    return {"type": "function", "function": function}


def _call_id(call_id: str) -> str:
    """An id of nine letters and digits: the same one, or a digest of it."""
    if CALL_ID.fullmatch(call_id):
        return call_id
    return hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()[:9]


def _merged(pieces: Iterable[Piece]) -> list[Piece]:
    """Without empty pieces, with neighbouring scaffolding in one, and with the space between
    scaffolding and a text before the text, where its first word would have it."""
    merged: list[Piece] = []
    for piece in pieces:
        last = merged[-1] if merged else Piece("")
        if not piece.text and piece.tokens is None:
            continue
        if piece.trusted and last.trusted:
            merged[-1] = replace(last, text=last.text + piece.text)
        elif last.trusted and last.text.endswith(" ") and piece.tokens is None:
            merged[-1] = replace(last, text=last.text[:-1])
            merged.append(replace(piece, text=f" {piece.text}"))
        else:
            merged.append(piece)
    return merged


def _shared(one: Sequence[object], other: Sequence[object]) -> int:
    """How many entries two sequences begin with in common."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _last_scaffolding(pieces: Sequence[Piece]) -> str:
    return pieces[-1].text if pieces and pieces[-1].trusted else ""


class _Generation(Extension):
    """Hugging Face's tag around what the model wrote; it matters for training only."""

    tags = {"generation"}  # noqa: RUF012 (as Jinja declares it)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _bounded_range() -> Callable[..., range]:
    left = MAX_ROUNDS

    def bounded(*arguments: int) -> range:
        nonlocal left
        numbers = range(*arguments)
        left -= len(numbers)
        if left < 0:
            raise ModelError(f"it counts beyond {MAX_ROUNDS}")
        return numbers

    return bounded


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return to_json(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _raise(message: str) -> None:
    """Templates call this for conversations that they do not support (two user turns in a row)."""
    raise UserError(f"the chat template of the model refuses this conversation: {message}")


def _ignore(message: str) -> str:
    """In place of `_raise`, where a template is not listened to."""
    return ""
