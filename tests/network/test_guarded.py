"""HTTP within what is granted, against a loopback server that plays the internet."""

from __future__ import annotations

import gzip
import ipaddress
import itertools
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agentkit import __version__
from agentkit.cancel import CancelToken
from agentkit.errors import Cancelled, ToolError, ToolRetry
from agentkit.hosts import HostPolicy, IpAddress, is_public
from agentkit.network import GuardedHttp
from agentkit.network.guarded import trusted_authorities
from agentkit.ports import HttpRequest, HttpResponse

from .internet import Internet, Line, Resolver, answer, redirect, trusting

SITES = {
    name: [["127.0.0.1"]]
    for name in ("site.example", "other.example", "www.site.example", "secure.example")
}


def playing(address: IpAddress) -> bool:
    """In these tests 127.0.0.1 is the internet; nothing else of this machine is."""
    return str(address) == "127.0.0.1" or is_public(address)


def http(
    *granted: str, resolve: Callable[[str], Sequence[str]] | None = None, **more: Any
) -> GuardedHttp:
    return GuardedHttp(
        HostPolicy.of(granted or ["*"]),
        resolve=resolve or Resolver(SITES),
        public=more.pop("public", playing),
        tls=trusting,
        **more,
    )


def get(url: str, *granted: str, **request: Any) -> HttpResponse:
    return http(*granted).fetch(HttpRequest(url, **request))


def refused(url: str, *granted: str, **request: Any) -> ToolError:
    with pytest.raises(ToolError) as raised:
        get(url, *granted, **request)
    return raised.value


# -- pages ---------------------------------------------------------------------------------------


def test_a_page_comes_back_whole(internet: Internet) -> None:
    internet.pages["/page"] = answer(b"hello", content_type="text/html", X_Twice="a")

    response = get(internet.url("/page?q=1#part"))

    assert response == HttpResponse(
        url=internet.url("/page?q=1"),
        status=200,
        headers={"content-type": "text/html", "content-length": "5", "x-twice": "a"},
        body=b"hello",
    )


def test_what_is_sent_says_who_asks_and_keeps_nothing(internet: Internet) -> None:
    internet.pages["/"] = answer(set_cookie="id=1")
    web = http()

    web.fetch(HttpRequest(internet.url()))
    web.fetch(HttpRequest(internet.url()))

    visit = internet.visits[1]
    assert (visit.method, visit.target, visit.body) == ("GET", "/", b"")
    assert visit.headers == {
        "host": f"site.example:{internet.port}",
        "user-agent": f"agentkit/{__version__}",
        "accept": "*/*",
        "accept-encoding": "gzip, deflate",
        "connection": "close",
    }


def test_method_headers_and_body_are_sent(internet: Internet) -> None:
    internet.pages["/"] = answer(b"made", 201)

    response = get(
        internet.url(),
        method="post",
        headers={"Content-Type": "application/json", "User-Agent": "mine", "X-Word": "grün"},
        body=b"{}",
    )

    visit = internet.visits[0]
    assert (response.status, visit.method, visit.body) == (201, "POST", b"{}")
    assert visit.headers["content-type"] == "application/json"
    assert visit.headers["content-length"] == "2"
    assert visit.headers["user-agent"] == "mine"
    assert visit.headers["x-word"].encode("latin-1").decode() == "grün"


@pytest.mark.parametrize("status", [204, 304, 400, 404, 429, 500, 503])
def test_any_status_is_an_answer(internet: Internet, status: int) -> None:
    body = b"" if status in (204, 304) else b"words"
    internet.pages["/"] = answer(body, status)

    assert get(internet.url()).status == status
    assert get(internet.url()).body == body


def test_a_head_request_has_no_body(internet: Internet) -> None:
    internet.pages["/"] = answer(content_length="999999999", content_encoding="gzip")

    assert get(internet.url(), method="HEAD").body == b""


