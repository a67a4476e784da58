"""A Jinja sandbox for templates that come from elsewhere: it cannot reach out, nor fill the memory.

Used for the chat template of a model file and for `render_template`.  The expressions of workflows
have a narrower one of their own (`workflow/environment`).
"""

from __future__ import annotations

from typing import Any

from jinja2 import Undefined
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_LENGTH = 5_000_000
"""Characters or entries that one multiplication may make."""

PADDING = frozenset(["center", "ljust", "rjust", "zfill", "expandtabs", "format", "format_map"])
"""Methods of text that make a string of any length out of a number."""


class BoundedSandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, less what makes much out of little."""

    intercepted_binops = frozenset(["*", "**", "%"])

    def __init__(self, undefined: type[Undefined] = Undefined, **options: Any) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, undefined=undefined, **options)
        for name in ("center", "format", "urlize", "xmlattr", "pprint"):
            del self.filters[name]

    def wrap_str_format(self, value: Any) -> None:
        """No `str.format`, not even a wrapped one: it pads to any length."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Whether a template may read an attribute."""
        if isinstance(obj, str) and attr in PADDING:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """`*`, `**` and `%`, as far as the result stays small."""
        if operator == "%" and isinstance(left, str):
            raise SecurityError("% on text is not allowed here")
        if operator == "**" and (abs(left) > 1_000_000 or abs(right) > 100):
            raise SecurityError("the power is too large")
        if operator == "*":
            for many, times in ((left, right), (right, left)):
                if isinstance(many, str | list | tuple) and len(many) * times > MAX_LENGTH:
                    raise SecurityError(f"the result has more than {MAX_LENGTH} entries")
        return super().call_binop(context, operator, left, right)
