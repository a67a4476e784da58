"""YAML 1.2 files that remember where everything stood.

`load` turns text into plain Python data and an index from path (`("steps", 0, "uses")`) to place,
so that whatever is wrong with a value later can be shown as `file:line:col` with the line and a
caret.  The data is built here from ruamel's node graph rather than by its constructors: every value
keeps its exact place (quoted, folded, in a flow mapping, behind an anchor), dates stay the text
that was written, all duplicate keys are found at once, and aliases cannot expand without end.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from agentkit.errors import InvalidFile, Problem, UserError, human_bytes
from agentkit.values import dataclass

NodePath = tuple[str | int, ...]

MAX_BYTES = 1_000_000
MAX_NODES = 100_000
MAX_DEPTH = 100
"""Limits on a file: aliases of aliases can make a small file expand without end."""

_TAG = "tag:yaml.org,2002:"
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""What ends a line for YAML; `str.splitlines` knows more."""


@dataclass(frozen=True, slots=True)
class Place:
    """Line and column from 0; `length` characters long."""

    line: int
    column: int
    length: int


@dataclass(frozen=True, slots=True)
class Span:
    """Where the text of a value begins and ends, as offsets."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: its `data` in plain types, and where each key and value stood."""

    name: str
    text: str
    data: Any
    keys: Mapping[NodePath, Span] = field(default_factory=dict)
    values: Mapping[NodePath, Span] = field(default_factory=dict)
    blocks: frozenset[NodePath] = frozenset()
    """Mappings and lists written on lines of their own: what is wrong with one is shown at its key,
    which stands above, and not at its first entry."""

    def problem(
        self,
        path: NodePath,
        rule: str,
        message: str,
        suggestion: str = "",
        *,
        at_key: bool = False,
        place: Place | None = None,
    ) -> Problem:
        """A problem at a node (or at its key), or at the nearest parent that has a place."""
        place = place or self.place(path, at_key=at_key)
        return _problem_at(self.name, self.text, place, rule, message, suggestion)

    def place(self, path: NodePath, *, at_key: bool = False) -> Place:
        """Where a node stands; falls back to its parents, and last to the top of the file."""
        while path and path not in self.values:
            at_key, path = False, path[:-1]
        span = self.values.get(path)
        if path in self.keys and (
            at_key or path in self.blocks or (span and span.start == span.end)
        ):
            return self.place_of(self.keys[path])
        if path not in self.values:
            return Place(0, 0, 1)
        if path in self.blocks:  # the file itself, or an entry of a list: its first word
            start = self.values[path].start
            first = re.compile(r"[^\s:]+").match(self.text, start)
            return _place(self.text, start, len(first.group()) if first else 1)
        return self.place_of(self.values[path])

    def place_of(self, span: Span) -> Place:
        """Line, column and length; the length ends with the first line."""
        written = _LINE_BREAK.split(self.text[span.start : span.end], maxsplit=1)[0].rstrip()
        return _place(self.text, span.start, len(written))

    def where(self, path: NodePath) -> str:
        """`file:line:col` of a node."""
        place = self.place(path)
        return f"{self.name}:{place.line + 1}:{place.column + 1}"

    def inside(self, path: NodePath, offset: int, length: int) -> Place:
        """Where a piece of a scalar stands, given its offset in the value.

        Escapes, doubled quotes, folding and indentation make the source differ from the value; what
        is not blank stands in both in the same order.
        """
        value: Any = self.data
        for part in path:
            value = value[part]
        span = self.values[path]
        count = sum(not character.isspace() for character in value[:offset])
        at = _written_at(self.text, span, count)
        return _place(self.text, at, length)

    def source(self, path: NodePath) -> str:
        """A value as it is written: with quotes, on its own lines, with its indentation."""
        span = self.values.get(path)
        return self.text[span.start : span.end] if span else ""


