"""Asks its client for what only a client has: a model, its folders, its person."""

from typing import Any

from tests.toolservers.programs import wire

QUESTIONS: dict[str, dict[str, Any]] = {
    "sampling/createMessage": {"messages": [], "maxTokens": 5},
    "roots/list": {},
    "elicitation/create": {"message": "password?", "requestedSchema": {"type": "object",
                                                                      "properties": {}}},
    "system/format": {},
}  # fmt: skip


def call(question: dict[str, Any], name: str, given: dict[str, Any]) -> None:
    told = []
    for method, params in QUESTIONS.items():
        wire.send({"id": method, "method": method, "params": params})
        answer = next(wire.messages())
        told.append(f"{answer['id']}: {'error' if 'error' in answer else answer}")
    wire.say(question, "\n".join(told))


wire.serve(lambda: [wire.tool("ask")], call)
