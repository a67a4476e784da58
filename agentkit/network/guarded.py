"""HTTP within what is granted: each hop is checked, connected to what was checked, and bounded.

Refused unless granted: hosts that no pattern covers, and addresses of this machine or its network,
whatever name leads to them.  Proxies, .netrc and cookies are not used: a proxy would look names up
for us, and an answer must not depend on who asked before.  Headers of an answer may have 100 kB,
its body what the request says.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager

import httpcore

from agentkit.cancel import CancelToken
from agentkit.errors import ToolError, ToolRetry, human_bytes
from agentkit.hosts import HostPolicy, IpAddress, Location, is_local, is_public, place_of
from agentkit.network.body import Body, Damaged, TooLarge
from agentkit.network.hops import REDIRECTS, Hop
from agentkit.network.lookup import Resolve, addresses_of, look_up
from agentkit.network.patience import OutOfTime, Patience
from agentkit.network.wire import Wires, said
from agentkit.ports import HttpRequest, HttpResponse


class GuardedHttp:
    """The port `Http` for the hosts that are granted.  Costs nothing to make.

    `resolve`, `public` and `tls` are for those who play the internet.
    """

    def __init__(
        self,
        allowed: HostPolicy,
        *,
        resolve: Resolve = look_up,
        public: Callable[[IpAddress], bool] = is_public,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._public = public
        self._tls = tls or trusted_authorities

    def fetch(self, request: HttpRequest, cancel: CancelToken | None = None) -> HttpResponse:
        """See `ports.Http.fetch`.

        A redirect to a host that was not granted raises `ToolRetry` with the address, so that the
        next call asks for it.
        """
        hop = Hop.of(request)
        self._check_granted(hop.location)
        patience = Patience(request.timeout, cancel or CancelToken())
        for _ in range(request.max_redirects + 1):
            with _explained(hop.location, request):
                response = self._exchange(hop, patience, request.max_bytes)
            reference = response.headers.get("location")
            if response.status not in REDIRECTS or not reference:
                return response
            target = self._target(hop.location, reference)
            hop = hop.follow(response.status, target)
        raise ToolError(
            f"{Location.of(request.url).place} redirects more than {request.max_redirects} times"
        )

    # -- what is granted -------------------------------------------------------------------------

    def _check_granted(self, location: Location) -> None:
        if not self._allowed.permits(location.host, location.port):
            raise ToolError(f"{location.place} is not granted", hint=_grant(location.place))

    def _target(self, here: Location, reference: str) -> Location:
        """Where a redirect leads, if it may."""
        try:
            there = here.follow(reference)
        except ToolRetry as error:
            raise ToolError(f"{here.place} redirects to what is no address: {error}") from None
        if self._allowed.permits(there.host, there.port):
            return there
        if is_local(there.host):
            raise ToolError(
                f"{here.place} redirects to {there.place}, which is on this machine or its "
                "network: refused",
                hint=_grant(there.place),
            )
        raise ToolRetry(f"{here.place} redirects to {there.url}: call it with that address")

    def _addresses(self, location: Location, patience: Patience) -> list[IpAddress]:
        """The addresses of a host, if every one of them may be talked to."""
        host, port = location.host, location.port
        try:
            found = addresses_of(host, self._resolve, patience)
        except OSError as error:
            raise ToolRetry(
                f"{host} cannot be found: {said(error)}; is it spelled right?"
            ) from None
        for address in found:
            private = not self._public(address)
            named = self._allowed.permits_private(host, port)
            if private and not named and not self._allowed.permits_private(str(address), port):
                raise ToolError(
                    f"{host} is {address}, which is not on the internet but on this machine or its "
                    "network: refused",
                    hint=_grant(place_of(str(address), port)),
                )
        return found

    # -- one exchange ----------------------------------------------------------------------------

    def _exchange(self, hop: Hop, patience: Patience, max_bytes: int) -> HttpResponse:
        """Send one request and read its answer; not the body of a redirect."""
        addresses = self._addresses(hop.location, patience)
        with Wires(addresses, patience) as wires, closing(self._connection(hop, wires)) as line:
            answer = line.handle_request(_wire_request(hop))
            headers = _headers(answer)
            redirected = answer.status in REDIRECTS and "location" in headers
            empty = redirected or hop.method == "HEAD"
            body = b"" if empty else _read(answer, headers, max_bytes)
        return HttpResponse(hop.location.url, answer.status, headers, body)

    def _connection(self, hop: Hop, wires: Wires) -> httpcore.HTTPConnection:
        encrypted = hop.location.scheme == "https"
        return httpcore.HTTPConnection(
            _wire_url(hop.location).origin,
            ssl_context=self._tls() if encrypted else None,
            network_backend=wires,
        )


@functools.cache
def trusted_authorities() -> ssl.SSLContext:
    """Those that browsers trust and those of this machine, where a home has its own."""
    return httpcore.default_ssl_context()


def _wire_url(location: Location) -> httpcore.URL:
    return httpcore.URL(
        scheme=location.scheme,
        host=location.host,
        port=location.port,
        target=location.target,
    )


def _wire_request(hop: Hop) -> httpcore.Request:
    return httpcore.Request(
        hop.method, _wire_url(hop.location), headers=hop.wire_headers(), content=hop.body
    )


def _headers(answer: httpcore.Response) -> dict[str, str]:
    """Names in lower case; what was said several times, with commas between."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in answer.headers:
        name, value = raw_name.decode("ascii").lower(), _text(raw_value)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _read(answer: httpcore.Response, headers: Mapping[str, str], limit: int) -> bytes:
    if int(headers.get("content-length", "0")) > limit:
        raise TooLarge
    body = Body(headers.get("content-encoding", ""), limit)
    for chunk in answer.iter_stream():
        body.add(chunk)
    return body.whole()


def _grant(place: str) -> str:
    return f"if that is meant, add {place} to permissions.<profile>.hosts in settings"


@contextmanager
def _explained(location: Location, request: HttpRequest) -> Iterator[None]:
    """What went wrong with an exchange, as one sentence."""
    place = location.place
    try:
        yield
    except OutOfTime:
        raise ToolError(f"{place} took longer than {request.timeout:g} s") from None
    except TooLarge:
        raise ToolError(
            f"{place} sends more than {human_bytes(request.max_bytes)}, which is the limit"
        ) from None
    except Damaged as error:
        raise ToolError(f"what {place} sends cannot be read: {error}") from None
    except httpcore.ConnectError as error:
        raise ToolError(f"no connection to {place}: {error}") from None
    except httpcore.NetworkError as error:
        raise ToolError(f"the connection to {place} broke off: {error}") from None
    except httpcore.ProtocolError as error:
        said_so = str(error).rstrip(".").lower()
        raise ToolError(f"the answer of {place} is broken: {said_so}") from None
