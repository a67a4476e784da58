"""Other machines behind the `Http` port: it hides httpcore, sockets, TLS and the habits of servers.

patience   how long one exchange may take, and whether somebody asked to stop
lookup     names to addresses
wire       a connection to an address that was checked; every wait on it can be broken off
body       what arrives, decompressed piece by piece and bounded
hops       one request as it is sent, and what becomes of it behind a redirect
guarded    the adapter that puts them together: what is granted, what went wrong

Only `lookup` and `wire` do I/O.
"""

from agentkit.network.guarded import GuardedHttp

__all__ = ["GuardedHttp"]
