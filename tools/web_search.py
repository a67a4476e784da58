"""Search the web: with a SearXNG instance of one's own, or with ddgs, which asks public engines.

Off until settings say which:

    tools:
      options:
        web_search: {engine: searxng, url: "http://127.0.0.1:8888"}

SearXNG is asked through the context, as any address; what settings name here is granted.  ddgs
talks to the engines by itself (DuckDuckGo, Brave, Wikipedia and others), so who turns it on grants
those.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agentkit import ToolContext, tool
from agentkit.errors import ToolError, ToolRetry
from agentkit.ports import HttpRequest

DDGS_SECONDS = 10
"""For one round of engines."""
TICK = 0.05
LONGEST_SNIPPET = 500

SETTING = "tools.options.web_search in settings"


class Options(BaseModel):
    """`tools.options.web_search`."""

    model_config = ConfigDict(extra="forbid")

    engine: Literal["searxng", "ddgs", "off"] = "off"
    url: str = ""
    """Of the SearXNG instance; its settings must let it answer in JSON."""

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Options:
        if self.engine == "searxng" and not self.url:
            raise ValueError("needs the url of your SearXNG instance")
        return self


@tool(effects=("network",))
def web_search(
    query: str, limit: Annotated[int, Field(ge=1, le=20)] = 5, *, context: ToolContext
) -> dict[str, Any]:
    """Search the web; fetch_url reads what is found.

    Args:
        query: A few words, as for a search engine.
        limit: How many results.
    """
    options = context.options(Options)
    if not query.strip():
        raise ToolRetry("the query is empty")
    match options.engine:
        case "searxng":
            found = _searxng(options.url, query, context)
        case "ddgs":
            found = _ddgs(query, limit, context)
        case "off":
            raise ToolError(
                "searching the web is off until settings name an engine",
                hint=f"set {SETTING} to {{engine: searxng, url: ...}} or {{engine: ddgs}}",
            )
    return {"results": list(_plain(found))[:limit]}


def _plain(found: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, str]]:
    """Title, address and snippet, as SearXNG and ddgs call them."""
    for row in found:
        url = str(row.get("url") or row.get("href") or "")
        if url.startswith(("http://", "https://")):
            snippet = " ".join(str(row.get("content") or row.get("body") or "").split())
            title = " ".join(str(row.get("title") or "").split())
            yield {"title": title, "url": url, "snippet": snippet[:LONGEST_SNIPPET]}


# -- SearXNG -------------------------------------------------------------------------------------


def _searxng(base: str, query: str, context: ToolContext) -> list[dict[str, Any]]:
    url = f"{base.rstrip('/')}/search?{urlencode({'q': query, 'format': 'json'})}"
    request = HttpRequest(url, headers={"Accept": "application/json"})
    response = context.http.fetch(request, context.cancel)
    if response.status == 429:
        raise ToolRetry("the search engine has too much to do: try again in a minute")
    try:
        answer = json.loads(response.body)
        rows = [row for row in answer["results"] if isinstance(row, dict)]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ToolError(
            f"{base} does not answer in JSON (its status is {response.status})",
            hint="let it: `search: {formats: [html, json]}` in the settings.yml of SearXNG; or "
            f"correct the url: {SETTING}",
        ) from None
    silent = answer.get("unresponsive_engines")
    if not rows and silent:
        context.warn(f"some engines behind SearXNG did not answer: {json.dumps(silent)}")
    return rows


# -- ddgs ----------------------------------------------------------------------------------------


def _ddgs(query: str, limit: int, context: ToolContext) -> list[dict[str, Any]]:
    """On a thread of its own, which a cancel leaves behind: ddgs cannot be broken off."""
    from ddgs import DDGS  # a compiled client for TLS comes with it
    from ddgs.exceptions import DDGSException, RatelimitException

    found: list[list[dict[str, Any]] | Exception] = []

    def search() -> None:
        try:
            found.append(DDGS(timeout=DDGS_SECONDS).text(query, max_results=limit))
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=search, name="web-search", daemon=True)
    thread.start()
    while thread.is_alive():
        context.cancel.check()
        thread.join(TICK)
    match found[0]:
        case list() as rows:
            return rows
        case RatelimitException():
            raise ToolRetry("the search engines have too much to do: try again in a minute")
        case DDGSException() as error if "No results found" in str(error):
            return []
        case error:
            reason = " ".join(str(error).split())[:200]
            raise ToolError(f"no search engine answered: {reason}") from None
