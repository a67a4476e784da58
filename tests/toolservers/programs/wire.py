"""The protocol by hand, for servers that misbehave: no library that would stop them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

ANYTHING = {"type": "object", "additionalProperties": True}


def send(message: dict[str, Any]) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def answer(question: dict[str, Any], result: dict[str, Any]) -> None:
    send({"id": question["id"], "result": result})


def refuse(question: dict[str, Any], code: int, message: str) -> None:
    send({"id": question["id"], "error": {"code": code, "message": message}})


def say(question: dict[str, Any], text: str, **more: Any) -> None:
    """Answer a call with a text."""
    answer(question, {"content": [{"type": "text", "text": text}], **more})


def messages() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def tool(name: str, description: str = "", schema: Any = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "description": description, "inputSchema": schema or ANYTHING, **more}


def greet(question: dict[str, Any]) -> None:
    answer(question, {
        "protocolVersion": question["params"]["protocolVersion"],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "by hand", "version": "1"},
    })  # fmt: skip


def serve(
    tools: Callable[[], list[dict[str, Any]]],
    call: Callable[[dict[str, Any], str, dict[str, Any]], None],
) -> None:
    """An honest conversation around tools and calls that need not be."""
    for message in messages():
        match message.get("method"):
            case "initialize":
                greet(message)
            case "tools/list":
                answer(message, {"tools": tools()})
            case "tools/call":
                params = message["params"]
                call(message, params["name"], params.get("arguments") or {})
            case _ if "id" in message:
                refuse(message, -32601, "Method not found")
