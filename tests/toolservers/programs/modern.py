"""Knows the protocol of 2026-07-28 and no other: nobody shakes hands."""

from typing import Any

from tests.toolservers.programs import wire

INFO = {"name": "modern", "version": "1"}


def done(message: dict[str, Any], **result: Any) -> None:
    wire.answer(message, {"resultType": "complete", **result})


for message in wire.messages():
    match message.get("method"):
        case "server/discover":
            done(message, supportedVersions=["2026-07-28"], capabilities={"tools": {}},
                 ttlMs=0, cacheScope="private")  # fmt: skip
        case "tools/list":
            some = [wire.tool("now"), wire.tool("ask")]
            done(message, tools=some, ttlMs=0, cacheScope="private")
        case "tools/call" if message["params"]["name"] == "ask":
            form = {"message": "name?", "requestedSchema": {"type": "object", "properties": {}}}
            wire.answer(message, {
                "resultType": "input_required",
                "inputRequests": {"name": {"method": "elicitation/create", "params": form}},
            })  # fmt: skip
        case "tools/call":
            done(message, content=[{"type": "text", "text": "modern times"}])
        case _ if "id" in message:
            wire.refuse(message, -32601, "Method not found")
