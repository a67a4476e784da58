"""Has more tools than anybody can read, page after page."""

from tests.toolservers.programs import wire

for message in wire.messages():
    match message.get("method"):
        case "initialize":
            wire.greet(message)
        case "tools/list":
            page = int((message.get("params") or {}).get("cursor") or 0)
            some = [wire.tool(f"tool-{page * 300 + n}") for n in range(300)]
            wire.answer(message, {"tools": some, "nextCursor": str(page + 1)})
