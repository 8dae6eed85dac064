"""What stands in the attributes of a CheckRequest, piece by piece: headers, addresses, body, metadata.

Messages come in, plain values go out; `pdp.transports.ext_authz.read` puts them together. Pure: nothing is believed
here and nothing repaired. What Envoy did not say, or says in a way that leaves a choice, is None.
SECURITY: what a client can write stands in headers alone, and in the path. Of those headers two are read here as the
gateway's own words, and only so far: of `x-forwarded-for` the entries that our own proxies wrote, counted from the
right, and `x-envoy-auth-partial-body`, of which Envoy strips the client's (measured, 1.40).
Design: gateways.md 1; security.md 2.2.

Decision: 2026-11-21. The client's address is that of the connection, or with `trusted_hops` an entry of
`x-forwarded-for`, where the entry next to ours is the very peer of the connection: so Envoy writes it under
`use_remote_address: true`. Anything else is unknown: an Envoy that appends nothing (`use_remote_address: false`,
`skip_xff_append`), too few entries, one with a port, and a peer on the gateway's own loopback, for which Envoy appends
the host's address instead (all measured). Who can reach the gateway past the proxies that are counted writes what it
likes; that is the network's to prevent.
Decision: 2026-11-21. A body is whole where one `content-length` says as many bytes as are at hand, and nothing speaks
against it. Envoy's own `x-envoy-auth-partial-body: false` is no proof: of a body in chunks that fill its buffer exactly
it says so while more bytes follow (measured, 1.40), and how large its buffer is nobody tells us.
Decision: 2026-11-21. A connection is encrypted where there is a server name or a certificate of the client, which only
TLS brings along: `tls_session` by itself is there on plain connections too (measured, 1.40). Whether any other is
encrypted is not known.
"""

from __future__ import annotations

from pdp.canonical import Refusal, canonical_address
from pdp.model import Body, Json
from pdp.transports.forwarded import client_address
from pdp.transports.messages import Wire
from pdp.transports.pairs import Pairs, sole, values_of

SIGNALS = "portcullis.signals"
"""The namespace of dynamic metadata that readings stand in, by the NAME of `context.NAME`."""

VERIFIED = "envoy.filters.http.jwt_authn"
"""The namespace that Envoy's own filter writes the claims of tokens to that it verified."""

PARTIAL = "x-envoy-auth-partial-body"

DEEPEST_READING = 8
"""Nesting of a reading that is looked at; signals are scalars and sets of them."""

DEEPEST = 100
"""More than any message that was parsed is nested."""

EXACT = 2**53
"""Whole numbers below it are themselves as a double."""


def headers_of(http: Wire) -> Pairs:
    """Every header as sent, pseudo-headers included: names in lower case, bytes that are not UTF-8 as surrogates."""
    headers = http.headers
    joined = tuple([(name.lower(), headers[name]) for name in headers])
    if not http.HasField("header_map"):
        return joined
    raw = tuple(
        (header.key.lower(), value.decode("utf-8", "surrogateescape") if (value := header.raw_value) else header.value)
        for header in http.header_map.headers
    )
    if not raw or not joined:
        return raw or joined
    one, other = values_of(raw, "authorization"), values_of(joined, "authorization")
    if ",".join(one) == ",".join(other):
        return raw
    doubt = [("authorization", value) for value in (*(one or ("",)), *(other or ("",)))]
    return (*(pair for pair in raw if pair[0] != "authorization"), *doubt)


def address_of(source: Wire, sent: Pairs, hops: int) -> str | None:
    """The client's address, behind so many proxies of ours; None where nobody who is trusted said one."""
    peer = source.address.socket_address.address or None
    if hops == 0 or peer is None:
        return peer
    forwarded = values_of(sent, "x-forwarded-for")
    if _plain(client_address(forwarded, 0)) != (own := _plain(peer)) or own is None:
        return None
    return _plain(client_address(forwarded, hops))


def _plain(text: str | None) -> str | None:
    """The one spelling of an address, or None."""
    address = canonical_address(text)
    return None if isinstance(address, Refusal) else address


def is_encrypted(attributes: Wire) -> bool | None:
    """Whether the client's connection is known to be encrypted."""
    source = attributes.source
    named = attributes.HasField("tls_session") and attributes.tls_session.sni
    return True if named or source.principal or source.certificate else None


def body_of(http: Wire, sent: Pairs) -> Body | None:
    """What is known of the body; None where no byte of one came along. Its content is not looked at."""
    at_hand = len(http.raw_body) or len(http.body.encode())
    if not at_hand:
        return None
    length = sole(sent, "content-length")
    whole = length is not None and length.isascii() and length.isdigit() and int(length[:20]) == at_hand
    return Body(at_hand, truncated=not whole or "true" in values_of(sent, PARTIAL) or http.size > at_hand)


def readings_of(attributes: Wire) -> dict[str, Json]:
    """The readings that stand in the metadata of a call."""
    metadata = attributes.metadata_context.filter_metadata
    if SIGNALS not in metadata:
        return {}
    return {name: _json(value, 0, DEEPEST_READING) for name, value in metadata[SIGNALS].fields.items()}


def verified_claims(attributes: Wire, key: str) -> dict[str, Json] | None:
    """The claims that Envoy's `jwt_authn` handed on under `key`; None where it handed on none. Something else than
    claims is claims without a member, which no issuer made.
    """
    metadata = attributes.metadata_context.filter_metadata
    if VERIFIED not in metadata or key not in metadata[VERIFIED].fields:
        return None
    claims = _json(metadata[VERIFIED].fields[key], 0, DEEPEST)
    return claims if isinstance(claims, dict) else {}


def _json(value: Wire, depth: int, deepest: int) -> Json:
    """A value of protobuf's JSON, whole numbers below 2^53 as integers; null for what is nested deeper than that."""
    match value.WhichOneof("kind"):
        case "bool_value":
            return bool(value.bool_value)
        case "number_value":
            number = float(value.number_value)
            return int(number) if number.is_integer() and abs(number) < EXACT else number
        case "string_value":
            return str(value.string_value)
        case "list_value" if depth < deepest:
            return [_json(each, depth + 1, deepest) for each in value.list_value.values]
        case "struct_value" if depth < deepest:
            return {name: _json(each, depth + 1, deepest) for name, each in value.struct_value.fields.items()}
        case _:
            return None
