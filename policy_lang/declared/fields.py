"""Single declared texts and what expressions meet: slots, tags, hosts, scopes, identities; each checked on its own.

Tree nodes go in, values come out, or None where something is wrong; mistakes are appended to the list that is passed
along.
Source: contracts.md "Which service…" (hosts), "Requests" (headers); RFC 6749 3.3 (scopes); RFC 9110 5.1 (headers); the
SPIFFE ID standard, section 2.

Decision: 2026-11-21. A host is compared with what the service makes of a Host header, so it is declared as that comes
out: lower case, no port, no final dot; an IPv6 address in brackets, written shortest.
Decision: 2026-11-21. A workload has a path: the identity of a whole trust domain names nobody.
"""

from __future__ import annotations

import ipaddress
import re

from msgspec import Struct

from policy_lang import tree
from policy_lang.diagnostics import Diagnostic, Label
from policy_lang.mistakes.names import BadText, DuplicateName
from policy_lang.source import Span
from policy_lang.typesystem import Type

IMPLICIT_CLAIMS = ("aud", "scope")
"""Sets of string that every token has, present always."""

IMPLICIT_PROPERTIES = ("id",)
"""A string that every asserted subject and every resource has, present always."""

_SCOPE_TOKEN = re.compile(r"[!#-\[\]-~]+")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
LONGEST_NAME = 253
"""Characters of a host name (RFC 1035 2.3.4, without the final dot)."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_CREDENTIALS = ("authorization", "cookie", "host")
OWN_HEADERS = "x-portcullis-"
"""How the names of headers begin that only the product writes."""


class Slot(Struct, frozen=True):
    """What an expression meets where it reads an input: its type, whether it may be missing, where it is declared."""

    type: Type
    optional: bool
    declared: Span | None


class Tag(Struct, frozen=True):
    """A tag of an endpoint or a service: text of type string, or a value of an enum."""

    value: str
    type: Type
    declared: Span


def duplicate(again: tree.Name, first: tree.Name) -> DuplicateName:
    """The mistake of a name that is declared twice."""
    return DuplicateName(span=again.span, name=again.text, others=(Label(first.span, "declared here"),))


def checked_scope(text: tree.Text, found: list[Diagnostic]) -> str | None:
    """A scope as a token can hold it: visible ASCII, no space, no quote, no backslash."""
    if _SCOPE_TOKEN.fullmatch(text.value):
        return text.value
    found.append(BadText(span=text.span, what="scope", value=text.value, why="no token can hold it (RFC 6749 3.3)"))
    return None


def header_fault(name: str) -> str | None:
    """Why no endpoint can declare the header of this lower-case name; None where one can."""
    if not _HEADER_NAME.fullmatch(name):
        return "it is no name of a header (RFC 9110 5.1)"
    if name in _CREDENTIALS:
        return "it says who calls, or whom; rules read that from `token` and `request`"
    if name.startswith(OWN_HEADERS):
        return f"names that begin with `{OWN_HEADERS}` are ours"
    return None


def is_canonical_host(host: str) -> bool:
    """Whether a host is written as canonicalisation leaves one."""
    if host.startswith("[") and host.endswith("]"):
        try:
            address = ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            return False
        return address.ipv4_mapped is None and address.compressed == host[1:-1] and address.scope_id is None
    labels = host.split(".")
    if len(host) > LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        return False
    return not _NUMBER.fullmatch(labels[-1]) or _is_ipv4(host)


def _is_ipv4(host: str) -> bool:
    try:
        return str(ipaddress.IPv4Address(host)) == host
    except ValueError:
        return False
