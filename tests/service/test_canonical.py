"""Host, method, headers, addresses: one spelling for one meaning, or a named refusal."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdp.canonical import (
    MOST_HEADER_CHARACTERS,
    MOST_HEADERS,
    Headers,
    Refusal,
    canonical_address,
    canonical_headers,
    canonical_host,
    canonical_method,
    canonical_peer,
)
from policy_lang import addresses

HOSTS: dict[str, tuple[str, str]] = {
    "plain": ("orders.example", "orders.example"),
    "case": ("Orders.EXAMPLE", "orders.example"),
    "port": ("orders.example:8443", "orders.example"),
    "trailing dot": ("orders.example.", "orders.example"),
    "dot and port": ("orders.example.:443", "orders.example"),
    "one label": ("localhost", "localhost"),
    "punycode": ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    "hyphens inside": ("a--b.example", "a--b.example"),
    "ipv4": ("10.0.0.1:80", "10.0.0.1"),
    "ipv6": ("[2001:DB8:0:0::1]", "[2001:db8::1]"),
    "ipv6 and port": ("[::1]:65535", "[::1]"),
    "a label of 63": ("a" * 63 + ".example", "a" * 63 + ".example"),
    "a name of 253": (".".join(["a" * 49] * 5) + ".abc.:65535", ".".join(["a" * 49] * 5) + ".abc"),
    "a number that is not last": ("1.example", "1.example"),
}


@pytest.mark.parametrize(("raw", "canonical"), HOSTS.values(), ids=HOSTS)
def test_a_host_is_folded(raw: str, canonical: str) -> None:
    assert canonical_host(raw) == canonical
    assert canonical_host(canonical) == canonical


BAD_HOSTS: dict[str, tuple[str | None, str]] = {
    "absent": (None, "host.missing"),
    "empty": ("", "host.empty"),
    "port alone": (":80", "host.empty"),
    "dot alone": (".", "host.empty"),
    "user": ("user@a.example", "host.userinfo"),
    "user with a port": ("a.example:80@b.example", "host.userinfo"),
    "escaped dot": ("a.example%2eevil", "host.escape"),
    "zone": ("[fe80::1%eth0]", "host.escape"),
    "two hosts": ("a.example,b.example", "host.list"),
    "space": ("a.example b.example", "host.character"),
    "space before": (" a.example", "host.character"),
    "newline after": ("a.example\n", "host.character"),
    "nul": ("a.example\0", "host.character"),
    "path": ("a.example/x", "host.character"),
    "backslash": ("a.example\\x", "host.character"),
    "fragment": ("a.example#x", "host.character"),
    "query": ("a.example?x", "host.character"),
    "underscore": ("a_b.example", "host.character"),
    "wildcard": ("*.example", "host.character"),
    "not ASCII": ("b\u00fccher.example", "host.character"),
    "kelvin sign": ("\u212aa.example", "host.character"),
    "full stop of another script": ("a\u3002example", "host.character"),
    "surrogate": ("a\udcff.example", "host.character"),
    "open bracket": ("[::1", "host.character"),
    "empty brackets": ("[]", "host.character"),
    "name in brackets": ("[a.example]", "host.character"),
    "ipv4 in brackets": ("[10.0.0.1]", "host.character"),
    "mapped address": ("[::ffff:10.0.0.1]", "host.character"),
    "text after brackets": ("[::1]a", "host.character"),
    "two dots at the end": ("a.example..", "host.label"),
    "empty label": ("a..example", "host.label"),
    "dot first": (".a.example", "host.label"),
    "hyphen first": ("-a.example", "host.label"),
    "hyphen last": ("a-.example", "host.label"),
    "a label of 64": ("a" * 64 + ".example", "host.label"),
    "short address": ("127.1", "host.label"),
    "decimal address": ("2130706433", "host.label"),
    "octal address": ("0177.0.0.1", "host.label"),
    "hex address": ("0x7f.0.0.0x1", "host.label"),
    "hex number": ("0X7F000001", "host.label"),
    "octet of 256": ("10.0.0.256", "host.label"),
    "five octets": ("1.2.3.4.5", "host.label"),
    "no port": ("a.example:", "host.port"),
    "port 0": ("a.example:0", "host.port"),
    "port 65536": ("a.example:65536", "host.port"),
    "port 080": ("a.example:080", "host.port"),
    "port of letters": ("a.example:http", "host.port"),
    "port of other digits": ("a.example:\u0668\u0660", "host.port"),
    "two ports": ("a.example:80:90", "host.port"),
    "ipv6 without brackets": ("::1", "host.port"),
    "ipv6 no port": ("[::1]:", "host.port"),
    "a name of 254": (".".join(["a" * 49] * 5) + ".abcd", "host.too_long"),
    "a megabyte": ("a" * 1_000_000, "host.too_long"),
}


@pytest.mark.parametrize(("raw", "reason"), BAD_HOSTS.values(), ids=BAD_HOSTS)
def test_a_host_is_refused_by_name(raw: str | None, reason: str) -> None:
    assert canonical_host(raw) == Refusal("path", reason)


@given(st.text() | st.text(st.sampled_from("aA1.-:[]x0%@,"), max_size=20))
def test_any_host_has_an_answer_and_folding_twice_is_folding_once(raw: str) -> None:
    once = canonical_host(raw)
    if isinstance(once, str):
        assert canonical_host(once) == once
        assert once == once.lower()


METHODS: dict[str, tuple[str | None, str | Refusal]] = {
    "get": ("GET", "GET"),
    "lower case stays": ("get", "get"),
    "unknown": ("M-SEARCH", "M-SEARCH"),
    "32 characters": ("M" * 32, "M" * 32),
    "absent": (None, Refusal("path", "request.missing")),
    "empty": ("", Refusal("path", "request.method")),
    "33 characters": ("M" * 33, Refusal("path", "request.method")),
    "space": ("GET ", Refusal("path", "request.method")),
    "newline": ("GET\n", Refusal("path", "request.method")),
    "not ASCII": ("G\u00cbT", Refusal("path", "request.method")),
    "colon": ("GET:", Refusal("path", "request.method")),
}


@pytest.mark.parametrize(("raw", "wanted"), METHODS.values(), ids=METHODS)
def test_a_method_is_a_token(raw: str | None, wanted: str | Refusal) -> None:
    assert canonical_method(raw) == wanted


def headers_of(*headers: tuple[str, str], identity: frozenset[str] = frozenset()) -> Headers | Refusal:
    return canonical_headers(headers, identity)


IDENTITY = frozenset({"x-user-id", "x_tenant"})

GOOD_HEADERS: dict[str, tuple[tuple[str, str], ...]] = {
    "none": (),
    "plain": (("accept", "*/*"), ("x-a", "")),
    "repeated": (("x-a", "1"), ("x-a", "2")),
    "tab": (("x-a", "1\t2"),),
    "unicode": (("x-a", "\u00e9\u20ac\U0001f600"),),
    "bytes that are not UTF-8": (("x-a", "\udc80\udcff"),),
    "any token": (("!#$%&'*+-.^_`|~09az", "x"),),
    "an identity header itself": (("x-user-id", "root"), ("x_tenant", "t")),
    "one of our own": (("x-portcullis-decision", "x"),),
    "an underscore of no meaning": (("x_other", "x"), ("x_portcullis", "x")),
    "as many as may be": (("a", "b"),) * MOST_HEADERS,
    "as large as may be": (("a", "b" * (MOST_HEADER_CHARACTERS - 2)),),
}


@pytest.mark.parametrize("headers", GOOD_HEADERS.values(), ids=GOOD_HEADERS)
def test_headers_pass_as_they_are(headers: tuple[tuple[str, str], ...]) -> None:
    assert headers_of(*headers, identity=IDENTITY) == Headers(headers, ())


BAD_HEADERS: dict[str, tuple[tuple[tuple[str, str], ...], str]] = {
    "upper case": ((("Accept", "x"),), "header.name"),
    "empty name": ((("", "x"),), "header.name"),
    "pseudo-header": (((":path", "/"),), "header.name"),
    "space in a name": ((("a b", "x"),), "header.name"),
    "newline in a name": ((("a\nb", "x"),), "header.name"),
    "newline after a name": ((("a\n", "x"),), "header.name"),
    "name not ASCII": ((("\u00e9", "x"),), "header.name"),
    "name a kelvin sign": ((("\u212a", "x"),), "header.name"),
    "nul": ((("a", "x\0"),), "header.value"),
    "line feed": ((("a", "x\nb: y"),), "header.value"),
    "carriage return": ((("a", "x\ry"),), "header.value"),
    "escape": ((("a", "\x1b[0m"),), "header.value"),
    "delete": ((("a", "\x7f"),), "header.value"),
    "c1 control": ((("a", "\x85"),), "header.value"),
    "a surrogate that is no byte": ((("a", "\ud800"),), "header.value"),
    "a low surrogate that is no byte": ((("a", "\udc7f"),), "header.value"),
    "control in the second": ((("a", "x"), ("b", "\x01")), "header.value"),
    "alias": ((("x_user_id", "root"),), "header.alias"),
    **{f"alias by {mark}": (((f"x{mark}user{mark}id", "root"),), "header.alias") for mark in "!#$%&'*+.^_`|~"},
    "alias of one of ours by a dot": ((("x-portcullis.decision", "x"),), "header.alias"),
    "half alias": ((("x-user_id", "root"),), "header.alias"),
    "alias of a name with an underscore": ((("x-tenant", "t"),), "header.alias"),
    "alias beside the header": ((("x-user-id", "a"), ("x_user_id", "b")), "header.alias"),
    "alias of one of ours": ((("x_portcullis_decision", "x"),), "header.alias"),
    "alias of one of ours, half": ((("x-portcullis_rule", "x"),), "header.alias"),
    "too many": ((("a", "b"),) * (MOST_HEADERS + 1), "header.too_many"),
    "too large": ((("a", "b" * (MOST_HEADER_CHARACTERS - 1)),), "header.too_large"),
    "too large together": ((("a", "b" * 1024),) * 128, "header.too_large"),
    "too large by names": ((("a" * MOST_HEADER_CHARACTERS, ""),), "header.too_large"),
}


@pytest.mark.parametrize(("headers", "reason"), BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_headers_are_refused_by_name(headers: tuple[tuple[str, str], ...], reason: str) -> None:
    assert headers_of(*headers, identity=IDENTITY) == Refusal("path", reason)


def test_our_own_names_have_aliases_without_any_identity_header() -> None:
    assert headers_of(("x_portcullis-decision", "x")) == Refusal("path", "header.alias")


CREDENTIALS: dict[str, tuple[tuple[tuple[str, str], ...], tuple[str, ...]]] = {
    "none": ((("accept", "Bearer x"), ("proxy-authorization", "Bearer x")), ()),
    "one": ((("authorization", "Bearer x"),), ("Bearer x",)),
    "empty": ((("authorization", ""),), ("",)),
    "two": ((("authorization", "Bearer x"), ("a", "b"), ("authorization", "Bearer y")), ("Bearer x", "Bearer y")),
    "joined": ((("authorization", "Bearer good,Bearer evil"),), ("Bearer good", "Bearer evil")),
    "joined with nothing": ((("authorization", "Bearer good,"),), ("Bearer good", "")),
    "space is kept": ((("authorization", " Bearer x "),), (" Bearer x ",)),
}


@pytest.mark.parametrize(("headers", "wanted"), CREDENTIALS.values(), ids=CREDENTIALS)
def test_every_credential_is_picked_out(headers: tuple[tuple[str, str], ...], wanted: tuple[str, ...]) -> None:
    canonical = headers_of(*headers)
    assert isinstance(canonical, Headers)
    assert canonical.authorization == wanted


@given(st.lists(st.tuples(st.text(max_size=3), st.text(st.characters(categories=None), max_size=3)), max_size=3))
def test_what_passes_holds_no_control_and_no_surrogate_that_is_no_byte(headers: list[tuple[str, str]]) -> None:
    canonical = canonical_headers(tuple(headers), frozenset())
    if isinstance(canonical, Headers):
        for name, value in canonical.fields:
            assert name
            assert name.isascii()
            assert all(c == "\t" or not (ord(c) < 32 or 127 <= ord(c) < 160) for c in value)
            assert value.encode("utf-8", "surrogateescape") is not None


ADDRESSES: dict[str, tuple[str | None, str | Refusal | None]] = {
    "absent": (None, None),
    "ipv4": ("10.20.3.4", "10.20.3.4"),
    "ipv6": ("2001:DB8:0:0::1", "2001:db8::1"),
    "mapped": ("::ffff:10.20.3.4", "10.20.3.4"),
    "mapped in hex": ("::FFFF:0a14:0304", "10.20.3.4"),
    "mapped in full": ("0000:0000:0000:0000:0000:ffff:255.255.255.255", "255.255.255.255"),
    "compatible stays": ("::1.2.3.4", "::102:304"),
}


@pytest.mark.parametrize(("raw", "wanted"), ADDRESSES.values(), ids=ADDRESSES)
def test_an_address_has_one_spelling(raw: str | None, wanted: str | None) -> None:
    assert canonical_address(raw) == wanted


BAD_ADDRESSES = {
    "empty": "",
    "port": "10.0.0.1:80",
    "leading zero": "010.0.0.1",
    "short": "127.1",
    "number": "2130706433",
    "octet of 256": "10.0.0.256",
    "space": " 10.0.0.1",
    "newline": "10.0.0.1\n",
    "network": "10.0.0.0/8",
    "brackets": "[::1]",
    "zone": "fe80::1%eth0",
    "other digits": "1\u0660.0.0.1",
    "name": "localhost",
    "two": "10.0.0.1,10.0.0.2",
    "surrogate": "\udcff",
    "long": "0" * 100_000,
}


@pytest.mark.parametrize("raw", BAD_ADDRESSES.values(), ids=BAD_ADDRESSES)
def test_an_address_is_refused(raw: str) -> None:
    assert canonical_address(raw) == Refusal("path", "address.malformed")


PEERS: dict[str, tuple[str | None, str | Refusal]] = {
    "nobody": (None, ""),
    "a SPIFFE id": ("spiffe://mesh.example/ns/shop/sa/cart", "spiffe://mesh.example/ns/shop/sa/cart"),
    "a trust domain alone": ("spiffe://mesh.example", Refusal("path", "address.peer")),
    "another scheme": ("https://mesh.example/x", Refusal("path", "address.peer")),
    "upper case": ("spiffe://Mesh.example/x", Refusal("path", "address.peer")),
    "a step up": ("spiffe://mesh.example/a/../b", Refusal("path", "address.peer")),
    "an empty segment": ("spiffe://mesh.example//x", Refusal("path", "address.peer")),
    "a query": ("spiffe://mesh.example/x?y", Refusal("path", "address.peer")),
    "a newline": ("spiffe://mesh.example/x\n", Refusal("path", "address.peer")),
    "other letters": ("spiffe://mesh.example/\u0430", Refusal("path", "address.peer")),
    "empty": ("", Refusal("path", "address.peer")),
    "without end": ("spiffe://mesh.example/" + "x" * 100_000, Refusal("path", "address.peer")),
}


@pytest.mark.parametrize(("raw", "wanted"), PEERS.values(), ids=PEERS)
def test_a_peer_has_one_spelling_or_is_refused(raw: str | None, wanted: str | Refusal) -> None:
    assert canonical_peer(raw) == wanted


@given(st.ip_addresses())
def test_every_address_is_its_own_and_one_with_its_mapped_form(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """canonical(a) names a; canonical(mapped a) = canonical(a); canonical o canonical = canonical."""
    canonical = canonical_address(address.exploded)
    assert isinstance(canonical, str)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    assert ipaddress.ip_address(canonical) == (mapped or address)
    assert canonical_address(canonical) == canonical == addresses.canonical(address.exploded)
    if address.version == 4:
        assert canonical_address(f"::ffff:{address}") == canonical


@given(st.text(st.sampled_from("0123456789."), max_size=15) | st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,3}){3}"))
def test_ipv4_is_what_the_standard_library_reads(raw: str) -> None:
    try:
        wanted: str | Refusal = str(ipaddress.IPv4Address(raw))
    except ValueError:
        wanted = Refusal("path", "address.malformed")
    assert canonical_address(raw) == wanted
