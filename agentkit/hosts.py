"""Which machine an address means, and which machines are granted.

There is one reading of an address, used by the check, by the question to a person and by the
connection: two readers that differ are how such checks are fooled.  A host has one spelling:
`HTTP://0x7F.1:80/` is `127.0.0.1`, `https://Bücher.example./` is `xn--bcher-kva.example`.

    Location.of("https://Example.org/page").place                    # example.org:443
    HostPolicy.of(["*.example.org"]).permits("www.example.org", 443)  # True

Whoever owns a name decides where it points.  So `*`, and names that somebody can own, grant public
addresses and nothing else; an address of this machine or its network is granted by naming it, or
by a name that nobody can own (`localhost`, `nas`, `nas.local`).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import Literal, cast
from urllib.parse import quote, urljoin

import idna

from agentkit.errors import ToolRetry
from agentkit.values import dataclass

Scheme = Literal["http", "https"]
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

DEFAULT_PORTS: dict[Scheme, int] = {"http": 80, "https": 443}

LOCAL_ENDINGS = frozenset(
    "corp home home.arpa internal intranet lan local localdomain localhost private test".split()
)
"""Ends of names that are not in the DNS of the internet, so that nobody can own such a name."""

NOT_PUBLIC_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",         # this host: 0.0.0.0 reaches loopback
        "10.0.0.0/8",        # private
        "100.64.0.0/10",     # carriers' NAT; Alibaba's metadata
        "127.0.0.0/8",       # loopback
        "168.63.129.16/32",  # Azure's host, seen from its guests only
        "169.254.0.0/16",    # link-local; metadata of most clouds
        "172.16.0.0/12",     # private
        "192.0.0.0/24",      # protocol assignments; Oracle's metadata
        "192.0.2.0/24",      # documentation
        "192.88.99.0/24",    # relays of 6to4
        "192.168.0.0/16",    # private
        "198.18.0.0/15",     # benchmarks between networks
        "198.51.100.0/24",   # documentation
        "203.0.113.0/24",    # documentation
        "224.0.0.0/4",       # multicast
        "240.0.0.0/4",       # reserved, broadcast
    )
)  # fmt: skip

PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
NOT_PUBLIC_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",      # protocol assignments, with Teredo: an IPv4 address in disguise
        "2001:db8::/32",  # documentation
        "2002::/16",      # 6to4: an IPv4 address in disguise
        "3fff::/20",      # documentation
    )
)  # fmt: skip
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""How a network without IPv4 writes the addresses of one that has it."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?://([^/?#]*))?([^?#]*)(\?[^#]*)?(?:#.*)?")
_PLACE = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]*))?")
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_KEPT = "!$%&'()*+,-./:;=?@[]_~|"
"""What may stand in a path or a query as it is; `%` because it is quoted already."""


def is_public(address: IpAddress) -> bool:
    """Whether an address is one of the internet, in whatever form it is written.

    The lists are ours: those of `ipaddress` change with the version of Python.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in NOT_PUBLIC_V4)
    if (inner := _inner(address)) is not None:
        return is_public(inner)
    return address in PUBLIC_V6 and not any(address in network for network in NOT_PUBLIC_V6)


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for, in the forms that are in use."""
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped


@dataclass(frozen=True, slots=True)
class Location:
    """Where an address leads: `host` in its one spelling, IPv6 without brackets.

    `target` is the path with the query, quoted.
    """

    scheme: Scheme
    host: str
    port: int
    target: str = "/"

    @classmethod
    def of(cls, url: str) -> Location:
        """Read an address.  Raises `ToolRetry` for one that is not well formed."""
        url = url.strip(" ")
        if any(character < " " or character in "\\\x7f" for character in url):
            raise ToolRetry(f"{_shown(url)} has characters that an address cannot have")
        parts = _URL.fullmatch(url)
        if parts is None or (parts[2] is None and "." in parts[1]):
            raise ToolRetry(f"{_shown(url)} is not a full address: it begins with https://")
        scheme = parts[1].lower()
        if scheme not in DEFAULT_PORTS:
            raise ToolRetry(f"{_shown(url)} is not an address of the web: http and https are")
        authority = parts[2] or ""
        if "@" in authority:
            raise ToolRetry(
                f"the address of {authority.rpartition('@')[2]} has a user or a password in it: "
                "leave it out"
            )
        scheme = cast("Scheme", scheme)
        host, port = split_place(authority)
        target = quote((parts[3] or "/") + (parts[4] or ""), safe=_KEPT, errors="replace")
        return cls(scheme, host, DEFAULT_PORTS[scheme] if port is None else port, target)

    def follow(self, reference: str) -> Location:
        """Where a link in this place leads.  Raises as `of` does."""
        try:
            return Location.of(urljoin(self.url, reference))
        except ValueError:
            raise ToolRetry(f"{_shown(reference)} is not an address") from None

    @property
    def place(self) -> str:
        """`host:port`, as grants and questions name it."""
        return place_of(self.host, self.port)

    @property
    def authority(self) -> str:
        """The place without the port that goes without saying."""
        usual = self.port == DEFAULT_PORTS[self.scheme]
        return _bracketed(self.host) if usual else self.place

    @property
    def url(self) -> str:
        """The address in its one spelling."""
        return f"{self.scheme}://{self.authority}{self.target}"


@dataclass(frozen=True, slots=True)
class HostPattern:
    """One grant: `host` in its one spelling, or empty; `below` means all names that end in it.

    `port` is None for any.
    """

    host: str
    below: bool
    port: int | None

    @classmethod
    def of(cls, text: str) -> HostPattern:
        """Read `example.org`, `*.example.org`, `127.0.0.1:8080`, `[::1]:80` or `*`.

        Raises `ValueError` for anything else.
        """
        below = text.startswith("*.")
        try:
            if text == "*" or text.startswith("*:"):
                return cls("", True, _port(text[2:]) if len(text) > 1 else None)
            host, port = split_place(text.removeprefix("*."))
        except ToolRetry as error:
            raise ValueError(f"{text!r} is not a host: {error}") from None
        if below and as_address(host):
            raise ValueError(f"{text!r} is not a host: there are no names below an address")
        return cls(host, below, port)

    def __str__(self) -> str:
        host = ("*." if self.host else "*") + self.host if self.below else _bracketed(self.host)
        return host if self.port is None else f"{host}:{self.port}"

    def covers(self, host: str, port: int) -> bool:
        """Whether it grants a host, given in its one spelling."""
        if self.port not in (None, port):
            return False
        if not self.below:
            return host == self.host
        if not self.host:
            return not is_local(host)
        return host.endswith("." + self.host)


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """The hosts that are granted.  Hosts are asked for in their one spelling."""

    patterns: tuple[HostPattern, ...] = ()

    @classmethod
    def of(cls, patterns: Iterable[str]) -> HostPolicy:
        """Raises `ValueError` for a pattern that is none."""
        return cls(tuple(HostPattern.of(pattern) for pattern in patterns))

    def permits(self, host: str, port: int) -> bool:
        """Whether something may talk to a host; `*` leaves out those of this network."""
        return any(pattern.covers(host, port) for pattern in self.patterns)

    def permits_private(self, host: str, port: int) -> bool:
        """Whether it may do so if the host turns out to be on this machine or its network."""
        return is_local(host) and self.permits(host, port)


def covers_host(patterns: Iterable[str], place: str) -> bool:
    """Whether one of the patterns grants a `host:port`; `*` is one that is not known yet.

    Raises as `HostPolicy.of` and `split_place` do.
    """
    if place == "*":
        return "*" in patterns
    host, port = split_place(place)
    return port is not None and HostPolicy.of(patterns).permits(host, port)


def is_local(host: str) -> bool:
    """Whether a host is on this machine or its network by the way it is written.

    Addresses that are not public are, and names that nobody can own.
    """
    if address := as_address(host):
        return not is_public(address)
    return "." not in host or any(
        host == ending or host.endswith("." + ending) for ending in LOCAL_ENDINGS
    )


def as_address(host: str) -> IpAddress | None:
    """The IP address that a host is, or None for a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def place_of(host: str, port: int) -> str:
    """`host:port`, with brackets around IPv6."""
    return f"{_bracketed(host)}:{port}"