def test_a_header_that_comes_twice_is_joined(internet: Internet) -> None:
    internet.pages["/"] = b"HTTP/1.1 200 OK\r\nVary: a\r\nX: gr\xfcn\r\nvary: b\r\n\r\n"

    assert get(internet.url()).headers == {"vary": "a, b", "x": "grün"}


@pytest.mark.parametrize(
    ("request_", "fault"),
    [
        ({"method": "CONNECT"}, "'CONNECT' is not a method: GET, HEAD, "),
        ({"method": "GET / HTTP/1.1\r\nX: y"}, "is not a method"),
        ({"headers": {"Host": "127.0.0.1"}}, "the header 'host' is set for you: leave it out"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "'transfer-encoding' is set for you"),
        ({"headers": {"X-A": "b\r\nHost: c"}}, "'x-a' has characters that a header cannot have"),
        ({"headers": {"X A": "b"}}, "'x a' has characters that a header cannot have"),
        ({"headers": {"": "b"}}, "'' has characters that a header cannot have"),
    ],
)
def test_what_cannot_be_sent_is_told(
    internet: Internet, request_: dict[str, Any], fault: str
) -> None:
    error = refused(internet.url(), **request_)

    assert isinstance(error, ToolRetry)
    assert fault in str(error)
    assert internet.visits == []


def test_the_environment_sets_no_proxy_and_no_password(
    internet: Internet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine site.example login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    internet.pages["/"] = answer(b"hello")

    assert get(internet.url()).body == b"hello"
    assert "authorization" not in internet.visits[0].headers


def test_many_threads_may_fetch_at_once(internet: Internet) -> None:
    web = http()
    for number in range(20):
        internet.pages[f"/{number}"] = answer(str(number).encode())
    bodies: dict[int, bytes] = {}

    def fetch(number: int) -> None:
        bodies[number] = web.fetch(HttpRequest(internet.url(f"/{number}"))).body

    threads = [threading.Thread(target=fetch, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert bodies == {number: str(number).encode() for number in range(20)}


# -- what is granted -----------------------------------------------------------------------------


def test_a_host_that_no_pattern_covers_is_refused_before_anything_is_looked_up(
    internet: Internet,
) -> None:
    resolver = Resolver(SITES)

    with pytest.raises(ToolError) as raised:
        http("other.example", resolve=resolver).fetch(HttpRequest(internet.url()))

    assert str(raised.value) == f"site.example:{internet.port} is not granted"
    assert raised.value.hint == (
        f"if that is meant, add site.example:{internet.port} to permissions.<profile>.hosts in "
        "settings"
    )
    assert resolver.asked == []


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.1.",
     "localhost.", "LOCALHOST", "localhost.localdomain", "a.localhost", "[::1]",
     "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "0.0.0.0",
     "0", "[::]", "169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "10.0.0.1",
     "127。0。0。1", "①②⑦.0.0.1"],
)  # fmt: skip
def test_no_spelling_of_this_machine_gets_past_the_star(internet: Internet, host: str) -> None:
    web = GuardedHttp(HostPolicy.of(["*"]))  # with the real resolver, for real addresses

    with pytest.raises(ToolError, match="is not granted"):
        web.fetch(HttpRequest(internet.url(host=host)))

    assert internet.visits == []


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
     "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%lo",
     "fd00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
     "2002:7f00:1::", "2001:0:7f00:1::", "::7f00:1"],
)  # fmt: skip
@pytest.mark.parametrize("granted", ["*", "nas.example.org", "*.example.org"])
def test_a_name_that_leads_to_a_private_address_is_refused(granted: str, address: str) -> None:
    resolver = Resolver({"nas.example.org": [[address]]})

    with pytest.raises(ToolError) as raised:
        GuardedHttp(HostPolicy.of([granted]), resolve=resolver).fetch(
            HttpRequest("http://nas.example.org/")
        )

    plain = address.replace("::ffff:", "")
    assert str(raised.value) == (
        f"nas.example.org is {plain}, which is not on the internet but on this machine or its "
        "network: refused"
    )
    place = f"[{plain}]:80" if ":" in plain else f"{plain}:80"
    assert f"add {place} to permissions.<profile>.hosts" in str(raised.value.hint)


