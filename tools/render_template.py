"""Fill a Jinja template with data: the last step from findings to a page."""

from __future__ import annotations

from typing import Annotated, Any

from jinja2 import StrictUndefined, TemplateError
from pydantic import Field

from agentkit import tool
from agentkit.errors import ToolError
from agentkit.schema import WRITTEN_OUT
from agentkit.templates import BoundedSandbox


def _clock(seconds: float) -> str:
    """`75.3` as `1:15`, `3675` as `1:01:15`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@tool
def render_template(
    template: Annotated[str, Field(json_schema_extra={WRITTEN_OUT: True})], data: dict[str, Any]
) -> dict[str, str]:
    """Fill a template and return the text.

    Args:
        template: Jinja: {{ name }}, {% for item in list %}. The filter `clock` writes seconds as
            minutes and seconds.
        data: What the names in the template stand for.
    """
    environment = BoundedSandbox(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters["clock"] = _clock
    try:
        return {"text": environment.from_string(template).render(data)}
    except TemplateError as error:
        raise ToolError(f"the template cannot be filled: {error}") from None
