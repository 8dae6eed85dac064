"""CheckRequests that a policy allows, mutated, through a real gRPC server to the real service.

The policy allows a call only by exact values, so that an allow tells what must still stand in the message: `essence`
reads that off the message by itself, without any of our readers. Whatever was mutated, an allow is right only where the
essence of what was sent is that of a request that was allowed as it stood.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import grpc
from cryptography.hazmat.primitives.asymmetric import ed25519
from google.protobuf.message import DecodeError
from msgspec import Struct, field

from pdp.evaluate import Evaluator
from pdp.gateways import Gateway
from pdp.identity.bearer import Identity
from pdp.identity.jwks import KeySet, read_key_set
from pdp.identity.jwt import Issuer, Verifier
from pdp.metrics import Metrics
from pdp.runtime.bundle import bundle_of
from pdp.runtime.compiled import engine_of
from pdp.runtime.engine import Engine
from pdp.service import DecisionService, Receipts
from pdp.transports.grpc_server import GrpcListener, serve_grpc
from pdp.transports.messages import CheckRequest, CheckResponse
from tests.support.asking import CHECK
from tests.support.memory_log import MemoryLog
from tests.support.mutations import mutated
from tests.support.tokens import ISSUER, NOW, Signer, key_set, token_of

POLICY = b"""module vault
token user {
  issuer "https://id.example"
  claim sub: string
}
workload front = "spiffe://example/front"
network home = 203.0.113.7/32
signal risk: int 0..100 from "context.risk" key (token.sub) within 5ms else unknown
service vault {
  audience "vault"
  host "desk.example"
  query strict
  header device: string optional from "x-device-id"
  endpoint open    GET /boxes/{owner}  query mode: string optional
  endpoint health  GET /health
}
allow owners
  for any user
  on vault.open
  when path.owner == token.sub
  when header has device and header.device == "d1"
  when request.ip in home
  when request.peer == front
  when signal.risk == 5
  when query has mode and query.mode == "a"
  because "Exactly so and not otherwise"