def load_file(path: Path) -> Document:
    """Read and parse a file.

    Raises `UserError` if it cannot be read and `InvalidFile` if it is not YAML.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path}: cannot be read: {reason}") from None
    if len(raw) > MAX_BYTES:
        raise UserError(
            f"{path}: too large: a file like this may have {human_bytes(MAX_BYTES)}",
            hint="keep data out of it, and name the file that holds them as an input",
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidFile([_not_utf8(raw, error.start, str(path))]) from None
    return load(text, str(path))


def load(text: str, name: str) -> Document:
    """Parse text.  Raises `InvalidFile` with the place if it is not YAML 1.2."""
    parser = YAML(typ="safe", pure=True)
    parser.composer.warn_double_anchors = False  # YAML allows it: the later one counts
    try:
        tree = parser.compose(text)
    except YAMLError as error:
        raise InvalidFile([_syntax_problem(error, text, name)]) from None
    except RecursionError:
        raise InvalidFile([_too_deep(name, text, Place(0, 0, 1))]) from None
    except (ValueError, IndexError, AttributeError, AssertionError, TypeError) as error:
        # ruamel trips over some malformed headers (`%YAML x`) with errors of its own code.
        message = f"this is not YAML: {error}"
        fault = _problem_at(name, text, Place(0, 0, 1), "yaml-syntax", message, "")
        raise InvalidFile([fault]) from None
    builder = _Builder(name, text)
    data = builder.build(tree) if tree is not None else None
    if builder.problems:
        raise InvalidFile(builder.problems)
    return Document(name, text, data, builder.keys, builder.values, frozenset(builder.blocks))


class _Builder:
    """From ruamel's nodes to plain data and places."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text
        self.keys: dict[NodePath, Span] = {}
        self.values: dict[NodePath, Span] = {}
        self.blocks: set[NodePath] = set()
        self.problems: list[Problem] = []
        self._left = MAX_NODES
        self._above: list[Node] = []
        self._duplicates: set[int] = set()

    def build(self, tree: Node) -> Any:
        return self._value(tree, ())

    def _value(self, node: Node, path: NodePath) -> Any:
        span = self._span(node)
        self.values[path] = span
        self._left -= 1
        if self._left < 0:
            message = f"too large: with all aliases there are more than {MAX_NODES} values"
            top = self.keys.get(path[:1], span)
            raise InvalidFile([self._problem(top, "too-large", message)])
        if isinstance(node, ScalarNode):
            return self._scalar(node, span)
        if any(node is other for other in self._above):
            self._report(span, "alias-of-itself", "this contains itself, through an alias")
            return None
        if len(self._above) >= MAX_DEPTH:
            raise InvalidFile([_too_deep(self.name, self.text, self._place(span))])
        if isinstance(node, MappingNode | SequenceNode) and not node.flow_style:
            self.blocks.add(path)
        self._above.append(node)
        try:
            if isinstance(node, MappingNode):
                self._known_tag(node, "map", span)
                return self._mapping(node, path)
            assert isinstance(node, SequenceNode), node
            self._known_tag(node, "seq", span)
            return [self._value(item, (*path, index)) for index, item in enumerate(node.value)]
        finally:
            self._above.pop()

    def _mapping(self, node: MappingNode, path: NodePath) -> Any:
        plain: dict[str, Any] = {}
        merged: dict[str, tuple[Node, Node]] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                # `{{ x }}`: no mapping that anybody means.  Whoever checks the value can tell.
                return self.text[node.start_mark.index : node.end_mark.index]
            if key.tag == _TAG + "merge":
                merged = {**self._merged(value), **merged}
                continue
            name = str(key.value)
            span = self._span(key)
            if name in plain:
                if id(key) not in self._duplicates:  # an alias comes here more than once
                    first = self._place(self.keys[(*path, name)]).line + 1
                    message = f'the key "{name}" stands here already, in line {first}'
                    self._report(span, "duplicate-key", message)
                    self._duplicates.add(id(key))
                continue
            self.keys[(*path, name)] = span
            plain[name] = self._value(value, (*path, name))
        for name, (key, value) in merged.items():
            if name not in plain:
                self.keys[(*path, name)] = self._span(key)
                plain[name] = self._value(value, (*path, name))
        return plain

    def _merged(self, value: Node) -> dict[str, tuple[Node, Node]]:
        """The entries behind `<<`: of one mapping, or of several, of which the first wins."""
        sources = value.value if isinstance(value, SequenceNode) else [value]
        entries: dict[str, tuple[Node, Node]] = {}
        for source in sources:
            if not isinstance(source, MappingNode) or any(source is n for n in self._above):
                self._report(self._span(value), "bad-merge", '"<<" takes the alias of a mapping')
                break
            self._above.append(source)
            for key, item in source.value:
                if isinstance(key, ScalarNode) and key.tag == _TAG + "merge":
                    entries = {**self._merged(item), **entries}
                elif isinstance(key, ScalarNode):
                    entries.setdefault(str(key.value), (key, item))
            self._above.pop()
        return entries

    def _scalar(self, node: ScalarNode, span: Span) -> Any:
        text = str(node.value)
        kind = str(node.tag).removeprefix(_TAG)
        try:
            match kind:
                case "str" | "timestamp" | "value" | "merge":
                    return text
                case "null":
                    return None
                case "bool" if text.lower() in ("true", "false"):
                    return text.lower() == "true"
                case "int":
                    return _integer(text.replace("_", ""))
                case "float":
                    return float(re.sub(r"\.(?=inf|nan)|_", "", text.lower()))
        except ValueError:
            self._report(span, "bad-number", f"{_short(text)} is no number that can be used")
            return None
        self._known_tag(node, "str", span)
        return text

    def _known_tag(self, node: Node, expected: str, span: Span) -> None:
        tag = str(node.tag)
        if tag != _TAG + expected:
            short = tag.replace(_TAG, "!!")
            suggestion = "put the text in quotes" if isinstance(node, ScalarNode) else ""
            message = f"YAML takes {short} for a tag, and there are none here"
            self._report(span, "unknown-tag", message, suggestion)

    def _span(self, node: Node) -> Span:
        """Its text, without an anchor or a tag in front."""
        start, end = node.start_mark.index, node.end_mark.index
        found = re.compile(r"(?:&[^\s,\[\]{}]+\s+)+").match(self.text, start, end)
        return Span(found.end() if found else start, end)

    def _place(self, span: Span) -> Place:
        return Document(self.name, self.text, None).place_of(span)

    def _problem(self, span: Span, rule: str, message: str, suggestion: str = "") -> Problem:
        return _problem_at(self.name, self.text, self._place(span), rule, message, suggestion)

    def _report(self, span: Span, rule: str, message: str, suggestion: str = "") -> None:
        self.problems.append(self._problem(span, rule, message, suggestion))


