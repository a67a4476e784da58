"""Talk to an API: send a request, get the status, the headers and the body, whatever they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from email.message import Message
from typing import Any, Literal

from agentkit import ToolContext, tool
from agentkit.errors import human_bytes
from agentkit.permissions import Url
from agentkit.ports import HttpRequest, HttpResponse

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]

JSON = "application/json"


@tool(effects=("network",))
def http_request(
    url: Url,
    method: Method = "GET",
    headers: dict[str, str] = {},  # noqa: B006 - it is never changed
    body: dict[str, Any] | list[Any] | str | None = None,
    *,
    context: ToolContext,
) -> dict[str, Any]:
    """Send a request to a web API and return its answer.

    Args:
        url: The full address with its query.
        method: What to do there.
        headers: More headers, by name.
        body: JSON, or text that is sent as it is.
    """
    sent = {"Accept": f"{JSON}, */*;q=0.5", **_type_of(body), **headers}
    request = HttpRequest(url, method, _by_name(sent), _bytes(body))
    response = context.http.fetch(request, context.cancel)
    return {
        "url": response.url,
        "status": response.status,
        "headers": dict(response.headers),
        "body": _body(response),
    }


def _type_of(body: Any) -> dict[str, str]:
    if body is None:
        return {}
    text = isinstance(body, str) and not _is_json(body)
    return {"Content-Type": "text/plain; charset=utf-8" if text else JSON}


def _is_json(text: str) -> bool:
    """Whether a text is an object or a list: models write them so, too."""
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def _by_name(headers: Mapping[str, str]) -> dict[str, str]:
    """A name is the same in any case; the last one counts."""
    return {name.lower(): value for name, value in headers.items()}


def _bytes(body: Any) -> bytes:
    if body is None:
        return b""
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return text.encode("utf-8", "replace")


def _body(response: HttpResponse) -> Any:
    """JSON as data, text as text; of anything else, what it is."""
    said = Message()
    said["content-type"] = response.headers.get("content-type", "")
    kind = said.get_content_type() if "content-type" in response.headers else ""
    if not response.body:
        return None
    text = _decoded(response.body, said.get_content_charset() or "utf-8")
    if text is None:
        return f"({kind or 'binary data'} of {human_bytes(len(response.body))}, which is no text)"
    if kind == JSON or kind.endswith("+json"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):  # it says so, and is not
            return text
    return text


def _decoded(body: bytes, said: str) -> str | None:
    """The text, or None for what is none."""
    for charset in (said, "utf-8"):
        with suppress(UnicodeDecodeError, LookupError):
            text = body.decode(charset)
            return None if "\0" in text else text
    return None
