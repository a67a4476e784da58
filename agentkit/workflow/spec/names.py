"""What may be called what."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from agentkit.workflow.node import problem

NAME = re.compile(r"[a-z][a-z0-9_]*")
"""Names of inputs, steps and outputs: usable in an expression without quotes."""

FILE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
"""Names of workflows: usable as the name of a file."""

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""Names of secrets and of variables of the environment."""

RESERVED = ("inputs", "steps", "run", "secrets", "error")
"""What expressions can read: no name for the variable of a loop."""


def _name(value: str) -> str:
    if not NAME.fullmatch(value):
        fixed = re.sub(r"\W+", "_", value.lower(), flags=re.ASCII).strip("_")
        sensible = value.isascii() and NAME.fullmatch(fixed)
        suggestion = f'did you mean "{fixed}"?' if sensible else ""
        raise problem(
            "bad-name",
            f'"{value}" is no name: lower-case letters, digits and "_" are, a letter first',
            suggestion,
        )
    return value


def _file_name(value: str) -> str:
    if not FILE_NAME.fullmatch(value):
        fixed = re.sub(r"[^a-z0-9_]+", "-", value.lower()).strip("-")
        raise problem(
            "bad-name",
            f'"{value}" is no name: lower-case letters, digits, "-" and "_" are',
            f'did you mean "{fixed}"?' if FILE_NAME.fullmatch(fixed) else "",
        )
    return value


def _variable(value: str) -> str:
    if not VARIABLE.fullmatch(value):
        message = f'"{value}" is no name of a variable: letters, digits and "_" are'
        raise problem("bad-name", message)
    return value


Name = Annotated[
    str,
    AfterValidator(_name),
    WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$"}),
]
FileName = Annotated[
    str,
    AfterValidator(_file_name),
    WithJsonSchema({"type": "string", "pattern": f"^{FILE_NAME.pattern}$"}),
]
Variable = Annotated[
    str,
    AfterValidator(_variable),
    WithJsonSchema({"type": "string", "pattern": f"^{VARIABLE.pattern}$"}),
]
