"""Names to addresses.  The system's resolver cannot be broken off, so it works on a thread of its
own: who gave up leaves it behind, and it ends when it has an answer."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence

from agentkit.hosts import IpAddress, as_address
from agentkit.network.patience import Patience

Resolve = Callable[[str], Sequence[str]]
"""The addresses of a name.  Raises `OSError` (`socket.gaierror`) where there are none."""


def look_up(name: str) -> list[str]:
    """What the system's resolver says: hosts file, DNS, whatever it is set up with."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def addresses_of(host: str, resolve: Resolve, patience: Patience) -> list[IpAddress]:
    """All addresses of a host, each in its plainest form.

    Raises `OSError` where there are none, and as `Patience.check` does.
    """
    literal = as_address(host)
    if literal is not None:
        return [_plain(literal)]
    answer: list[Sequence[str] | OSError] = []
    done = threading.Event()

    def ask() -> None:
        try:
            answer.append(resolve(host))
        except (OSError, UnicodeError) as error:  # a name that the resolver cannot write down
            answer.append(OSError(str(error)) if isinstance(error, UnicodeError) else error)
        finally:
            done.set()

    threading.Thread(target=ask, name="network-lookup", daemon=True).start()
    patience.wait(done.wait)
    found = answer[0]
    if isinstance(found, OSError):
        raise found
    return [_plain(ipaddress.ip_address(address)) for address in found]


def _plain(address: IpAddress) -> IpAddress:
    """`::ffff:127.0.0.1` is `127.0.0.1` to the system, too."""
    return getattr(address, "ipv4_mapped", None) or address
