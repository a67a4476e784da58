"""Any OpenAI-compatible server behind the `ChatModel` port: it hides HTTP and the servers' habits.

dialects   which server knows which words
facts      what a server tells about itself
wire       a request as the JSON that it is sent as
gbnf       patterns and choices as llama.cpp's grammar
shapes     text on its way back to what was asked for
sse        bytes to events
answer     events to deltas
refusals   what a server says no with, sorted by whose fault it is
server     connections that can be broken off, waits and bounds
chat       the adapter that puts them together

Only `server` does I/O.
"""

from agentkit.remote.chat import RemoteChatModel
from agentkit.remote.dialects import Flavour

__all__ = ["Flavour", "RemoteChatModel"]
