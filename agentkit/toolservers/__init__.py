"""Servers of the Model Context Protocol behind `ports.ToolServer`, through the official SDK.

server      one server: opened when first asked, kept, opened again after it died
loop        the SDK's event loop, in one thread for all servers of the process
connection  one conversation with a server, from the handshake to its end
program     a child process that is spoken to over its pipes
address     a server that runs already, spoken to over HTTP
guard       what nobody asked for is not let in, and not without end
offered     what a server says of its tools, as much of it as can be used
schemas     a JSON Schema that somebody else wrote, made harmless
results     what a call gave, as data or text
trouble     what goes wrong, as sentences
plain       somebody else's words, without what a terminal or a model would obey

A server is somebody else's program, maybe a broken one, maybe a hostile one: all that it says is
bounded, and whatever it does costs its own calls and nothing else.
"""

import logging

from agentkit.toolservers.server import McpServer

__all__ = ["McpServer"]

for _name in ("mcp", "client"):  # the SDK's loggers: its tracebacks are not for a terminal
    logging.getLogger(_name).addHandler(logging.NullHandler())
