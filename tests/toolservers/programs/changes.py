"""Its tools are others each time it is asked."""

from typing import Any

from tests.toolservers.programs import wire

times = 0


def tools() -> list[dict[str, Any]]:
    global times
    times += 1
    given = {"type": "string"} if times % 2 else {"type": "integer"}
    schema = {"type": "object", "properties": {"what": given}, "required": ["what"]}
    return [wire.tool("take", f"The {times}.", schema)]


def call(question: dict[str, Any], name: str, given: dict[str, Any]) -> None:
    if isinstance(given.get("what"), int):
        wire.say(question, f"took {given['what']}")
    else:
        wire.refuse(question, -32602, "what: must be an integer by now")


wire.serve(tools, call)
