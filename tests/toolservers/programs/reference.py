"""A server as users of the SDK write it; with `http` it prints its port and serves over that."""

from __future__ import annotations

import base64
import os
import socket
import sys
from typing import Any

import anyio
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.types import (
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel

server = MCPServer("reference", log_level="CRITICAL")
seen: list[str] = []


class Weather(BaseModel):
    city: str
    degrees: float


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool(structured_output=False)
def greet(name: str) -> str:
    """Say hello."""
    return f"hello {name}"


@server.tool()
def weather(city: str) -> Weather:
    """The weather, as data."""
    return Weather(city=city, degrees=21.5)


@server.tool(structured_output=False)
def picture() -> CallToolResult:
    """Words, a picture and a file."""
    image = base64.b64encode(b"x" * 3000).decode()
    note = TextResourceContents(uri="file:///note.txt", text="a note")
    return CallToolResult(content=[
        TextContent(text="look:"),
        ImageContent(data=image, mime_type="image/png"),
        EmbeddedResource(resource=note),
    ])  # fmt: skip


@server.tool(structured_output=False)
def fail(why: str) -> str:
    """Do not do it."""
    raise ValueError(why)


@server.tool(structured_output=False)
def environment() -> str:
    """The names of the variables that this server has."""
    return " ".join(sorted(os.environ))


@server.tool(structured_output=False)
async def wait(context: Context[Any, Any]) -> str:
    """Wait for ever."""
    seen.append("waiting")
    try:
        await anyio.sleep_forever()
    finally:
        seen.append("cancelled")
    return "never"


@server.tool(structured_output=False)
async def watch(what: str) -> str:
    """Wait until something happened to another call."""
    while what not in seen:
        await anyio.sleep(0.01)
    return what


@server.tool(structured_output=False)
async def ask(context: Context[Any, Any]) -> str:
    """Ask the person at the other end."""
    answer = await context.elicit("your name?", Weather)
    return str(answer)


def over_http() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    app = server.streamable_http_app()
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run([listening])


if __name__ == "__main__":
    over_http() if sys.argv[1:] == ["http"] else server.run("stdio")
