"""Station (1) of a request: from what a gateway passed on to one call, spelt in one way, or a refusal by name.

An `Inquiry` goes in, a `CanonicalCall` comes out, or the first refusal of path, host, method (or of the action and its
resource), headers, address and peer. Of the headers only those go on that some endpoint of the policy reads. Pure.
INVARIANT: a header that rules set or remove reaches an upstream from an answer or not at all. Where the gateway's own
configuration names the headers it carries, and is older than the policy, a client that sends one it does not know is
refused (`header.loose`), and nothing is set by that gateway (pdp/evaluate.py) until its files are written anew.
Design: contracts.md "Requests", "Headers at Envoy"; language.md point B.

Decision: 2026-11-21. A call that names both a path and an action is `request.ambiguous`: nobody can say which of the
two will be carried out.
"""

from __future__ import annotations

from typing import NamedTuple, cast

from msgspec import Struct

from pdp.canonical import (
    Headers,
    Refusal,
    canonical_address,
    canonical_headers,
    canonical_host,
    canonical_method,
    canonical_peer,
)
from pdp.model import Inquiry, Json
from pdp.runtime.vocabulary import Vocabulary
from policy_lang.request import Path, PathRefusal, canonical_path
from policy_lang.verdict import ActionCall, HttpCall, Origin

LONGEST_TARGET = 16_384
"""Characters of a path with its query: what a record can hold whole, so that every allow can be decided again."""

LONGEST_ID = 1_024
"""Characters of an action, and of the type and the id of a resource."""


class CanonicalCall(Struct, frozen=True):
    """The call, its origin, and all its headers. `host` is "" for a call that is not HTTP."""

    call: HttpCall | ActionCall
    host: str
    headers: Headers
    origin: Origin


def canonical_call(inquiry: Inquiry, vocabulary: Vocabulary) -> CanonicalCall | Refusal:
    """The call that a gateway asks about, under a policy of this vocabulary."""
    called = _request(inquiry) if inquiry.action is None else _action(inquiry)
    if isinstance(called, Refusal):
        return called
    headers = canonical_headers(inquiry.headers, vocabulary.guarded_headers)
    if isinstance(headers, Refusal):
        return headers
    loose = loose_headers(inquiry, vocabulary)
    if loose and any(name in loose for name, _ in headers.fields):
        return Refusal("path", "header.loose")
    address = canonical_address(inquiry.ip)
    if isinstance(address, Refusal):
        return address
    peer = canonical_peer(inquiry.peer)
    if isinstance(peer, Refusal):
        return peer
    origin = Origin(address, peer, inquiry.gateway if inquiry.identity is None else inquiry.identity, inquiry.tls)
    if isinstance(called, ActionCall):
        return CanonicalCall(called, "", headers, origin)
    call = HttpCall(called.method, called.path, called.host, _by_name(headers, vocabulary.headers))
    return CanonicalCall(call, called.host, headers, origin)


def loose_headers(inquiry: Inquiry, vocabulary: Vocabulary) -> frozenset[str]:
    """The headers that rules set or remove, and the gateway would neither set nor keep back."""
    return frozenset() if inquiry.carries is None else vocabulary.guarded_headers - inquiry.carries


class _Request(NamedTuple):
    """What a call with a path is for."""

    method: str
    path: Path
    host: str


def _request(inquiry: Inquiry) -> _Request | Refusal:
    if inquiry.path is None or inquiry.host is None or inquiry.method is None:
        return Refusal("path", "request.missing")
    if len(inquiry.path) > LONGEST_TARGET:
        return Refusal("path", "path.too_long")
    path = canonical_path(inquiry.path)
    if isinstance(path, PathRefusal):
        return Refusal("path", path.reason)
    host = canonical_host(inquiry.host)
    if isinstance(host, Refusal):
        return host
    method = canonical_method(inquiry.method)
    return method if isinstance(method, Refusal) else _Request(method, path, host)


def _action(inquiry: Inquiry) -> ActionCall | Refusal:
    """An action on a resource; nothing of HTTP may stand beside it."""
    if inquiry.path is not None or inquiry.host is not None or inquiry.method is not None:
        return Refusal("path", "request.ambiguous")
    match inquiry.resource:
        case {"type": str(type_), "id": str(id_), **others} if inquiry.action and type_ and id_:
            properties = others.get("properties", {})
            if not isinstance(properties, dict) or not set(others) <= {"properties"}:
                return Refusal("path", "request.missing")
            if max(map(len, (inquiry.action, type_, id_))) > LONGEST_ID:
                return Refusal("path", "request.too_long")
            return ActionCall(inquiry.action, type_, id_, cast("dict[str, Json]", properties))
        case _:
            return Refusal("path", "request.missing")


def _by_name(headers: Headers, wanted: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """The values of each header that some endpoint reads, in order."""
    if not wanted:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for name, value in headers.fields:
        if name in wanted:
            found[name] = (*found.get(name, ()), value)
    return found