def test_one_private_address_among_public_ones_is_enough_to_refuse(internet: Internet) -> None:
    resolver = Resolver({"site.example": [["127.0.0.1", "127.0.0.2"]]})

    with pytest.raises(ToolError, match=r"is 127\.0\.0\.2, which is not on the internet"):
        http(resolve=resolver).fetch(HttpRequest(internet.url()))

    assert internet.visits == []


def test_the_connection_goes_to_the_address_that_was_checked(internet: Internet) -> None:
    internet.pages["/"] = answer(b"checked")
    resolver = Resolver({"site.example": [["127.0.0.1"], ["127.0.0.2"]]})

    assert http(resolve=resolver).fetch(HttpRequest(internet.url())).body == b"checked"
    assert resolver.asked == ["site.example"]


def test_a_name_that_leads_elsewhere_the_second_time_is_checked_again(internet: Internet) -> None:
    internet.pages["/"] = redirect("/secret")
    internet.pages["/secret"] = answer(b"secret")
    resolver = Resolver({"site.example": [["127.0.0.1"], ["127.0.0.2"]]})

    with pytest.raises(ToolError, match=r"site\.example is 127\.0\.0\.2, which is not"):
        http(resolve=resolver).fetch(HttpRequest(internet.url()))

    assert internet.paths() == ["/"]


@pytest.mark.parametrize(
    ("granted", "host"),
    [
        ("127.0.0.1:{port}", "127.0.0.1"),
        ("127.0.0.1", "127.1"),
        ("localhost", "localhost"),
        ("localhost:{port}", "LocalHost."),
    ],
)
def test_this_machine_can_be_granted_by_name_or_address(
    internet: Internet, granted: str, host: str
) -> None:
    internet.pages["/"] = answer(b"mine")
    web = GuardedHttp(
        HostPolicy.of([granted.format(port=internet.port)]),
        resolve=Resolver({"localhost": [["127.0.0.1"]]}),
    )

    assert web.fetch(HttpRequest(internet.url(host=host))).body == b"mine"


def test_a_grant_for_one_port_is_for_that_port(internet: Internet) -> None:
    error = refused(internet.url(host="127.0.0.1"), f"127.0.0.1:{internet.port + 1}")

    assert str(error) == f"127.0.0.1:{internet.port} is not granted"


def test_a_name_and_its_private_address_can_be_granted_together(internet: Internet) -> None:
    internet.pages["/"] = answer(b"nas")
    resolver = Resolver({"nas.example.org": [["127.0.0.1"]]})
    url = internet.url(host="nas.example.org")

    web = GuardedHttp(HostPolicy.of(["nas.example.org", "127.0.0.1"]), resolve=resolver)

    assert web.fetch(HttpRequest(url)).body == b"nas"


def test_ipv6_can_be_granted() -> None:
    try:
        internet = _Internet6()
    except OSError:
        pytest.skip("this machine has no IPv6")
    internet.pages["/"] = answer(b"six")
    try:
        assert get(internet.url(host="[0::1]"), "[::1]").body == b"six"
        assert internet.visits[0].headers["host"] == f"[::1]:{internet.port}"
    finally:
        internet.close()


class _Internet6(Internet):
    address_family = socket.AF_INET6

    def __init__(self) -> None:
        super().__init__(host="::1")


# -- redirects -----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(internet: Internet, status: int) -> None:
    internet.pages["/a"] = redirect("/b?c", status)
    internet.pages["/b"] = answer(b"there")

    response = get(internet.url("/a"))

    assert (response.url, response.body) == (internet.url("/b?c"), b"there")


