"""How calls are written: a JSON object with name and arguments, or a name and then the arguments.

What models write without a grammar is close to the format, not always in it.  So a missing last
brace, an array around the calls, several calls behind one marker, arguments that are JSON within a
JSON string, and the keys in either order are all read as what they mean.  The text of the arguments
itself is never changed.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable

from agentkit.engine.dialects.reader import AnswerReader
from agentkit.engine.dialects.scan import Broken, Read, Token

Parser = Callable[[AnswerReader], Read[None]]

ARGUMENTS = ("arguments", "parameters")
"""Keys under which models put the arguments."""

ASIDE = ("id", "type")
"""Keys that a call may have besides; nothing depends on them."""

NAME = frozenset(string.ascii_letters + string.digits + "_-.")
"""Characters of a tool's name where no quotes enclose it."""


def objects(reader: AnswerReader) -> Read[None]:
    """`{"name": ..., "arguments": ...}`: one, several, or an array of them."""
    listed = (yield from reader.units.expect("{", "[")) == "["
    if listed:
        yield from reader.units.expect("{")
    yield from _object(reader)
    while (yield from _another(reader, listed=listed)):
        yield from _object(reader)


def bare(opening: str) -> Parser:
    """The same, where the opening bracket itself is the sign."""

    def parse(reader: AnswerReader) -> Read[None]:
        reader.units.back(opening)
        yield from objects(reader)

    return parse


def tagged(close: str) -> Parser:
    """The same, up to a marker."""

    def parse(reader: AnswerReader) -> Read[None]:
        yield from objects(reader)
        yield from _closing(reader, close)

    return parse


def fenced(reader: AnswerReader) -> Read[None]:
    """The same in a fenced block, whose first line is the sign."""
    yield from objects(reader)
    yield from _closing(reader, "```")


def listed_or_named(reader: AnswerReader) -> Read[None]:
    """Mistral's two forms: an array of objects, or `name[ARGS]{...}`."""
    unit = yield from reader.units.after_space()
    reader.units.back(unit)
    if unit in ("[", "{"):
        yield from objects(reader)
        return
    name = yield from _name(reader)
    if (yield from reader.units.word("[CALL_ID]")):
        yield from _name(reader)
    yield from reader.units.word("[ARGS]")
    yield from _call(reader, name)


def function_tag(reader: AnswerReader) -> Read[None]:
    """`name>{...}</function>`, after `<function=`."""
    name = yield from _name(reader)
    yield from reader.units.expect(">")
    yield from _call(reader, name)
    yield from _closing(reader, "</function>")


def _call(reader: AnswerReader, name: str) -> Read[None]:
    """Arguments, after the name of their tool."""
    reader.begin_call(name)
    first = yield from reader.units.expect("{")
    yield from reader.units.value(first, reader.write_arguments)
    reader.end_call()


def _object(reader: AnswerReader) -> Read[None]:
    """A call whose opening brace was read."""
    units = reader.units
    name: str | None = None
    arguments: str | None = None  # those that came before the name
    written = False
    while (yield from units.expect('"', "}")) == '"':
        key = yield from units.string()
        yield from units.expect(":")
        first = yield from units.after_space()
        if key == "name" and name is None and first == '"':
            name = yield from units.string()
            reader.begin_call(name)
            if arguments is not None:
                reader.write_arguments(arguments)
                written = True
        elif key in ARGUMENTS and arguments is None and not written:
            if name is None:
                arguments = yield from _arguments(reader, first)
            elif first == "{":
                yield from units.value(first, reader.write_arguments)
                written = True
            else:
                reader.write_arguments((yield from _arguments(reader, first)))
                written = True
        elif key in ASIDE:
            yield from units.value(first, _ignore)
        else:
            units.back(first)
            raise Broken
        try:
            if (yield from units.expect(",", "}")) == "}":
                break
        except Broken:
            if not written:
                raise
            break  # all is there but the last brace
    if name is None:
        raise Broken
    if not written:
        reader.write_arguments("{}")
    reader.end_call()


def _arguments(reader: AnswerReader, first: str) -> Read[str]:
    """Arguments as a whole; those within a JSON string are taken out of it."""
    raw: list[str] = []
    yield from reader.units.value(first, raw.append)
    text = "".join(raw)
    try:
        inner = json.loads(text)
        return inner if isinstance(inner, str) and isinstance(json.loads(inner), dict) else text
    except (ValueError, RecursionError):
        return text


def _ignore(text: str) -> None:
    pass


def _another(reader: AnswerReader, *, listed: bool) -> Read[bool]:
    """Whether one more object follows; its opening brace, or the end of the array, is taken."""
    units = reader.units
    unit = yield from units.after_space()
    if unit in (",", ";") and not isinstance(unit, Token):
        unit = yield from units.after_space()
    if unit == "{" or (unit == "]" and listed):
        return unit == "{"
    units.back(*units.taken)
    return False


def _closing(reader: AnswerReader, marker: str) -> Read[None]:
    """The marker after the calls, if it is there; a brace too many is passed over."""
    units = reader.units
    units.begin()
    unit = yield from units.after_space()
    while unit in ("}", "]"):
        unit = yield from units.after_space()
    units.back(unit)
    if (yield from units.word(marker)):
        units.begin()
    else:
        units.back(*units.taken)


def _name(reader: AnswerReader) -> Read[str]:
    """A name without quotes."""
    unit = yield from reader.units.after_space()
    name: list[str] = []
    while not isinstance(unit, Token) and unit in NAME:
        name.append(unit)
        unit = yield
    reader.units.back(unit)
    if not name:
        raise Broken
    return "".join(name)
