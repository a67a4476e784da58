"""Whether a value fits a JSON Schema: jsonschema, imported when somebody asks.

A schema refers to itself only: nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from agentkit.errors import UserError

if TYPE_CHECKING:
    from jsonschema import ValidationError


def misfits(value: Any, schema: Mapping[str, Any]) -> Iterator[ValidationError]:
    """Where it does not.  Raises `UserError` for a reference within the schema to nothing."""
    from jsonschema import Draft202012Validator
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    try:
        yield from Draft202012Validator(schema, registry=Registry()).iter_errors(value)
    except Unresolvable as error:
        raise UserError(f"the schema refers to {error.ref}: that is not there") from None


def first_misfit(value: Any, schema: Mapping[str, Any]) -> ValidationError | None:
    """The first, if there is one.  Raises what `misfits` raises."""
    return next(misfits(value, schema), None)


def mistakes(schema: Any) -> Iterator[ValidationError]:
    """What is wrong with a schema itself."""
    from jsonschema import Draft202012Validator

    yield from Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema)
