"""Our tools and workflows for other programs, over the Model Context Protocol.

offers   what is offered: tools and workflows as a client sees them
calls    one call, from its arguments to what the client is told
progress events of a run as a number that grows
threads  calls in threads of their own, which a client can cancel
server   offers and calls in the words of the SDK
pipes    served over stdin and stdout, which then carry nothing else
web      served over HTTP on this machine
gate     who may come in over HTTP
"""

from agentkit.mcp.pipes import serve_pipes

__all__ = ["serve_pipes"]