@pytest.mark.parametrize("status", [300, 304, 305])
def test_other_answers_with_an_address_are_answers(internet: Internet, status: int) -> None:
    internet.pages["/"] = redirect("/b", status)

    assert get(internet.url()).status == status


def test_a_redirect_without_an_address_is_an_answer(internet: Internet) -> None:
    internet.pages["/"] = answer(b"where?", 302)

    assert get(internet.url()).body == b"where?"


def test_a_redirect_to_another_host_that_is_granted_is_followed(internet: Internet) -> None:
    internet.pages["/a"] = redirect(internet.url("/b", host="other.example"))
    internet.pages["/b"] = answer(b"there")

    assert get(internet.url("/a"), "site.example", "other.example").body == b"there"
    assert internet.visits[1].headers["host"] == f"other.example:{internet.port}"


def test_a_redirect_to_a_public_host_that_is_not_granted_is_handed_back(
    internet: Internet,
) -> None:
    target = internet.url("/b", host="other.example")
    internet.pages["/a"] = redirect(target)

    error = refused(internet.url("/a"), "site.example")

    assert isinstance(error, ToolRetry)
    assert str(error) == (
        f"site.example:{internet.port} redirects to {target}: call it with that address"
    )
    assert internet.paths() == ["/a"]


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("http://127.0.0.2:{port}/secret", "127.0.0.2:{port}"),
        ("//127.0.0.2/secret", "127.0.0.2:80"),
        ("http://localhost:{port}/secret", "localhost:{port}"),
        ("http://2130706434:{port}/secret", "127.0.0.2:{port}"),
        ("http://[::ffff:127.0.0.2]:{port}/secret", "127.0.0.2:{port}"),
        ("http://[::1]:{port}/secret", "[::1]:{port}"),
        ("http://169.254.169.254/latest/meta-data/", "169.254.169.254:80"),
        ("http://metadata.google.internal/", "metadata.google.internal:80"),
        ("http://[fd00:ec2::254]/latest/", "[fd00:ec2::254]:80"),
        ("http://192.168.0.1/", "192.168.0.1:80"),
    ],
)
def test_a_redirect_into_this_network_is_refused(
    internet: Internet, target: str, place: str
) -> None:
    internet.pages["/"] = redirect(target.format(port=internet.port))

    error = refused(internet.url())

    place = place.format(port=internet.port)
    assert not isinstance(error, ToolRetry)
    assert str(error) == (
        f"site.example:{internet.port} redirects to {place}, which is on this machine or its "
        "network: refused"
    )
    assert internet.paths() == ["/"]


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "ftp://other.example/", "gopher://x/", "data:text/html,hi",
     "http://me:secret@other.example/", "http://[", "http://other.example:99999/", "http://%20/"],
)  # fmt: skip
def test_a_redirect_to_what_is_no_address_is_refused(internet: Internet, target: str) -> None:
    internet.pages["/"] = redirect(target)

    error = refused(internet.url())

    assert not isinstance(error, ToolRetry)
    assert f"site.example:{internet.port} redirects to what is no address: " in str(error)
    assert "secret" not in str(error)
    assert internet.paths() == ["/"]


def test_a_circle_of_redirects_ends(internet: Internet) -> None:
    internet.pages["/a"] = redirect("/b")
    internet.pages["/b"] = redirect("/a")

    error = refused(internet.url("/a"), max_redirects=3)

    assert str(error) == f"site.example:{internet.port} redirects more than 3 times"
    assert internet.paths() == ["/a", "/b", "/a", "/b"]


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "POST", "GET"), (302, "POST", "GET"), (303, "POST", "GET"), (303, "PUT", "GET"),
        (307, "POST", "POST"), (308, "PUT", "PUT"), (301, "PUT", "PUT"), (303, "HEAD", "HEAD"),
    ],
)  # fmt: skip
def test_methods_change_behind_redirects_as_in_browsers(
    internet: Internet, status: int, method: str, then: str
) -> None:
    internet.pages["/a"] = redirect("/b", status)
    internet.pages["/b"] = answer()
    body = b"" if method == "HEAD" else b"data"

    get(internet.url("/a"), method=method, headers={"Content-Type": "text/plain"}, body=body)

    visit = internet.visits[1]
    assert visit.method == then
    assert visit.body == (body if then == method else b"")
    assert ("content-type" in visit.headers) == (then == method)


