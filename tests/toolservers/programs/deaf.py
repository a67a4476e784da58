"""Shakes hands, lists a tool, and then reads no more and does not end."""

import threading

from tests.toolservers.programs import wire

for message in wire.messages():
    match message.get("method"):
        case "initialize":
            wire.greet(message)
        case "tools/list":
            wire.answer(message, {"tools": [wire.tool("swallow")]})
            threading.Event().wait()
