"""Where in a bash script a value would stand: as a word of its own, or where quotes mean nothing.

`shell_quote` makes one word of a text by putting it into single quotes.  Within quotes of the
script, in a heredoc or a comment those are letters like others, and the shell reads what is between
them.  The script is read up to a place as bash would read it; where that would take all of bash
(backticks, `case` within `"$(...)"`), nothing after it can be told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

Span = tuple[int, int]

PLAIN = ""
"""Where a quoted value is one word."""
SINGLE = "within single quotes"
DOUBLE = "within double quotes"
ESCAPES = "within $'...'"
COMMENT = "in a comment"
HEREDOC = "in a heredoc"
BACKSLASH = "after a backslash"
UNKNOWN = "where quotes are too involved to tell"

_SPECIAL = re.compile(r"\$[$#!?@*0-9-]")
_EXPANSION = re.compile(r"\$\{(?=[\w!#@*])(?:[^'\"\\`{}\n$]|\$\w|\$\{[\w!#@*][^'\"\\`{}\n$]*\})*\}")
_ARITHMETIC = re.compile(r"\$?\(\((?:[^'\"\\`()\n<]|<(?!<)|\([^'\"\\`()\n<]*\))*\)\)")
_BEGIN = re.compile(r"<<(-?)[ \t]*(['\"]?)([A-Za-z_]\w*)\2(?=[ \t\n;&|()<>])")
_CASE = re.compile(r"case\b")
_BETWEEN_WORDS = " \t\n;&|()<>"


def places(text: str, values: Mapping[Span, bool]) -> dict[Span, str]:
    """Where each value of a script stands, as one of the constants of this module.

    A value is True if it is a word or one that is quoted, False if it could hold quotes itself.
    """
    reader, found, at = _Reader(), {}, 0
    for (start, end), is_word in sorted(values.items()):
        reader.read(text[at:start])
        found[start, end] = reader.place
        reader.value(is_word)
        at = end
    return found


@dataclass
class _Reader:
    """Reads a script piece by piece.

    `outer` has an entry for each `"$(` that is open: the brackets that are open around it.
    """

    state: str = PLAIN
    outer: list[int] = field(default_factory=list)
    brackets: int = 0
    heredocs: list[tuple[str, bool, bool]] = field(default_factory=list)
    """Those that have begun: what ends them, whether after tabs, whether values are put in."""
    line: str = ""
    """The line of a heredoc so far."""
    before: str = "\n"
    """The last character that was read; a letter after a value."""

    @property
    def place(self) -> str:
        """What a value stands in that comes next."""
        if self.state == PLAIN and self.before in "$[":
            return f"right after {self.before}"
        return self.state

    def value(self, is_word: bool) -> None:
        """A value stands here."""
        self.before, self.line = "x", "\0"
        if not is_word:
            self.state = UNKNOWN
        elif self.state == BACKSLASH:
            self.state = PLAIN

    def read(self, text: str) -> None:
        """Go on to the end of a piece."""
        at = 0
        while at < len(text) and self.state != UNKNOWN:
            if self.state == PLAIN:
                at = self._plain(text, at)
            elif self.state == DOUBLE:
                at = self._double(text, at)
            elif self.state == HEREDOC:
                at = self._heredoc(text, at)
            elif self.state == COMMENT:
                at = self._comment(text, at)
            else:
                at = self._until("'", text, at, escapes=self.state == ESCAPES)

    # -- one state each: reads what is at a place of the text, and says where to go on --

    def _plain(self, text: str, at: int) -> int:
        sign = text[at]
        if sign == "\\":
            return self._escaped(text, at)
        if sign == "\n" and self.heredocs:
            self.state, self.line = HEREDOC, ""
            return at + 1
        if sign == "#" and self.before in _BETWEEN_WORDS:
            if self.outer or self.before == ")":  # a bash of another age counts brackets in it;
                return self._lost(text)  # and after $(...) it is a part of a word
            self.state = COMMENT
            return at + 1
        if sign == "`" or (self.outer and _CASE.match(text, at)):
            return self._lost(text)
        if text.startswith("<<", at):
            return self._begin(text, at)
        if sign in "$(" and (end := self._dollar(text, at)):
            return end
        if sign == "'":
            self.state = ESCAPES if self.before == "$" else SINGLE
        elif sign == '"':
            self.state = DOUBLE
        elif sign in "()" and self.outer:
            self.brackets += 1 if sign == "(" else -1
            if self.brackets == 0:
                self.state, self.brackets = DOUBLE, self.outer.pop()
        self.before = sign
        return at + 1

    def _double(self, text: str, at: int) -> int:
        if text[at] == "`":
            return self._lost(text)
        if text[at] == "$" and (end := self._dollar(text, at)):
            return end
        if text.startswith("$(", at):
            self.outer.append(self.brackets)
            self.state, self.brackets, self.before = PLAIN, 1, "("
            return at + 2
        return self._until('"', text, at, escapes=True)

    def _dollar(self, text: str, at: int) -> int:
        """The end of what the shell puts in here or computes; 0 where nothing of that begins."""
        if text.startswith(("$((", "(("), at):
            found = _ARITHMETIC.match(text, at)
        elif text.startswith(("${", "$["), at):
            found = _EXPANSION.match(text, at)
        else:
            found = _SPECIAL.match(text, at)
            if found is None:
                return 0
        self.before = "x"
        return found.end() if found else self._lost(text)

    def _begin(self, text: str, at: int) -> int:
        """The beginning of a heredoc, or of a text that is given to a program."""
        if text.startswith("<<<", at):
            self.before = "<"
            return at + 3
        found = _BEGIN.match(text, at)
        if found is None or self.outer:
            return self._lost(text)
        self.heredocs.append((found[3], bool(found[1]), not found[2]))
        self.before = "x"
        return found.end()

    def _heredoc(self, text: str, at: int) -> int:
        end = text.find("\n", at)
        if end < 0:
            self.line += text[at:]
            return len(text)
        line, self.line = self.line + text[at:end], ""
        last, after_tabs, puts_in = self.heredocs[0]
        if puts_in and line.endswith("\\"):
            return self._lost(text)
        if (line.lstrip("\t") if after_tabs else line) == last:
            self.heredocs.pop(0)
            if not self.heredocs:
                self.state, self.before = PLAIN, "\n"
        return end + 1

    def _comment(self, text: str, at: int) -> int:
        end = text.find("\n", at)
        if end < 0:
            return len(text)
        self.state, self.before = PLAIN, " "
        return end

    def _until(self, quote: str, text: str, at: int, escapes: bool) -> int:
        if text[at] == "\n" and self.heredocs:
            return self._lost(text)
        if text[at] == "\\" and escapes:
            return at + 2
        if text[at] == quote:
            self.state, self.before = PLAIN, quote
        return at + 1

    def _escaped(self, text: str, at: int) -> int:
        if at + 1 == len(text):
            self.state = BACKSLASH
        elif text[at + 1] != "\n":  # a line that goes on in the next one is one line
            self.before = "\\"
        return at + 2

    def _lost(self, text: str) -> int:
        self.state = UNKNOWN
        return len(text)
