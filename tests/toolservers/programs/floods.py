"""Never stops talking once it is called: `notifications`, `questions`, `answers`, `bytes`, or to
stderr; "a bit" is as much as a chatty server says."""

import sys
from typing import Any

from tests.toolservers.programs import wire

NOTE = {"method": "notifications/message", "params": {"level": "info", "data": "on and on"}}


def call(question: dict[str, Any], name: str, given: dict[str, Any]) -> None:
    if name == "a-bit":
        for number in range(2000):
            wire.send(NOTE)
            wire.send({"method": "notifications/progress",
                       "params": {"progressToken": 1, "progress": number}})  # fmt: skip
        wire.say(question, "enough")
    while name != "a-bit":
        match name:
            case "notifications":
                wire.send(NOTE)
            case "questions":
                wire.send({"id": 1, "method": "ping"})
            case "answers":
                wire.send({"id": 4711, "result": {}})
            case "bytes":
                sys.stdout.write("x" * 1_000_000)
            case "stderr":
                sys.stderr.write("on and on\n" * 1000)


KINDS = ("a-bit", "notifications", "questions", "answers", "bytes", "stderr")
wire.serve(lambda: [wire.tool(name) for name in KINDS], call)