def test_what_the_caller_said_to_one_host_is_not_told_to_another(internet: Internet) -> None:
    internet.pages["/a"] = redirect("/b")
    internet.pages["/b"] = redirect(internet.url("/c", host="other.example"))
    internet.pages["/c"] = redirect(internet.url("/d"))
    internet.pages["/d"] = answer()
    secrets = {"Authorization": "Bearer x", "X-Api-Key": "y", "Cookie": "z"}

    get(internet.url("/a"), headers={**secrets, "Accept": "text/html"})

    told = [
        set(visit.headers) & {"authorization", "x-api-key", "cookie"} for visit in internet.visits
    ]
    assert [len(names) for names in told] == [3, 3, 0, 0]
    assert {visit.headers["accept"] for visit in internet.visits} == {"text/html"}


@pytest.mark.parametrize("status", [307, 308])
def test_a_body_is_not_carried_to_another_host(internet: Internet, status: int) -> None:
    internet.pages["/a"] = redirect(internet.url("/b", host="other.example"), status)

    error = refused(internet.url("/a"), method="POST", body=b"secret")

    assert isinstance(error, ToolRetry)
    assert "another host: call it with that address if that is meant" in str(error)
    assert internet.paths() == ["/a"]


# -- encryption ----------------------------------------------------------------------------------


def test_an_encrypted_page_comes_back(secure: Internet) -> None:
    secure.pages["/"] = answer(b"x" * 300_000)

    assert get(secure.url(), method="POST", body=b"y" * 300_000).body == b"x" * 300_000
    assert secure.visits[0].body == b"y" * 300_000


def test_the_certificate_is_checked_against_the_name_and_not_the_address(
    secure: Internet,
) -> None:
    error = refused(secure.url(host="other.example"))

    assert str(error).startswith("the certificate of other.example cannot be trusted: Hostname")
    assert secure.visits == []


def test_an_authority_that_nobody_knows_is_not_trusted(secure: Internet) -> None:
    web = GuardedHttp(HostPolicy.of(["*"]), resolve=Resolver(SITES), public=playing)

    with pytest.raises(
        ToolError, match=r"certificate of secure\.example cannot be trusted: unable"
    ):
        web.fetch(HttpRequest(secure.url()))

    assert secure.visits == []


def test_an_authority_of_this_machine_is_trusted(
    secure: Internet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(Path(__file__).parent / "authority.pem"))
    secure.pages["/"] = answer(b"ours")
    own = trusted_authorities.__wrapped__
    web = GuardedHttp(HostPolicy.of(["*"]), resolve=Resolver(SITES), public=playing, tls=own)

    assert web.fetch(HttpRequest(secure.url())).body == b"ours"
    assert own().verify_mode is ssl.CERT_REQUIRED


def test_a_server_that_does_not_encrypt_is_told(internet: Internet) -> None:
    error = refused(internet.url().replace("http:", "https:"))

    assert str(error).startswith(f"no connection to site.example:{internet.port}: no encryption: ")


def test_an_encrypted_page_does_not_lead_to_one_that_is_not(
    secure: Internet, internet: Internet
) -> None:
    secure.pages["/"] = redirect(internet.url("/plain"))

    error = refused(secure.url())

    assert isinstance(error, ToolRetry)
    assert f"redirects to {internet.url('/plain')}, which is not encrypted" in str(error)
    assert internet.visits == []


def test_a_handshake_that_never_ends_is_given_up(internet: Internet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]

        error = refused(f"https://site.example:{port}/", timeout=0.3)

    assert str(error) == f"site.example:{port} took longer than 0.3 s"