def split_place(text: str) -> tuple[str, int | None]:
    """`host:port` as host in its one spelling and port, None where there is none.

    Raises `ToolRetry` for what is neither.
    """
    parts = _PLACE.fullmatch(text)
    if parts is None:
        raise ToolRetry(f"{_shown(text)} is not host:port, with IPv6 in brackets")
    return _host(parts[1]), _port(parts[2]) if parts[2] else None


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise ToolRetry(f"{_shown(text)} is not a port: they go from 1 to 65535")
    return int(text)


def _host(text: str) -> str:
    if text.startswith("["):
        return _v6(text[1:-1])
    try:
        plain = text if text.isascii() else idna.encode(text, uts46=True).decode()
    except idna.IDNAError:
        raise ToolRetry(f"{_shown(text)} is not the name of a host") from None
    name = plain.lower().removesuffix(".")
    labels = name.split(".")
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        return _v4(name)
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ToolRetry(f"{_shown(text)} is not the name of a host")
    return name


def _v4(text: str) -> str:
    """What ends in a number is an address, also `127.1`, `0177.0.0.1`, `0x7f000001`."""
    try:
        return str(ipaddress.IPv4Address(socket.inet_aton(text)))
    except (OSError, ValueError):
        raise ToolRetry(f"{_shown(text)} is not an IP address") from None


def _v6(text: str) -> str:
    """Without zones (`fe80::1%eth0`): they are for this machine's own use."""
    try:
        address = ipaddress.IPv6Address(text.replace("%", "?"))
    except ValueError:
        raise ToolRetry(f"{_shown(text)} is not an IP address") from None
    return str(address.ipv4_mapped or address)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _shown(text: str) -> str:
    return repr(text if len(text) <= 200 else text[:200] + "…")