def _integer(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-").lower()
    for prefix, base in (("0x", 16), ("0o", 8), ("0b", 2)):
        if digits.startswith(prefix):
            return sign * int(digits, base)
    return sign * int(digits)


# -- places --------------------------------------------------------------------------------------


_ESCAPE = re.compile(r"\\(?:x..|u.{4}|U.{8}|.|$)", re.DOTALL | re.MULTILINE)
_BLANK_ESCAPES = frozenset("nrtvf _NLP\n\r\t")


def _written_at(text: str, span: Span, count: int) -> int:
    """The offset of the character of a scalar that has `count` others before it, blanks aside."""
    at, end = span.start, span.end
    style = text[at : at + 1]
    if style in ("|", ">"):
        header = _LINE_BREAK.search(text, at, end)
        at = header.end() if header else end
    elif style in ("'", '"'):
        at += 1
    while at < end:
        width, blank = 1, text[at].isspace()
        if style == '"' and text[at] == "\\":
            escape = _ESCAPE.match(text, at, end)
            width = len(escape.group()) if escape else 1
            blank = text[at + 1 : at + 2] in _BLANK_ESCAPES
        elif style == "'" and text.startswith("''", at):
            width = 2
        if not blank:
            if count == 0:
                return at
            count -= 1
        at += width
    return span.start


@lru_cache(maxsize=8)
def _lines(text: str) -> tuple[str, ...]:
    return tuple(_LINE_BREAK.split(text))


@lru_cache(maxsize=8)
def _starts(text: str) -> tuple[int, ...]:
    return (0, *(found.end() for found in _LINE_BREAK.finditer(text)))


def _place(text: str, offset: int, length: int) -> Place:
    starts = _starts(text)
    line = bisect_right(starts, offset) - 1
    return Place(line, offset - starts[line], max(1, length))


def _problem_at(
    name: str, text: str, place: Place, rule: str, message: str, suggestion: str
) -> Problem:
    lines = _lines(text)
    return Problem(
        file=name,
        line=place.line + 1,
        column=place.column + 1,
        length=place.length,
        rule=rule,
        message=message,
        suggestion=suggestion,
        source_line=lines[place.line] if place.line < len(lines) else "",
    )


def _short(text: str) -> str:
    return repr(text) if len(text) <= 40 else repr(text[:37] + "...")


# -- what is no YAML -----------------------------------------------------------------------------


def _too_deep(name: str, text: str, place: Place) -> Problem:
    message = f"nested more than {MAX_DEPTH} levels deep"
    return _problem_at(name, text, place, "too-large", message, "")


def _not_utf8(raw: bytes, offset: int, name: str) -> Problem:
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Problem(name, 1, 1, 1, "not-utf8", "this is UTF-16 text", "save the file as UTF-8")
    before = raw[:offset].decode("utf-8-sig")
    rest = re.split(rb"[\r\n]", raw[offset:], maxsplit=1)[0].decode("utf-8", "replace")
    place = _place(before + rest, len(before), 1)
    message = f"the byte 0x{raw[offset]:02x} is not UTF-8 text"
    return _problem_at(name, before + rest, place, "not-utf8", message, "save the file as UTF-8")


def _syntax_problem(error: YAMLError, text: str, name: str) -> Problem:
    """What the parser noticed, in words for people, where it can be mended."""
    if isinstance(error, ReaderError):
        message = f"the character U+{error.character:04X} cannot stand in a text file"
        return _problem_at(
            name, text, _place(text, error.position, 1), "yaml-syntax", message, "remove it"
        )
    if not isinstance(error, MarkedYAMLError) or error.problem_mark is None:
        return _problem_at(
            name, text, Place(0, 0, 1), "yaml-syntax", f"this is not YAML: {error}", ""
        )
    at = error.problem_mark.index
    opened = error.context_mark.index if error.context_mark else at
    lines = _lines(text)
    line = lines[error.problem_mark.line] if error.problem_mark.line < len(lines) else ""
    for offset, message, suggestion in _readings(error, text, line, at, opened):
        place = _place(text, offset, 1)
        if place.column >= len(lines[place.line]):  # noticed at the end of a line, or of the file
            while place.line > 0 and not lines[place.line].strip():
                place = Place(place.line - 1, len(lines[place.line - 1]), 1)
        return _problem_at(name, text, place, "yaml-syntax", message, suggestion)
    raise AssertionError("the last reading fits every error")


OPENING = {"[": "]", "{": "}"}
"""What opens a list or a mapping in a line, and what closes it."""


def _last_opening(text: str, at: int) -> int:
    """Where the last bracket before a place stands: the file ended after it."""
    return max(text.rfind(sign, 0, at) for sign in OPENING)


def _readings(
    error: MarkedYAMLError, text: str, line: str, at: int, opened: int
) -> Iterator[tuple[int, str, str]]:
    """`(offset, message, suggestion)`: what was probably meant, the likeliest first."""
    problem, context = str(error.problem or ""), str(error.context or "")
    here = text[at : at + 1]
    began = text[:at].rfind("\n") + 1
    before = text[began:at]
    in_flow = "flow" in context
    if in_flow and here == "{" and before.endswith(("${", "$")):
        dollar = text.rfind("$", 0, at)
        yield dollar, "inside { } and [ ] an expression needs quotes", 'write "${{ ... }}"'
    if "flow node" in context and here:
        yield at, f"this {here} stands where a value is expected", ""
    if in_flow:
        opening = opened if text[opened : opened + 1] in OPENING else _last_opening(text, at)
        sign = text[opening]
        said = f"this {sign} is never closed with {OPENING[sign]}, or a comma is missing"
        yield opening, said, ""
    braces = re.search(r"(?<!\$)\{\{", before)
    if braces and "found '<scalar>'" in problem:
        yield (
            began + braces.start(),
            "YAML takes {{ for a mapping",
            "did you mean ${{ ... }}?",
        )
    if here == "\t" or (problem.startswith("found character '\\t'")):
        yield at, "YAML does not indent with tabs", "use spaces"
    if "mapping values are not allowed" in problem:
        if ": " in before:
            yield at, 'text with ": " in it needs quotes', ""
        first = len(line) - len(line.lstrip())
        yield (
            began + first,
            "a key cannot stand here: the line before is text already",
            ('is a ":" missing there, or is this line indented too far?'),
        )
    if "could not find expected ':'" in problem:
        yield opened, 'there is no ":" after this key', ""
    if "end of stream" in problem and "quoted" in context:
        yield opened, f"the quote {text[opened]} is never closed", ""
    if "expected escape sequence" in problem:
        yield (
            text.rfind("\\", 0, at),
            "a backslash between double quotes begins an escape, and this is none",
            "use single quotes",
        )
    if "unknown escape character" in problem:
        yield (
            at - 1,
            f"there is no \\{here} between double quotes",
            ("use single quotes, or write \\\\ for a backslash"),
        )
    if "undefined alias" in problem:
        yield at, "YAML takes * for an alias, and there is no such anchor", "put the text in quotes"
    if "cannot start any token" in problem:
        yield at, f"a text cannot begin with {here}", "put it in quotes"
    if "another document" in problem:
        yield at, "a second document begins here: one file holds one", "make two files of it"
    if "chomping" in problem:
        yield at, "after | and > the text begins on the next line", ""
    if "found '<scalar>'" in problem and re.search(r"[\"']\s*$", before):
        yield (
            at,
            "there is text after the closing quote",
            ("put all of it in quotes; inside single quotes, '' is one"),
        )
    if "found '<scalar>'" in problem:
        yield at, "this text belongs to nothing", 'is it indented too little, or is a ":" missing?'
    if re.search("found '(<block (mapping|sequence) start>|-|\\?)'", problem):
        yield (
            at,
            "this line does not line up with those above",
            ("entries of one list or mapping begin in the same column"),
        )
    if "node content" in problem:
        yield at, f"a value cannot begin with {here}", "put it in quotes"
    yield at, "this is not YAML: " + problem.split("\n")[0], ""