# -- bounds --------------------------------------------------------------------------------------


def endless(line: Line) -> None:
    line.send(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(500):
        line.send(bytes(1_000_000))


def test_a_body_of_500_megabytes_is_cut_off_early(internet: Internet) -> None:
    internet.pages["/"] = endless

    error = refused(internet.url(), max_bytes=2_000_000)

    assert str(error) == (f"site.example:{internet.port} sends more than 2 MB, which is the limit")
    assert internet.sent < 50_000_000


def test_a_body_that_says_it_is_too_large_is_not_read(internet: Internet) -> None:
    def announced(line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 500000000\r\n\r\n")
        line.wait_until_gone()

    internet.pages["/"] = announced

    assert "sends more than 2 MB" in str(refused(internet.url(), max_bytes=2_000_000))


def test_a_body_of_the_size_that_is_allowed_is_read(internet: Internet) -> None:
    internet.pages["/plain"] = answer(bytes(1000))
    internet.pages["/packed"] = answer(gzip.compress(bytes(1000)), content_encoding="gzip")

    assert len(get(internet.url("/plain"), max_bytes=1000).body) == 1000
    assert len(get(internet.url("/packed"), max_bytes=1000).body) == 1000
    assert "more than 999 B" in str(refused(internet.url("/plain"), max_bytes=999))
    assert "more than 999 B" in str(refused(internet.url("/packed"), max_bytes=999))


def test_a_slow_drip_is_given_up_though_it_never_stops(internet: Internet) -> None:
    def drip(line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            line.send(b".")
            time.sleep(0.02)

    internet.pages["/"] = drip

    error = refused(internet.url(), timeout=0.5)

    assert str(error) == f"site.example:{internet.port} took longer than 0.5 s"
    assert internet.sent > 20


def test_a_server_that_says_nothing_is_given_up(internet: Internet) -> None:
    internet.pages["/"] = Line.wait_until_gone

    assert "took longer than 0.3 s" in str(refused(internet.url(), timeout=0.3))


def test_the_time_is_for_all_redirects_together(internet: Internet) -> None:
    def slow(line: Line) -> None:
        time.sleep(0.2)
        line.send(redirect("/"))

    internet.pages["/"] = slow

    assert "took longer than 0.5 s" in str(refused(internet.url(), timeout=0.5, max_redirects=99))


def test_headers_without_end_are_given_up(internet: Internet) -> None:
    def headers(line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\n")
        for number in itertools.count():
            line.send(b"X-%d: %s\r\n" % (number, b"y" * 1000))

    internet.pages["/"] = headers

    assert f"the answer of site.example:{internet.port} is broken: " in str(refused(internet.url()))
    assert internet.sent < 20_000_000


def test_answers_before_the_answer_do_not_go_on_for_ever(internet: Internet) -> None:
    def patience(line: Line) -> None:
        while True:
            line.send(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    internet.pages["/"] = patience

    assert "took longer than 0.5 s" in str(refused(internet.url(), timeout=0.5))


def test_a_server_that_does_not_take_the_body_is_given_up(internet: Internet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        url = f"http://site.example:{silent.getsockname()[1]}/"

        error = refused(url, method="POST", body=bytes(20_000_000), timeout=0.5)

    assert "took longer than 0.5 s" in str(error)


# -- compression ---------------------------------------------------------------------------------

WORDS = b"all work and no play " * 5000


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(WORDS)),
        ("X-GZIP", gzip.compress(WORDS)),
        ("gzip", gzip.compress(WORDS[:999]) + gzip.compress(WORDS[999:])),
        ("gzip", gzip.compress(WORDS) + bytes(512)),
        ("deflate", zlib.compress(WORDS)),
        ("deflate", raw_deflate(WORDS)),
        ("identity", WORDS),
    ],
)
def test_compression_is_undone(internet: Internet, encoding: str, packed: bytes) -> None:
    internet.pages["/"] = answer(packed, content_encoding=encoding)

    assert get(internet.url()).body == WORDS


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, raw_deflate])
def test_compression_is_undone_byte_by_byte(
    internet: Internet, pack: Callable[[bytes], bytes]
) -> None:
    def page(line: Line) -> None:
        packed = pack(b"few words")
        encoding = b"gzip" if pack is gzip.compress else b"deflate"
        line.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\n" % encoding)
        line.send(b"Transfer-Encoding: chunked\r\n\r\n")
        for number in packed:
            line.send(b"1\r\n%c\r\n" % number)
        line.send(b"0\r\n\r\n")

    internet.pages["/"] = page

    assert get(internet.url()).body == b"few words"


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate)],
)
def test_a_bomb_does_not_go_off(
    internet: Internet, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    bomb = pack(bytes(50_000_000))
    assert len(bomb) < 60_000
    internet.pages["/"] = answer(bomb, content_encoding=encoding)

    assert "sends more than 1 MB" in str(refused(internet.url(), max_bytes=1_000_000))


def test_a_stream_that_unpacks_to_nothing_does_not_go_on_for_ever(internet: Internet) -> None:
    def nothing(line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
        while True:
            line.send(gzip.compress(b"") * 1000)

    internet.pages["/"] = nothing

    assert "sends more than 100 kB" in str(refused(internet.url(), max_bytes=100_000))


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "nonsense"])
def test_a_compression_that_nobody_asked_for_is_told(internet: Internet, encoding: str) -> None:
    internet.pages["/"] = answer(b"...", content_encoding=encoding)

    error = refused(internet.url())

    assert f"cannot be read: it is packed with {encoding!r}, which nobody asked for" in str(error)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"not packed at all", "its compression is damaged"),
        (gzip.compress(WORDS)[:-20], "its compression breaks off"),
        (gzip.compress(WORDS)[:1], "its compression breaks off"),
    ],
)
def test_damaged_compression_is_told(internet: Internet, body: bytes, fault: str) -> None:
    internet.pages["/"] = answer(body, content_encoding="gzip")

    assert str(refused(internet.url())).endswith(f"cannot be read: {fault}")


