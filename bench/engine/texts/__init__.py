"""What is asked: files that read as the real thing, and the values made of them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from agentkit.messages import ChatRequest, Message, ToolCall, ToolSchema

FOLDER = Path(__file__).parent


def text(name: str) -> str:
    """A whole file."""
    return (FOLDER / name).read_text(encoding="utf-8").strip()


def lines(name: str) -> list[str]:
    """A file with one text a line."""
    return text(name).splitlines()


def sections(name: str) -> list[str]:
    """The sections of a file in Markdown, without their headings."""
    return [part.partition("\n")[2].strip() for part in f"\n{text(name)}".split("\n## ")[1:]]


def tools() -> tuple[ToolSchema, ...]:
    """Eight tools of an agent that looks after a server."""
    return tuple(ToolSchema(**tool) for tool in _yaml("tools.yaml"))


def agent_prompt(role: str) -> Message:
    """What the crew of the trace is told, and the part of one of its members."""
    trace = _yaml("trace.yaml")
    return Message("system", f"{trace['charter']}\n\n{trace['roles'][role]}")


def trace(*, max_tokens: int) -> list[ChatRequest]:
    """The turns of the crew: each is asked with all that was said to and by its role before."""
    histories: dict[str, list[Message]] = {}
    requests = []
    for number, turn in enumerate(_yaml("trace.yaml")["turns"]):
        history = histories.setdefault(turn["role"], [agent_prompt(turn["role"])])
        if "tool" in turn:
            history.append(Message("tool", turn["tool"], tool_call_id=history[-1].tool_calls[0].id))
        if "user" in turn:
            history.append(Message("user", turn["user"]))
        requests.append(ChatRequest(tuple(history), max_tokens=max_tokens, tools=tools()))
        history.append(_said(turn, number))
    return requests


def conversations(*, max_tokens: int) -> list[list[ChatRequest]]:
    """Customers who write to the support of a shop: the requests of each, in order."""
    return [_conversation(customer, max_tokens) for customer in _yaml("customers.yaml")]


def _conversation(customer: dict[str, Any], max_tokens: int) -> list[ChatRequest]:
    record = f"Customer: {customer['customer']}\n{customer['order']}"
    history = [Message("system", f"{text('support.md')}\n\n{record}")]
    requests = []
    for question, reply in zip(customer["questions"], [*customer["replies"], ""], strict=True):
        history.append(Message("user", question))
        requests.append(ChatRequest(tuple(history), max_tokens=max_tokens))
        history.append(Message("assistant", reply))
    return requests


def _said(turn: dict[str, Any], number: int) -> Message:
    if "said" in turn:
        return Message("assistant", turn["said"])
    call = turn["call"]
    arguments = json.dumps(call["arguments"], ensure_ascii=False)
    return Message(
        "assistant", "", tool_calls=(ToolCall(f"call_{number}", call["name"], arguments),)
    )


@cache
def _yaml(name: str) -> Any:
    return YAML(typ="safe").load(FOLDER / name)
