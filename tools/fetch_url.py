"""Read a web page or a PDF: its text, without what stands around it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from agentkit import ToolContext, tool
from agentkit.errors import ToolError
from agentkit.permissions import Url
from agentkit.ports import HttpRequest, HttpResponse
from agentkit.toolbox.documents import How, read_document
from agentkit.toolbox.received import ACCEPT, Kind, check_status, decoded, kind_of, plain_text

MAX_BYTES = 20_000_000
READ_SECONDS = 20.0
"""For one way of reading a page."""

WITHOUT_TEXT: dict[Kind, str] = {
    "html": "it may be a page that only a browser can show",
    "pdf": "its pages may be pictures",
    "text": "it is empty",
}


@tool(effects=("network",))
def fetch_url(url: Url, links: bool = False, *, context: ToolContext) -> dict[str, Any]:
    """Read a web page or PDF and return its text.

    Args:
        url: The full address, beginning with https://.
        links: Whether to keep the addresses of links in the text.
    """
    request = HttpRequest(url, headers={"Accept": ACCEPT}, max_bytes=MAX_BYTES)
    response = context.http.fetch(request, context.cancel)
    check_status(response)
    kind = kind_of(response)
    if kind == "text":
        document = {"title": "", "text": plain_text(response)}
    elif kind == "pdf":
        document = _document(response.url, "pdf", response.body, context)
    else:
        document = _page(response, links, context)
    if not document["text"].strip():
        raise ToolError(f"{response.url} has no text: {WITHOUT_TEXT[kind]}")
    return {"url": response.url, **document}


def _page(response: HttpResponse, links: bool, context: ToolContext) -> dict[str, str]:
    """The article of a page; all its words if that cannot be found in time."""
    url, page = response.url, decoded(response).encode("utf-8", "replace")
    with suppress(TimeoutError):
        return read_document(
            url,
            "article",
            page,
            context.cancel,
            seconds=READ_SECONDS,
            links_from=url if links else "",
        )
    context.warn(f"{url} is too long to find its article: these are all its words")
    return _document(url, "words", page, context)


def _document(url: str, how: How, data: bytes, context: ToolContext) -> dict[str, str]:
    try:
        return read_document(url, how, data, context.cancel, seconds=READ_SECONDS)
    except TimeoutError:
        raise ToolError(f"{url} cannot be read in {READ_SECONDS:g} s") from None
