"""Values as plain data: what JSON can hold, in Unicode that can be written anywhere.

What a tool gives back is kept, sent and shown in this form and no other.  What it is called with is
data, too, but exact: the name of a file need not be Unicode.  Both are copies: nobody can change
them from afar.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import to_jsonable_python


def plain(value: Any) -> Any:
    """A value as data that can be written anywhere.  Raises `ValueError` for what is no data."""
    if type(value) is str:
        return readable(value)
    return json.loads(readable(_json(value, ensure_ascii=False)))


def exact(value: Any) -> Any:
    """A value as data, with the halves of characters that are in it.  Raises as `plain` does."""
    return json.loads(_json(value, ensure_ascii=True))


def _json(value: Any, *, ensure_ascii: bool) -> str:
    """Models and dates as pydantic writes them, no number (NaN) as null."""
    try:
        data = to_jsonable_python(value, inf_nan_mode="null")
        return json.dumps(data, ensure_ascii=ensure_ascii)
    except Exception as error:  # a serializer of somebody else's model may raise anything
        raise ValueError(described(error)) from None


def on_record(arguments: Mapping[Any, Any] | str) -> Any:
    """Arguments as data, those that are none by their kind: a record is written in any case."""
    if isinstance(arguments, str):
        return readable(arguments)
    return {readable(described(key)): _or_kind(value) for key, value in arguments.items()}


def _or_kind(value: Any) -> Any:
    try:
        return plain(value)
    except ValueError:
        return f"<{type(value).__name__}>"


def readable(text: str) -> str:
    """A text without halves of surrogate pairs, which no file and no database would take."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def described(thing: object) -> str:
    """What it says of itself; somebody else's object may not even do that."""
    try:
        return str(thing)
    except Exception:
        return f"<{type(thing).__name__}>"