# -- servers that break --------------------------------------------------------------------------


def chunked(line: Line) -> None:
    line.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"HTTP/1.1 200",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        chunked,
    ],
)
def test_a_broken_answer_is_told(internet: Internet, page: Any) -> None:
    internet.pages["/"] = page

    assert f"the answer of site.example:{internet.port} is broken: " in str(refused(internet.url()))


def test_a_body_that_is_longer_than_announced_is_as_long_as_announced(internet: Internet) -> None:
    internet.pages["/"] = answer(b"hello world", content_length="5")

    assert get(internet.url()).body == b"hello"


def test_a_body_without_a_length_ends_with_the_connection(internet: Internet) -> None:
    internet.pages["/"] = b"HTTP/1.0 200 OK\r\n\r\nhello"

    assert get(internet.url()).body == b"hello"


def test_a_connection_that_is_reset_is_told(internet: Internet) -> None:
    def reset(line: Line) -> None:
        connection = line._connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()

    internet.pages["/"] = reset

    assert "broke off: connection reset by peer" in str(refused(internet.url()))


def test_a_port_where_nobody_listens_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]

    error = refused(f"http://site.example:{port}/")

    assert str(error) == f"no connection to site.example:{port}: connection refused"


def test_the_next_address_is_tried_where_the_first_does_not_answer(internet: Internet) -> None:
    internet.pages["/"] = answer(b"second")
    resolver = Resolver({"site.example": [["127.0.0.9", "127.0.0.1"]]})
    web = http(resolve=resolver, public=lambda address: True)

    assert web.fetch(HttpRequest(internet.url())).body == b"second"


