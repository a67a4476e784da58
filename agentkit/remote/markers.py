"""Texts from outside, so that no server takes them for the scaffolding of a chat.

A server puts a conversation into one text and reads that with its control tokens: a page with
`<|im_end|>` in it would end the turn and go on as somebody else.  The engine here knows its own
vocabulary and keeps such a text apart; of a server's model we know the families.  A zero-width
space behind the first character makes another text of a marker, and of nothing else.
"""

from __future__ import annotations

import re

BREAK = "\u200b"

_MARKER = re.compile(
    r"<\|[^|<>\s]{1,60}\|>"  # ChatML, Llama 3, Phi
    r"|<｜[^｜<>\s]{1,60}｜>"  # DeepSeek
    r"|</?(?:tool_call|tool_response|think|start_of_turn|end_of_turn|bos|eos|s)>"
    r"|\[/?(?:INST|TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS|SYSTEM_PROMPT)\]"  # Mistral
    r"|<</?SYS>>"  # Llama 2
)


def defused(text: str) -> str:
    """A text in which no marker is left."""
    return _MARKER.sub(lambda found: found[0][0] + BREAK + found[0][1:], text)
