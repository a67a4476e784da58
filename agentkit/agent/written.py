"""What a model has written as the content of a file, before it is put there.

A small model repeats itself, calls a tool where it should write, and closes no bracket: what can be
saved is saved, what is wrong is said to it.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

FEW, OFTEN = 20, 3
"""More lines than this are not written three times each by anybody who knows what he writes."""

CALL = re.compile(r'\s*\{\s*"name":\s*"(\w+)",\s*"arguments"')
"""How a call of a tool begins."""


def repeats(text: str) -> bool:
    """Whether it begins again and again."""
    lines = text.splitlines()
    return len(lines) > FEW and len(lines) > OFTEN * len(set(lines))


def once(text: str) -> str:
    """What was written before it began again: that much of a file is worth having."""
    lines = text.splitlines()
    again = (at for at, line in enumerate(lines) if line.strip() and line in lines[:at])
    return "\n".join(lines[: next(again, len(lines))]).rstrip() + "\n"


def fault(text: str, path: str, tools: Iterable[str]) -> str:
    """Why it is no content of a file with this name; empty: it is."""
    call = CALL.match(text)
    if call and call[1] in tools:
        return "write the content itself, and no call of a tool"
    wrong = next((no(text) for end, no in FORMATS.items() if path.endswith(end)), "")
    return f"{path} would be wrong: {wrong}" if wrong else ""


def _no_json(text: str) -> str:
    """What is wrong with it; nothing, where it is JSON, or a dialect that has comments."""
    try:
        json.loads(text)
    except ValueError as error:
        several = (
            " (several objects are a list: [{...}, {...}])" if "Extra data" in str(error) else ""
        )
        return "" if "//" in text or "/*" in text else f"it is no JSON: {error}{several}"
    return ""


def _no_table(text: str) -> str:
    """Which row has another number of fields than the header has; nothing, if all have the same."""
    rows: Sequence[list[str]] = [row for row in csv.reader(text.splitlines()) if row] or [[]]
    columns = len(rows[0])
    other = next((row for row in rows if len(row) != columns), None)
    if other is None or columns == 1:
        return ""
    return (
        f"the header has {columns} columns, and {','.join(other)} has {len(other)}: put a text "
        'with a comma in it in "double quotes"'
    )


FORMATS: Mapping[str, Callable[[str], str]] = {".json": _no_json, ".csv": _no_table}
"""What is wrong with a text, by the end of the name of its file."""