@pytest.fixture
def crowded(internet: Internet) -> Iterator[str]:
    """An address at which nobody picks up: its queue of connections is full."""
    with socket.socket() as listening, ExitStack() as waiting:
        listening.bind(("127.0.0.9", internet.port))
        listening.listen(0)
        for _ in range(4):
            caller = waiting.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.9", internet.port))
        yield "127.0.0.9"


def test_an_address_that_hangs_leaves_time_for_the_next(internet: Internet, crowded: str) -> None:
    internet.pages["/"] = answer(b"second")
    web = http(
        resolve=Resolver({"site.example": [[crowded, "127.0.0.1"]]}), public=lambda address: True
    )

    assert web.fetch(HttpRequest(internet.url(), timeout=2)).body == b"second"


def test_a_cancel_ends_a_connection_that_hangs(internet: Internet, crowded: str) -> None:
    token = CancelToken()
    timer = threading.Timer(0.1, token.cancel, args=["enough"])
    web = http(resolve=Resolver({"site.example": [[crowded]]}), public=lambda address: True)

    timer.start()
    with pytest.raises(Cancelled, match="enough"):
        web.fetch(HttpRequest(internet.url(), timeout=60), token)
    timer.join()


def test_a_name_that_nobody_knows_may_be_spelled_wrong() -> None:
    error = refused("http://sight.example/")

    assert isinstance(error, ToolRetry)
    assert str(error) == (
        "sight.example cannot be found: name or service not known; is it spelled right?"
    )


def test_a_name_without_addresses_is_told() -> None:
    with pytest.raises(ToolError, match=r"no connection to site\.example:80: it has no address"):
        http(resolve=Resolver({"site.example": [[]]})).fetch(HttpRequest("http://site.example/"))


# -- somebody asks to stop -----------------------------------------------------------------------


def test_a_cancel_ends_a_wait_for_the_answer(internet: Internet) -> None:
    token = CancelToken()

    def silent(line: Line) -> None:
        token.cancel("enough")
        line.wait_until_gone()

    internet.pages["/"] = silent

    with pytest.raises(Cancelled, match="enough"):
        http().fetch(HttpRequest(internet.url(), timeout=60), token)


def test_a_cancel_ends_a_body_that_never_makes_us_wait(internet: Internet) -> None:
    token = CancelToken()

    def flood(line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\n\r\n")
        for number in itertools.count():
            line.send(bytes(100_000))
            if number == 10:
                token.cancel("enough")

    internet.pages["/"] = flood

    with pytest.raises(Cancelled, match="enough"):
        http().fetch(HttpRequest(internet.url(), timeout=60, max_bytes=10**12), token)


def test_a_cancel_ends_a_look_up_that_hangs() -> None:
    token, over = CancelToken(), threading.Event()

    def hang(name: str) -> list[str]:
        token.cancel("enough")
        over.wait(30)
        return ["127.0.0.1"]

    try:
        with pytest.raises(Cancelled, match="enough"):
            http(resolve=hang).fetch(HttpRequest("http://site.example/", timeout=60), token)
    finally:
        over.set()


def test_what_was_cancelled_before_does_not_begin(internet: Internet) -> None:
    token = CancelToken()
    token.cancel()

    with pytest.raises(Cancelled):
        http().fetch(HttpRequest(internet.url()), token)

    assert internet.visits == []


def test_a_look_up_that_hangs_is_given_up() -> None:
    over = threading.Event()

    def hang(name: str) -> list[str]:
        over.wait(30)
        return ["127.0.0.1"]

    try:
        with pytest.raises(ToolError, match=r"site\.example:80 took longer than 0\.3 s"):
            http(resolve=hang).fetch(HttpRequest("http://site.example/", timeout=0.3))
    finally:
        over.set()


def test_playing_the_internet_leaves_the_rest_of_this_machine_private() -> None:
    assert playing(ipaddress.ip_address("127.0.0.1"))
    assert not playing(ipaddress.ip_address("127.0.0.2"))
