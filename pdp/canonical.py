"""Host, method, headers and addresses of a request: canonical, or refused by a named reason.

What comes in is what a gateway passed on, so nothing in it is believed; what goes out has one spelling for one meaning.
Pure and total: every text, surrogates included, is answered by a value. Nothing is repaired but what the table names.
The path is `policy_lang/request.py`'s.

| reason | what was found |
|---|---|
| `request.missing` | no method at all |
| `request.method` | a method that is no token of RFC 9110, is empty or has more than 32 characters |
| `host.missing` | no host at all |
| `host.empty` | a host without a name, such as `:80` |
| `host.too_long` | more characters than a name of 253, a dot and a port |
| `host.userinfo` `host.list` `host.escape` | an `@`, a `,`, a `%` (the zone of an IPv6 address too) |
| `host.character` | anything else that is not a letter, a digit, `-` or `.`, or a bracketed IPv6 address |
| `host.label` | an empty label, one over 63 characters, a `-` at its end, or an address not in plain dotted form |
| `host.port` | a port that is not 1 to 65535 in plain digits |
| `header.name` | a name that is not a token in lower case |
| `header.value` | a control character other than a tab, or a surrogate that stands for no byte |
| `header.alias` | a name that only other marks for `-` tell from a header that rules set or remove, or that is ours |
| `header.too_many` `header.too_large` | more than 256 fields, more than 131,072 characters in all |
| `address.malformed` | an address that is not an IPv4 or IPv6 literal |
| `address.peer` | a peer that is no SPIFFE id |

Repaired: a host's case, its port and one trailing dot are dropped, and an IPv6 address is written as RFC 5952 says.
Design: contracts.md "Which service, which gateway, which caller", "Headers at Envoy"; security.md 2.2.

Decision: 2026-11-21. A host whose last label is a number must be a dotted quad without leading zeros (`host.label`),
because `127.1` and `0x7f.0.0.1` are addresses to many a back end. A v4-mapped IPv6 address as a host is refused
(`host.character`), not folded: a back end that compares hosts as text would see another one than the policy.
Decision: 2026-11-21. The total of the headers leaves room for a token of 100 KB, so that it is refused by `token`.
A tab and bytes that are not UTF-8 may stand in a value (RFC 9110 5.5); no policy reads one as text.
Decision: 2026-11-21. All that may stand in a name beside letters and digits counts as the same mark: CGI, WSGI and PHP
make one variable of `x-user`, `x_user`, `x.user` and `x~user` (CVE-2026-88879), and gateways hand all of them on.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct

from policy_lang.spiffe import LONGEST_IDENTITY, is_workload

MOST_HEADERS = 256
MOST_HEADER_CHARACTERS = 128 * 1024
LONGEST_METHOD = 32
LONGEST_NAME = 253
LONGEST_LABEL = 63
LONGEST_HOST = LONGEST_NAME + len(".:65535")
OWN_PREFIX = "x-portcullis-"
_REMEMBERED = 1024
"""Hosts, peers and rows of header names that were looked at last: there are few, each with very many calls."""

_LONGEST_NAMES = 2048
"""Characters of a row of header names that is remembered."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+(?:\n[!#$%&'*+.^_`|~0-9a-z-]+)*")
_MARK = re.compile(r"[!#$%&'*+.^_`|~]")
"""What may stand in a name of a header beside letters, digits and `-` (RFC 9110 5.6.2)."""
_BAD_VALUE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udc7f\udd00-\udfff]")
_PLAIN = b"\t" + bytes(range(0x20, 0x7F))
_HOST = re.compile(r"[A-Za-z0-9.-]*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_DOTTED_QUAD = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_LONGEST_ADDRESS = 45


class Refusal(Struct, frozen=True):
    """Why a request is not canonical (`by` is `path`) or goes nowhere (`route`): a reason such as `host.userinfo`."""

    by: str
    reason: str


class Headers(Struct, frozen=True):
    """Canonical headers, in order, repeats kept; and every value that claims to be a credential, as it was written."""

    fields: tuple[tuple[str, str], ...]
    authorization: tuple[str, ...]


_NO_HEADERS = Headers((), ())


def canonical_method(raw: str | None) -> str | Refusal:
    """The method as it came (methods have a case, RFC 9110 9.1), or why it is none."""
    if raw is None:
        return _refused("request.missing")
    if len(raw) > LONGEST_METHOD or not _TOKEN.fullmatch(raw):
        return _refused("request.method")
    return raw


def canonical_host(raw: str | None) -> str | Refusal:
    """The host in lower case, without its port and one trailing dot; an IPv6 address keeps its brackets."""
    if raw is None:
        return _refused("host.missing")
    if not raw:
        return _refused("host.empty")
    if len(raw) > LONGEST_HOST:
        return _refused("host.too_long")
    return _host(raw)


@lru_cache(maxsize=_REMEMBERED)
def _host(raw: str) -> str | Refusal:
    for character, reason in (("@", "host.userinfo"), (",", "host.list"), ("%", "host.escape")):
        if character in raw:
            return _refused(reason)
    if raw.startswith("["):
        return _bracketed(raw)
    written, colon, port = raw.partition(":")
    if not _HOST.fullmatch(written):
        return _refused("host.character")
    if colon and not _is_port(port):
        return _refused("host.port")
    return _name(written.lower().removesuffix("."))


def _name(name: str) -> str | Refusal:
    if not name:
        return _refused("host.empty")
    if len(name) > LONGEST_NAME:
        return _refused("host.too_long")
    labels = name.split(".")
    if any(not label or len(label) > LONGEST_LABEL or label[0] == "-" or label[-1] == "-" for label in labels):
        return _refused("host.label")
    if _NUMBER.fullmatch(labels[-1]) and not _DOTTED_QUAD.fullmatch(name):
        return _refused("host.label")
    return name


def _bracketed(raw: str) -> str | Refusal:
    literal, bracket, rest = raw[1:].partition("]")
    address = _ipv6(literal)
    if not bracket or address is None or address.ipv4_mapped is not None:
        return _refused("host.character")
    if rest and not (rest.startswith(":") and _is_port(rest[1:])):
        return _refused("host.port" if rest.startswith(":") else "host.character")
    return f"[{address.compressed}]"


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and int(text) <= 65535


def canonical_headers(headers: tuple[tuple[str, str], ...], guarded: frozenset[str]) -> Headers | Refusal:
    """The headers, checked, with the credentials picked out.

    Shapes: `guarded` are the names, in lower case, that rules set or remove. `authorization` has one entry for each
        value of each `authorization` header: a gateway that joins two of them with a comma does not make one
        credential of them.
    """
    if not headers:
        return _NO_HEADERS
    if len(headers) > MOST_HEADERS:
        return _refused("header.too_many")
    names = "\n".join([name for name, _ in headers])
    values = " ".join([value for _, value in headers])
    if len(names) + 1 + len(values) > MOST_HEADER_CHARACTERS:
        return _refused("header.too_large")
    fault = (_names_fault if len(names) <= _LONGEST_NAMES else _find_fault)(names, len(headers), guarded)
    if fault != "header.name" and not _is_plain(values) and _BAD_VALUE.search(values):
        fault = "header.value"
    if fault:
        return _refused(fault)
    if "authorization" not in names:
        return Headers(headers, ())
    credentials = [part for name, value in headers if name == "authorization" for part in _parts(value)]
    return Headers(headers, tuple(credentials))


def _find_fault(names: str, count: int, guarded: frozenset[str]) -> str:
    """Why these names, a line each, are not those of so many headers; "" where they are."""
    if not _FIELD_NAMES.fullmatch(names) or names.count("\n") != count - 1:
        return "header.name"
    return "header.alias" if _has_alias(names.split("\n"), _MARK.search(names) is not None, guarded) else ""


_names_fault = lru_cache(maxsize=_REMEMBERED)(_find_fault)


def _is_plain(values: str) -> bool:
    """Whether all is printable ASCII or a tab: the common case, ten times as fast as the search it spares."""
    return values.isascii() and not values.encode("ascii").translate(None, _PLAIN)


def _parts(value: str) -> list[str]:
    """SECURITY: no empty part is dropped, so that `Bearer good,` is two values as well."""
    return value.split(",")


def _has_alias(names: Sequence[str], marked: bool, guarded: frozenset[str]) -> bool:
    """Whether a name is not one of ours as it stands, but is one to a back end that reads all marks as `-`. `marked`:
    some name has another mark than `-`.
    """
    if not marked and not any(map(_MARK.search, guarded)):
        return False
    folded_ours = {_folded(name) for name in guarded}
    return any(
        (_folded(name) in folded_ours and name not in guarded)
        or (_folded(name).startswith(OWN_PREFIX) and not name.startswith(OWN_PREFIX))
        for name in names
    )


def _folded(name: str) -> str:
    return _MARK.sub("-", name)


def canonical_address(raw: str | None) -> str | Refusal | None:
    """The address as text of one 128-bit space: a v4-mapped IPv6 address *is* that IPv4 address. None stays None."""
    if raw is None:
        return None
    if _DOTTED_QUAD.fullmatch(raw):  # already canonical; the general way costs five times as much
        return raw
    address = _ipv6(raw)
    if address is None:
        return _refused("address.malformed")
    return address.compressed if address.ipv4_mapped is None else str(address.ipv4_mapped)


def _ipv6(text: str) -> ipaddress.IPv6Address | None:
    """The address, or None; one with a zone is none, because a zone means something on one host only."""
    if len(text) > _LONGEST_ADDRESS or "%" in text:
        return None
    try:
        return ipaddress.IPv6Address(text)
    except ValueError:
        return None


def canonical_peer(raw: str | None) -> str | Refusal:
    """The SPIFFE id of the peer, which has one spelling only; "" where there is no peer."""
    if raw is None:
        return ""
    return raw if len(raw) <= LONGEST_IDENTITY and _is_workload(raw) else _refused("address.peer")


_is_workload = lru_cache(maxsize=_REMEMBERED)(is_workload)


def _refused(reason: str) -> Refusal:
    return Refusal("path", reason)