"""
ALLOWED = "vault.owners"
JWT = "envoy.filters.http.jwt_authn"
GATEWAYS = {
    "plain": Gateway("edge", None, signals=True),
    "verifying": Gateway("edge", None, signals=True, verified_claims="jwt_payload"),
    "behind": Gateway("edge", None, signals=True, trusted_hops=1),
}
AT_ONCE = 16
DEADLINE_S = 60.0
_PORT = re.compile(r":[1-9][0-9]{0,4}\Z")


@cache
def engine() -> Engine:
    return engine_of(bundle_of({"vault.pol": POLICY}), planned=True)


@cache
def signer() -> Signer:
    """A key that is the same in every run, whose signatures are too."""
    return Signer("fuzz", "EdDSA", ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


@cache
def verifier() -> Verifier:
    keys = read_key_set(key_set(signer().jwk()))
    assert isinstance(keys, KeySet)
    return Verifier([Issuer(ISSUER, keys, frozenset({"EdDSA"}), frozenset({"at+jwt"}))])


@cache
def token(sub: str = "u1", aud: str = "vault") -> str:
    return f"Bearer {token_of(signer(), sub=sub, aud=aud)}"


def _base(path: str = "/boxes/u1?mode=a", **headers: str) -> Any:
    message = CheckRequest()
    http = message.attributes.request.http
    http.method, http.path, http.host, http.scheme, http.protocol = "GET", path, "desk.example", "https", "HTTP/2"
    http.id, http.size = "17", -1
    pseudo = {":method": "GET", ":path": path, ":authority": "desk.example", ":scheme": "https"}
    for name, value in (pseudo | {"accept": "*/*", "x-request-id": "r1", "x-device-id": "d1"} | headers).items():
        http.header_map.headers.add(key=name, raw_value=value.encode())
    message.attributes.context_extensions["portcullis.service"] = "vault"
    message.attributes.source.principal = "spiffe://example/front"
    message.attributes.source.address.socket_address.address = "203.0.113.7"
    message.attributes.source.address.socket_address.port_value = 4711
    message.attributes.metadata_context.filter_metadata["portcullis.signals"].update({"risk": 5})
    message.attributes.tls_session.sni = "desk.example"
    message.attributes.request.time.seconds = NOW
    return message


def _joined(message: Any) -> Any:
    """The same with its headers in the other form."""
    for header in message.attributes.request.http.header_map.headers:
        message.attributes.request.http.headers[header.key] = header.raw_value.decode()
    message.attributes.request.http.ClearField("header_map")
    return message


def _verified() -> Any:
    message = _base()
    claims = {"iss": ISSUER, "sub": "u1", "aud": ["vault"], "iat": NOW - 60, "exp": NOW + 600}
    message.attributes.metadata_context.filter_metadata[JWT].update({"jwt_payload": claims})
    return message


def _behind() -> Any:
    message = _base(authorization=token(), **{"x-forwarded-for": "1.2.3.4, 203.0.113.7, 10.0.0.9"})
    message.attributes.source.address.socket_address.address = "10.0.0.9"
    return message


def bases() -> Mapping[str, list[Any]]:
    """By gateway: messages that the policy allows, and with them some that it refuses, to take parts from."""
    refused = [
        _base("/boxes/u2?mode=a", authorization=token()),
        _base(authorization=token("u2")),
        _base(authorization=token(aud="desk")),
        _base(),
        _base("/health"),
    ]
    return {
        "plain": [_base(authorization=token()), _joined(_base(authorization=token())), *refused],
        "verifying": [_verified(), *refused],
        "behind": [_behind(), *refused],
    }


def essence(gateway: str, message: Any) -> object:
    """All that the policy asks of a message, as it stands there; what it does not ask is not in it."""
    attributes = message.attributes
    http = attributes.request.http
    raw = [(h.key.lower(), h.raw_value.decode("utf-8", "replace") or h.value) for h in http.header_map.headers]
    joined = [(name.lower(), value) for name, value in http.headers.items()]
    sent = raw or joined
    signals = attributes.metadata_context.filter_metadata.get("portcullis.signals")
    read = {name: [value for key, value in sent if key == name] for name in ("x-device-id", ":path", ":method")}
    hosts = {_host(value) for key, value in sent if key in {":authority", "host"}} | {_host(http.host)}
    return (
        (http.method, *{*read[":method"]} - {http.method}),
        (http.path, *{*read[":path"]} - {http.path}),
        hosts,
        attributes.context_extensions.get("portcullis.service"),
        attributes.source.principal,
        read["x-device-id"],
        signals.fields["risk"].number_value if signals is not None and "risk" in signals.fields else None,
        _address(gateway, attributes.source.address.socket_address.address, sent),
        {_credential(value) for key, value in [*raw, *joined] if key == "authorization"},
        sum(key == "authorization" for key, _ in sent),
        _claims(attributes) if gateway == "verifying" else None,
    )


def _host(text: str) -> str:
    return _PORT.sub("", text.lower()).removesuffix(".")


def _credential(text: str) -> str:
    scheme, _, rest = text.partition(" ")
    return f"{scheme.lower()} {rest}"


def _address(gateway: str, peer: str, sent: list[tuple[str, str]]) -> object:
    if gateway != "behind":
        return _ip(peer)
    entries = [part.strip(" \t") for key, value in sent if key == "x-forwarded-for" for part in value.split(",")]
    return [_ip(peer) == _ip(entries[-1]), _ip(entries[-2])] if len(entries) > 1 else None


def _ip(text: str) -> object:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def _claims(attributes: Any) -> object:
    metadata = attributes.metadata_context.filter_metadata.get(JWT)
    if metadata is None or "jwt_payload" not in metadata.fields:
        return None
    fields = metadata.fields["jwt_payload"].struct_value.fields
    times = {name: fields[name].number_value for name in ("exp", "iat", "nbf") if name in fields}
    audience = fields["aud"].list_value.values if "aud" in fields else []
    named = {each.string_value for each in audience} | {fields["aud"].string_value if "aud" in fields else ""}
    return (
        fields["iss"].string_value if "iss" in fields else None,
        fields["sub"].string_value if "sub" in fields else None,
        "vault" in named,
        "cnf" in fields,
        times.get("exp", 0) > NOW - 31 and all(times[name] <= NOW + 30 for name in ("iat", "nbf") if name in times),
        times.get("exp", 0) - times.get("iat", times.get("nbf", 0)) <= 24 * 3600,
    )


class Tally(Struct):
    """What was sent and what came back. `wrong` are allows that should be none."""

    checks: int = 0
    unreadable: int = 0
    allowed: int = 0
    recorded: int = 0
    errors: int = 0
    by: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def told(self) -> str:
        shown = ", ".join(f"{by} {count}" for by, count in self.by.most_common())
        return f"{self.checks} checks, {self.unreadable} unreadable, {self.allowed} allowed, refused by {shown}"

    def lacks(self) -> list[str]:
        """What so many checks should have seen and did not: a generator must not be one-sided."""
        shares = {"allowed": self.allowed, "unreadable": self.unreadable}
        lacking = [name for name, count in shares.items() if count < self.checks * 0.05]
        refusing = ("token", "path", "route", "audience", "schema", "default")
        lacking += [f"refused by {by}" for by in refusing if self.by[by] < self.checks / 250]
        return lacking + (
            ["read and refused"] if self.checks - self.allowed - self.unreadable < self.checks / 4 else []
        )


def fuzz(seed: str, checks: int, tally: Tally) -> None:
    """Send so many mutated CheckRequests, drawn from `seed`, and count what became of them."""
    asyncio.run(_fuzz(random.Random(seed), checks, tally))


async def _fuzz(rng: random.Random, checks: int, tally: Tally) -> None:
    receipts = Receipts(asyncio.get_running_loop())
    log = MemoryLog(receipts.settled)
    evaluator = Evaluator(engine, Identity(verifier()), service_from_host=False, compare_every=10)
    service = DecisionService(evaluator, log, receipts, Metrics(), strict_methods=frozenset(), monotonic=time.monotonic)
    listeners = [GrpcListener("127.0.0.1:0", gateway) for gateway in GATEWAYS.values()]
    options: Any = {"ready": lambda: True, "metrics": Metrics(), "acr_values": {}, "grace_s": 0.2}
    async with serve_grpc(service, listeners, clock_us=lambda: NOW * 1_000_000, **options) as addresses:
        channels: list[Any] = [grpc.aio.insecure_channel(address) for address in addresses]
        asks = dict(zip(GATEWAYS, (channel.unary_unary(CHECK) for channel in channels), strict=True))
        await _send(asks, _drawn(rng, checks), tally)
        for channel in channels:
            await channel.close()
    decisions = log.decisions()
    tally.recorded += len(decisions)
    for leaf in decisions:
        by = leaf.clear["by"]
        if leaf.clear["d"] == "deny" and isinstance(by, list):
            tally.by[str(by[0])] += 1


def _drawn(rng: random.Random, checks: int) -> Iterator[tuple[str, bytes]]:
    """Gateways, and what each is made to ask."""
    drawn_from = bases()
    donors = [message for messages in drawn_from.values() for message in messages]
    for _ in range(checks):
        gateway = rng.choice(sorted(drawn_from))
        messages = drawn_from[gateway]
        yield gateway, mutated(messages[0] if rng.random() < 0.7 else rng.choice(messages), donors, rng)


async def _send(asks: Mapping[str, Any], drawn: Iterator[tuple[str, bytes]], tally: Tally) -> None:
    right = {gateway: [essence(gateway, each) for each in messages] for gateway, messages in _permitted().items()}

    async def ask() -> None:
        for gateway, data in drawn:
            tally.checks += 1
            try:
                reply = CheckResponse.FromString(await asks[gateway](data, timeout=DEADLINE_S))
            except (grpc.aio.AioRpcError, DecodeError) as error:
                tally.errors += 1
                tally.wrong.append(f"{gateway} {data.hex()}: {error!r}")
                continue
            _count(gateway, data, reply, right[gateway], tally)

    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))


def _permitted() -> Mapping[str, list[Any]]:
    """What each gateway may pass on: the messages of `bases` that are allowed as they stand."""
    drawn_from = bases()
    tokens, verified, behind = drawn_from["plain"][:2], drawn_from["verifying"][:1], drawn_from["behind"][:1]
    return {"plain": tokens, "verifying": [*verified, *tokens], "behind": behind}


def _count(gateway: str, data: bytes, reply: Any, right: list[object], tally: Tally) -> None:
    try:
        message = CheckRequest.FromString(data)
    except DecodeError:
        message = None
        tally.unreadable += 1
    if reply.WhichOneof("http_response") is None:
        tally.wrong.append(f"{gateway} {data.hex()}: an answer of no kind")
    if reply.status.code != 0:
        return
    tally.allowed += 1
    if message is None or essence(gateway, message) not in right:
        shown = "unreadable" if message is None else json.dumps(repr(essence(gateway, message)))
        tally.wrong.append(f"{gateway} {data.hex()}: allowed, {shown}")
