"""What goes wrong with a server, as sentences in which the server is "it"."""

from __future__ import annotations

import httpx2
from pydantic import ValidationError

from agentkit.toolservers.plain import line

MAX_WORDS = 600
"""Characters of what a server says is wrong."""

FORGOTTEN = "Session terminated"
STAND_INS = {FORGOTTEN, "Not Found", "Server returned an error response"}
"""What the SDK says in place of a server that answered with a status of HTTP and nothing else."""


class Trouble(Exception):
    """What went wrong, as a sentence with "it" for the server."""


class Forgotten(Trouble):
    """The server knows nothing of this conversation: what was asked was not done."""


class Refused(Trouble):
    """The server said no, in its own words; `invalid` where better arguments may help."""

    def __init__(self, words: str, *, invalid: bool = False) -> None:
        super().__init__(words)
        self.invalid = invalid


def leaf(error: BaseException) -> BaseException:
    """The error inside groups that says most."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [leaf(one) for one in error.exceptions]
    return next((one for one in leaves if isinstance(one, httpx2.HTTPError)), leaves[0])


def explained(error: BaseException) -> str:
    """An error of the SDK, or of what it stands on; empty where it says only that it ended."""
    from mcp import MCPError
    from mcp.types import CONNECTION_CLOSED

    match error:
        case Trouble() | httpx2.StreamError():
            return str(error)
        case MCPError(code=code):
            said = line(error.message, MAX_WORDS)
            if code == CONNECTION_CLOSED:  # of the SDK's own making
                return "" if said == "Connection closed" else f"its answer broke off: {said}"
            return f"it says: {said}"
        case httpx2.ConnectError() | httpx2.ConnectTimeout():
            said = str(error).split("] ")[-1].lower() or "it took too long"
            return f"it cannot be reached: {line(said, 200)}"
        case httpx2.HTTPError():
            said = str(error).split("] ")[-1].lower() or type(error).__name__
            return f"the connection broke off: {line(said, 200)}"
        case ValidationError():
            fault = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in fault["loc"])
            return line(f"it does not answer as the protocol says: {place}: {fault['msg']}", 300)
        case _:
            return line(f"it cannot be understood: {error or type(error).__name__}", 300)
