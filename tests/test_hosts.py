"""Which machine an address means, and which machines are granted."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentkit.errors import ToolRetry
from agentkit.hosts import HostPattern, HostPolicy, Location, covers_host, is_local, is_public


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://example.org", "https://example.org/"),
        ("HTTPS://EXAMPLE.ORG:443/a?b=c#d", "https://example.org/a?b=c"),
        ("http://example.org:443/", "http://example.org:443/"),
        ("http://example.org:/", "http://example.org/"),
        ("http://example.org?q", "http://example.org/?q"),
        ("  http://example.org./ ", "http://example.org/"),
        ("https://bücher.example/ü?q=ß", "https://xn--bcher-kva.example/%C3%BC?q=%C3%9F"),
        ("https://faß.example/", "https://xn--fa-hia.example/"),
        ("http://example.org/two words?a b", "http://example.org/two%20words?a%20b"),
        ("http://example.org/100%25%", "http://example.org/100%25%"),
        ("http://[2001:DB8:0:0::1]:8080/", "http://[2001:db8::1]:8080/"),
        ("http://under_score.example/", "http://under_score.example/"),
        ("http://example.org/\ud800", "http://example.org/?"),
    ],
)
def test_an_address_has_one_spelling(url: str, plain: str) -> None:
    assert Location.of(url).url == plain


ODD_LOOPBACK = [
    "http://127.1/",
    "http://127.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0x7F.1/",
    "http://0177.0.0.1/",
    "http://017700000001/",
    "http://127.0.0.1./",
    "http://127。0。0。1/",
    "http://１２７.0.0.1/",
    "http://①②⑦.0.0.1/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::FFFF:7f00:1]/",
    "http://[0:0:0:0:0:ffff:7f00:0001]/",
]


@pytest.mark.parametrize("url", ODD_LOOPBACK)
def test_no_spelling_of_loopback_hides_it(url: str) -> None:
    assert Location.of(url).host == "127.0.0.1"
    assert not HostPolicy.of(["*"]).permits(Location.of(url).host, 80)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("example.org/page", "'example.org/page' is not a full address: it begins with https://"),
        ("example.org:80/page", "is not a full address"),
        ("//example.org/page", "is not a full address"),
        ("/page", "is not a full address"),
        ("", "is not a full address"),
        ("file:///etc/passwd", "is not an address of the web: http and https are"),
        ("ftp://example.org/", "is not an address of the web"),
        ("gopher://127.0.0.1:25/", "is not an address of the web"),
        ("localhost:80/", "is not an address of the web"),
        ("javascript:alert(1)", "is not an address of the web"),
        ("http://me:secret@example.org/", "the address of example.org has a user or a password"),
        ("http://example.org@127.0.0.1/", "the address of 127.0.0.1 has a user or a password"),
        ("http://example.org\\@127.0.0.1/", "has characters that an address cannot have"),
        ("http://example.org/a\r\nHost: b", "has characters that an address cannot have"),
        ("http://exa\tmple.org/", "has characters that an address cannot have"),
        ("http://two words/", "'two words' is not the name of a host"),
        ("http:///page", "'' is not the name of a host"),
        ("http:page", "'' is not the name of a host"),
        ("http://./", "'.' is not the name of a host"),
        ("http://a..b/", "'a..b' is not the name of a host"),
        ("http://%6c%6f%63%61lhost/", "is not the name of a host"),
        ("http://exa%6dple.org/", "is not the name of a host"),
        ("http://*.example.org/", "is not the name of a host"),
        ("http://\u202eevil.example/", "is not the name of a host"),
        ("http://" + "a" * 64 + ".org/", "is not the name of a host"),
        ("http://" + "a." * 127 + "org/", "is not the name of a host"),
        ("http://1.2.3.4.5/", "'1.2.3.4.5' is not an IP address"),
        ("http://256.0.0.1/", "'256.0.0.1' is not an IP address"),
        ("http://4294967296/", "'4294967296' is not an IP address"),
        ("http://example.0x1/", "'example.0x1' is not an IP address"),
        ("http://[::1/", "is not host:port"),
        ("http://[127.0.0.1]/", "'127.0.0.1' is not an IP address"),
        ("http://[fe80::1%25eth0]/", "is not an IP address"),
        ("http://::1/", "is not host:port"),
        ("http://example.org:0/", "'0' is not a port: they go from 1 to 65535"),
        ("http://example.org:65536/", "'65536' is not a port"),
        ("http://example.org:+80/", "is not host:port"),
        ("http://example.org:٨٠/", "is not host:port"),
    ],
)
def test_what_is_not_well_formed_is_told_with_its_fault(url: str, fault: str) -> None:
    with pytest.raises(ToolRetry) as raised:
        Location.of(url)

    assert fault in str(raised.value)


def test_a_password_is_never_repeated() -> None:
    with pytest.raises(ToolRetry) as raised:
        Location.of("https://me:secret@example.org/")

    assert "secret" not in str(raised.value)


urls = st.one_of(
    st.text(max_size=40),
    st.text("htps:/@[]().-_%?#\\ \t127x0.exampleößL", max_size=30).map("http://{}".format),
    st.ip_addresses().map(lambda ip: f"http://{f'[{ip}]' if ip.version == 6 else ip}/"),
)


@given(urls)
def test_any_text_is_an_address_in_one_spelling_or_is_told_to_be_none(url: str) -> None:
    try:
        location = Location.of(url)
    except ToolRetry:
        return
    assert Location.of(location.url) == location
    assert location.url.isascii()
    assert not set(location.host) & set("@/\\ %?#[]")
    assert location.host == location.host.lower()


@given(urls, st.text(max_size=40))
def test_any_link_leads_somewhere_or_is_told_to_be_none(url: str, reference: str) -> None:
    try:
        Location.of(url).follow(reference)
    except ToolRetry:
        return


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ("/b", "https://example.org:8443/b"),
        ("b?c", "https://example.org:8443/a/b?c"),
        ("?c", "https://example.org:8443/a/x?c"),
        ("../../b", "https://example.org:8443/b"),
        ("//example.net/b", "https://example.net/b"),
        ("HTTP://Example.NET", "http://example.net/"),
        ("#top", "https://example.org:8443/a/x"),
    ],
)
def test_links_are_relative_to_where_they_stand(reference: str, url: str) -> None:
    assert Location.of("https://example.org:8443/a/x").follow(reference).url == url


# -- what is public ------------------------------------------------------------------------------

PRIVATE_V4 = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.100.100.200",
    "100.127.255.255", "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.0.1",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1",
    "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255",
]  # fmt: skip
PUBLIC_V4 = [
    "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
    "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.167.0.1",
    "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
]  # fmt: skip
PRIVATE_V6 = [
    "::", "::1", "::127.0.0.1", "::1.1.1.1", "::ffff:0:127.0.0.1", "64:ff9b:1::1.1.1.1", "100::1",
    "2001::1", "2001:0:5ef5:79fb::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::1",
    "2002:101:101::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fd12::1", "fe80::1",
    "fe80::1%eth0", "fec0::1", "ff02::1", "4000::1",
]  # fmt: skip
PUBLIC_V6 = ["2001:4860:4860::8888", "2606:4700:4700::1111", "2a00:1450::1", "2003::1"]


@pytest.mark.parametrize("text", [*PUBLIC_V4, *PUBLIC_V6])
def test_addresses_of_the_internet_are_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", [*PRIVATE_V4, *PRIVATE_V6])
def test_all_other_addresses_are_not(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PRIVATE_V4)
@pytest.mark.parametrize("form", ["::ffff:{}", "::{}", "64:ff9b::{}", "::ffff:0:{}"])
def test_ipv6_does_not_hide_an_address_that_is_not_public(form: str, text: str) -> None:
    assert not is_public(ipaddress.ip_address(form.format(text)))


@pytest.mark.parametrize("form", ["::ffff:1.1.1.1", "64:ff9b::1.1.1.1"])
def test_a_public_address_is_public_in_the_forms_that_networks_use(form: str) -> None:
    assert is_public(ipaddress.ip_address(form))


@given(st.ip_addresses(v=4))
def test_what_python_calls_private_is_not_public(address: ipaddress.IPv4Address) -> None:
    relays_and_azure = ipaddress.IPv4Network("192.0.0.0/24")  # differs between versions of Python
    if address not in relays_and_azure and not address.is_global:
        assert not is_public(address)


# -- what is granted -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "granted", "not_granted"),
    [
        ("example.org", ["example.org:443", "example.org:8080"], ["www.example.org:443"]),
        ("Example.ORG.:443", ["example.org:443"], ["example.org:80", "example.net:443"]),
        (
            "*.example.org",
            ["www.example.org:80", "a.b.example.org:1"],
            ["example.org:80", "badexample.org:80", "example.org.evil.net:80"],
        ),
        ("*.example.org:443", ["www.example.org:443"], ["www.example.org:80"]),
        ("127.0.0.1:8080", ["127.0.0.1:8080"], ["127.0.0.1:80", "localhost:8080"]),
        ("0x7f.1", ["127.0.0.1:80"], ["127.0.0.2:80"]),
        ("[::1]:80", ["[::1]:80"], ["[::1]:81", "127.0.0.1:80"]),
        ("[::1]", ["[::1]:80", "[::1]:81"], ["[::2]:80"]),
        ("*.lan", ["nas.lan:80"], ["lan:80", "lan.example.org:80"]),
        ("*:443", ["example.org:443"], ["example.org:80"]),
        (
            "*",
            ["example.org:443", "1.1.1.1:53", "[2606:4700:4700::1111]:443"],
            ["localhost:80", "a.localhost:80", "localhost.localdomain:80", "nas:80", "nas.local:80",
             "router.home.arpa:80", "metadata.google.internal:80", "127.0.0.1:80", "10.0.0.1:80",
             "169.254.169.254:80", "[::1]:80", "[fd00::1]:80", "[64:ff9b::7f00:1]:80"],
        ),
        ("bücher.example", ["xn--bcher-kva.example:443"], ["bucher.example:443"]),
    ],
)  # fmt: skip
def test_a_pattern_grants_what_it_says(
    pattern: str, granted: list[str], not_granted: list[str]
) -> None:
    assert [place for place in granted if not covers_host([pattern], place)] == []
    assert [place for place in not_granted if covers_host([pattern], place)] == []


@pytest.mark.parametrize(
    "text",
    ["", "*foo", "*.", "a.*", "a.*.b", "**", "*.*", "http://example.org", "example.org/x",
     "10.0.0.0/8", "*.127.0.0.1", "*.[::1]", "example.org:0", "*:", "*:x", "a b", "[::1", "::1",
     "::1:80"],
)  # fmt: skip
def test_what_is_no_pattern_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is not a host: "):
        HostPattern.of(text)


@pytest.mark.parametrize(
    ("written", "plain"),
    [("*", "*"), ("*:443", "*:443"), ("*.Example.org:80", "*.example.org:80"), ("[0::1]", "[::1]"),
     ("[0::1]:080", "[::1]:80"), ("2130706433", "127.0.0.1")],
)  # fmt: skip
def test_a_pattern_is_shown_in_its_one_spelling(written: str, plain: str) -> None:
    assert str(HostPattern.of(written)) == plain
    assert HostPattern.of(plain) == HostPattern.of(written)


def test_names_that_somebody_owns_never_grant_private_addresses() -> None:
    policy = HostPolicy.of(["*", "nas.example.org", "*.example.org", "1.1.1.1"])

    assert policy.permits("nas.example.org", 443)
    assert not policy.permits_private("nas.example.org", 443)
    assert not policy.permits_private("192.168.1.5", 443)
    assert not policy.permits_private("1.1.1.1", 443)


def test_private_addresses_are_granted_by_naming_them() -> None:
    policy = HostPolicy.of(["192.168.1.5:443", "localhost:8080", "nas", "*.home.arpa"])

    assert policy.permits_private("192.168.1.5", 443)
    assert not policy.permits_private("192.168.1.5", 80)
    assert not policy.permits_private("192.168.1.6", 443)
    assert policy.permits_private("localhost", 8080)
    assert not policy.permits_private("localhost", 80)
    assert policy.permits_private("nas", 80)
    assert policy.permits_private("router.home.arpa", 80)


def test_nothing_is_granted_by_itself() -> None:
    assert not HostPolicy().permits("example.org", 443)
    assert not covers_host([], "*")


def test_what_is_not_known_yet_is_granted_by_the_star_only() -> None:
    assert covers_host(["example.org", "*"], "*")
    assert not covers_host(["example.org", "*.example.org"], "*")


@pytest.mark.parametrize("host", ["example.org", "localhost.example.org", "home.org", "1.1.1.1"])
def test_other_names_are_not_local(host: str) -> None:
    assert not is_local(host)
