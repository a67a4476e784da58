"""YAML 1.2 files that remember where everything stood.

`load` turns text into plain Python data and an index from path (`("steps", 0, "uses")`) to place,
so that whatever is wrong with a value later can be shown as `file:line:col` with the line and a
caret.  Everything that is wrong in a file is reported at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from agentkit.errors import InvalidFile, Problem, UserError

NodePath = tuple[str | int, ...]

MAX_BYTES = 1_000_000
MAX_NODES = 100_000
"""Limits on a file: aliases of aliases can make a small file expand without end."""


@dataclass(frozen=True, slots=True)
class Place:
    """Line and column from 0, as ruamel counts; `length` characters long."""

    line: int
    column: int
    length: int

    def tail(self, length: int) -> Place:
        """The last `length` characters of it."""
        return Place(self.line, self.column + self.length - length, length)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: its `data` in plain types, and where each key and value stood."""

    name: str
    text: str
    data: Any
    keys: dict[NodePath, Place] = field(default_factory=dict)
    values: dict[NodePath, Place] = field(default_factory=dict)

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
        lines = self.text.splitlines()
        return Problem(
            file=self.name,
            line=place.line + 1,
            column=place.column + 1,
            length=place.length,
            rule=rule,
            message=message,
            suggestion=suggestion,
            source_line=lines[place.line] if place.line < len(lines) else "",
        )

    def place(self, path: NodePath, *, at_key: bool = False) -> Place:
        """Where a node stands; falls back to its parents, and last to the top of the file."""
        if at_key and path in self.keys:
            return self.keys[path]
        while path:
            if path in self.values:
                return self.values[path]
            path = path[:-1]
        return Place(0, 0, 1)

    def where(self, path: NodePath) -> str:
        """`file:line:col` of a node."""
        place = self.place(path)
        return f"{self.name}:{place.line + 1}:{place.column + 1}"

    def find(self, path: NodePath, needle: str, nth: int = 0) -> Place:
        """Where the `nth` occurrence of `needle` stands in the source of a scalar.

        The source is searched, not the value: folding, quoting and indentation do not matter.
        """
        start = self.place(path)
        found: Place | None = start
        for _ in range(nth + 1):
            found = self.after(found, needle) if found else None
            if found is None:
                return start
            last, found = found, Place(found.line, found.column + len(needle), 1)
        return last

    def after(self, start: Place, needle: str) -> Place | None:
        """Where `needle` stands next, from `start` on."""
        offset = self.text.find(needle, self._offset(start))
        if offset < 0:
            return None
        line = self.text.count("\n", 0, offset)
        return Place(line, offset - (self.text.rfind("\n", 0, offset) + 1), len(needle))

    def source(self, path: NodePath) -> str:
        """A value as it is written, up to the end of its line."""
        return self.text[self._offset(self.place(path)) :].split("\n", 1)[0].rstrip()

    def starts_with(self, path: NodePath, prefix: str) -> bool:
        """Whether the source of a value begins with `prefix`."""
        return path in self.values and self.text.startswith(prefix, self._offset(self.values[path]))

    def _offset(self, place: Place) -> int:
        offset = 0
        for _ in range(place.line):
            offset = self.text.index("\n", offset) + 1
        return offset + place.column


def load_file(path: Path) -> Document:
    """Read and parse a file.

    Raises `UserError` if it cannot be read and `InvalidFile` if it is not YAML.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise UserError(f"{path}: {len(raw)} bytes are too many for a YAML file of ours")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: not UTF-8 text") from None
    return load(text, str(path))


def load(text: str, name: str) -> Document:
    """Parse text.  Raises `InvalidFile` with the place if it is not YAML 1.2."""
    parser = YAML(typ="rt")
    try:
        tree = parser.load(text)
    except DuplicateKeyError as error:
        raise InvalidFile([_yaml_problem(error, text, name, "duplicate-key")]) from None
    except YAMLError as error:
        raise InvalidFile([_yaml_problem(error, text, name, "yaml-syntax")]) from None
    except (ValueError, RecursionError) as error:
        fault = Problem(name, 1, 1, 1, "yaml-syntax", f"cannot be parsed: {error}")
        raise InvalidFile([fault]) from None
    document = Document(name, text, None)
    budget = iter(range(MAX_NODES))
    data = _plain(tree, (), document, text.splitlines(), budget)
    return Document(name, text, data, document.keys, document.values)


def _plain(
    node: Any, path: NodePath, document: Document, lines: list[str], budget: Iterator[int]
) -> Any:
    if next(budget, None) is None:
        fault = document.problem(path, "too-large", f"expands to more than {MAX_NODES} values")
        raise InvalidFile([fault])
    if isinstance(node, CommentedMap):
        if not all(isinstance(key, str | int | float | None) for key in node):
            return document.source(path)  # `{{ x }}`: no mapping that anybody means
        plain: dict[str, Any] = {}
        for key in node:
            name = str(key)
            child = (*path, name)
            marks = (node.lc.data or {}).get(key)  # absent for keys merged in with `<<`
            if marks is not None:
                document.keys[child] = _spot(lines, marks[0], marks[1], is_key=True)
                document.values[child] = _spot(lines, marks[2], marks[3])
            plain[name] = _plain(node[key], child, document, lines, budget)
        return plain
    if isinstance(node, CommentedSeq):
        items = []
        for index, item in enumerate(node):
            line, column = node.lc.item(index)
            document.values[(*path, index)] = _spot(lines, line, column)
            items.append(_plain(item, (*path, index), document, lines, budget))
        return items
    for kind in (bool, int, float, str):  # ruamel's scalars remember their style; we do not
        if isinstance(node, kind):
            return kind(node)
    return node


_KEY = re.compile(r"""("[^"]*"|'[^']*'|[^:]+?)(?=\s*:)""")
_VALUE = re.compile(r"""("(?:[^"\\]|\\.)*"|'[^']*'|[^#,\]}]+)""")


def _spot(lines: list[str], line: int, column: int, *, is_key: bool = False) -> Place:
    source = lines[line] if line < len(lines) else ""
    found = (_KEY if is_key else _VALUE).match(source, column)
    return Place(line, column, len(found.group().rstrip()) if found else 1)


def _yaml_problem(error: YAMLError, text: str, name: str, rule: str) -> Problem:
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    message = error.problem if isinstance(error, MarkedYAMLError) else str(error)
    message = (message or "is not YAML").split("\n")[0]
    if rule == "duplicate-key":
        message = re.sub(r'found duplicate key "(.*?)".*', r'the key "\1" stands here twice', message)
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.splitlines()
    if line >= len(lines) and lines:  # the parser noticed only at the end of the file
        line, column = len(lines) - 1, len(lines[-1])
    source = lines[line] if line < len(lines) else ""
    return Problem(name, line + 1, column + 1, 1, rule, message, source_line=source)
