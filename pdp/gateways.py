"""Who asks us: gateways, as the configuration declares them, and how one proves to be it.

The declarations come in; out comes the gateway of a name, of a certificate or of a key, or nobody. What a gateway may
ask about and can do goes into every inquiry it makes (`pdp.model.Inquiry`).
INVARIANT: nobody is a gateway by what a request says of itself: the name is that of the address that was asked at, the
identity stands in a certificate that TLS has proved, a key is known by its digest alone.
Design: contracts.md "Which service, which gateway, which caller"; language.md point G.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from pdp.config_tables import GatewayConfig
from pdp.model import AUTHORIZATION, EXT_AUTHZ, Capability, capabilities_named

SHORTEST_KEY = 32
"""Characters of a key; a shorter one is nobody's, whatever its digest."""


class Gateway(Struct, frozen=True):
    """Who asks, and what it may ask about (None: every service).

    `capabilities` None: what the protocol says it can do, or the request lists. `signals`: its readings are believed.
    `trusted_hops`, `verified_claims`, `subjects`, `peers`, `explain`, `headers` (None: any) and `per_second` (0: any
    number) as `GatewayConfig` has them.
    """

    name: str
    services: frozenset[str] | None
    identity: str | None = None
    capabilities: frozenset[Capability] | None = None
    signals: bool = False
    trusted_hops: int = 0
    verified_claims: str | None = None
    subjects: bool = False
    explain: bool = False
    per_second: int = 0
    peers: bool = False
    headers: frozenset[str] | None = None

    @property
    def passing_on(self) -> frozenset[Capability]:
        """What it can do with answers to calls that it passes on."""
        return EXT_AUTHZ if self.capabilities is None else self.capabilities & EXT_AUTHZ

    @property
    def forwarding(self) -> frozenset[Capability]:
        """The same where it asks by forward-auth: a token takes the place of the caller's only where it is said that
        the gateway's own configuration takes `authorization` from the answer.
        """
        said = self.capabilities is not None or (self.headers is not None and AUTHORIZATION in self.headers)
        return self.passing_on if said else self.passing_on - {"issue_token"}

    def listed(self, words: Iterable[str]) -> frozenset[Capability]:
        """What it can do with answers to what it asks for itself, where its request lists these words."""
        said = capabilities_named(frozenset(words))
        return said if self.capabilities is None else said & self.capabilities


UNKNOWN = Gateway("unknown", frozenset())
"""Who has proved to be somebody, and is no gateway of ours: it may ask about nothing."""


class Connection(Struct, frozen=True):
    """What a connection says by itself. `gateway` None: anybody may have opened it. `private`: nobody on the way can
    read what is said (TLS, a Unix socket, this host), so that a key may be said.
    """

    gateway: Gateway | None
    private: bool


class Gateways(Struct, frozen=True):
    """The gateways of a configuration. `by_key` has SHA-256 digests, in hex."""

    by_name: Mapping[str, Gateway] = field(default_factory=dict)
    by_identity: Mapping[str, Gateway] = field(default_factory=dict)
    by_key: Mapping[str, Gateway] = field(default_factory=dict)

    @classmethod
    def of(cls, declared: Iterable[GatewayConfig]) -> Gateways:
        """The gateways as declared; names, identities and keys differ."""
        found = [(each, gateway_of(each)) for each in declared]
        return cls(
            {each.name: gateway for each, gateway in found},
            {each.identity: gateway for each, gateway in found if each.identity is not None},
            {digest: gateway for each, gateway in found for digest in each.keys_sha256},
        )

    def of_certificate(self, names: Iterable[str]) -> Gateway:
        """The gateway of a verified certificate with these URI names, or `UNKNOWN`: an SVID has exactly one URI (SPIFFE
        X.509-SVID 2).
        """
        uris = list(names)
        return self.by_identity.get(uris[0], UNKNOWN) if len(uris) == 1 else UNKNOWN

    def of_key(self, key: str) -> Gateway | None:
        """The gateway of a key, or None. Digests are looked up, so that the time it takes tells nobody of others."""
        if len(key) < SHORTEST_KEY or not key.isascii():
            return None
        return self.by_key.get(hashlib.sha256(key.encode("ascii")).hexdigest())


def gateway_of(declared: GatewayConfig) -> Gateway:
    """One gateway as the configuration declares it."""
    return Gateway(
        declared.name,
        None if declared.services is None else frozenset(declared.services),
        declared.identity,
        None if declared.capabilities is None else capabilities_named(declared.capabilities),
        declared.signals,
        declared.trusted_hops,
        declared.verified_claims,
        declared.subjects,
        declared.explain,
        declared.requests_per_second,
        declared.peers,
        None if declared.headers is None else frozenset(declared.headers),
    )
