"""What of a configuration does not go with the rest of it, though each key by itself is sound.

The tables come in, a sentence for each contradiction goes out; nothing is read or resolved.

Decision: 2026-11-21. Types of tokens that were never meant to be presented to an API (ID tokens, DPoP proofs, logout
and security event tokens) cannot be configured as access tokens.
Decision: 2026-11-21. What several hosts share is not sent in clear over a network: who could change it on its way would
withdraw revocations.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping, Sequence
from urllib.parse import parse_qs, urlsplit

from pdp.audit.checkpoint import CheckpointError, parse_vkey
from pdp.config_identity import AdminConfig, IssuerConfig, MintingConfig, SharedConfig
from pdp.config_tables import GatewayConfig, HttpConfig, ListenerConfig, LogConfig
from pdp.config_words import FETCHED
from pdp.identity.profiles import PROFILES
from pdp.minting.keys import MintingAlgorithm, Rotation
from pdp.toml_keys import repeated
from policy_lang.diagnostics import nearest

NOT_ACCESS_TOKENS = frozenset(
    {"dpop+jwt", "id-token", "id_token", "id-token+jwt", "id_token+jwt", "logout+jwt", "secevent+jwt"}
)


ASKED_OF_STORES: Mapping[str, frozenset[str]] = {
    "redis": frozenset(),
    "rediss": frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}),
    "postgresql": frozenset({"sslmode", "sslrootcert", "sslcert", "sslkey", "application_name"}),
}
"""Parameters that the address of a store may have. Others name another host, a password, or take TLS apart."""


def of_addresses(listeners: Sequence[ListenerConfig], http: HttpConfig, admin: AdminConfig) -> Iterator[str]:
    """Addresses that several things have."""
    addresses = [*(each.address for each in listeners), http.address, admin.address or ":0"]
    for address in repeated([address for address in addresses if not address.endswith(":0")]):
        yield f"two listeners have the address `{address}`: give each its own"


def of_issuers(issuers: Sequence[IssuerConfig]) -> Iterator[str]:
    """Issuers of one name, keys that are nowhere or in two places, types and algorithms that no access token has."""
    for url in repeated([issuer.url for issuer in issuers]):
        yield f"two issuers have the url `{url}`: write one, with the keys of both"
    for issuer in issuers:
        yield from _keys_of(issuer)
        yield from _profile_of(issuer)
        for name in sorted(NOT_ACCESS_TOKENS & set(issuer.types or ())):
            yield f"`types` of the issuer `{issuer.url}` names `{name}`, which is no access token: leave it out"


def _keys_of(issuer: IssuerConfig) -> Iterator[str]:
    """What of the place of an issuer's keys does not fit. There is exactly one."""
    said = [issuer.keys is not None, issuer.jwks_url is not None, issuer.discovery]
    place = f"the issuer `{issuer.url}`"
    if sum(said) > 1:
        yield f"{place} says in several ways where its keys are: leave one of `keys`, `jwks_url` and `discovery`"
        return
    if not any(said):
        yield f"{place} needs one of `keys`, `jwks_url` and `discovery = true`, which say where its public keys are"
        return
    asked = issuer.jwks_url or (issuer.url if issuer.discovery else None)
    if asked is None:
        return
    if not FETCHED.pattern.fullmatch(asked) or (issuer.discovery and "?" in asked):
        yield f"{place}: for `discovery` its url must be {FETCHED.wanted}, without a query"
    elif asked.startswith("http:") and not _is_here(urlsplit(asked).hostname or ""):
        yield f"{place}: its keys would be asked for without TLS: write https, or an http URL of this host"
    if not issuer.cooldown_s <= issuer.refresh_s <= issuer.max_stale_s:
        yield f"{place}: `cooldown_s` must be at most `refresh_s`, and that at most `max_stale_s`"
    for network in issuer.networks:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            yield f"{place}: `networks` has `{network}`, which is none ({error}): write such as 10.1.0.0/16"


def _profile_of(issuer: IssuerConfig) -> Iterator[str]:
    """What of the form of an issuer's tokens does not fit its profile."""
    place = f"the issuer `{issuer.url}`"
    profile = PROFILES.get(issuer.profile or "")
    if profile is None:
        if issuer.audience_from is not None:
            yield f"{place}: `audience_from` goes with a `profile`, which says when `aud` may be absent"
        return
    if beyond := set(issuer.algorithms) - profile.algorithms:
        yield f"{place}: tokens of `{profile.name}` are not signed with {', '.join(sorted(beyond))}: leave it out"
    if beyond := set(issuer.types or ()) - profile.types:
        yield f"{place}: tokens of `{profile.name}` have no `typ` {', '.join(sorted(beyond))}: leave `types` out"


def of_gateways(gateways: Sequence[GatewayConfig]) -> Iterator[str]:
    """Gateways that cannot be told apart."""
    for name in repeated([each.name for each in gateways]):
        yield f"two gateways have the name `{name}`: give each its own"
    for identity in repeated([each.identity for each in gateways if each.identity is not None]):
        yield f"two gateways have the identity `{identity}`: give each its own"
    for digest in repeated([digest for each in gateways for digest in each.keys_sha256]):
        yield f"two gateways have the key `{digest[:8]}…`: draw one for each"


def of_listeners(listeners: Sequence[ListenerConfig], gateways: Collection[str]) -> Iterator[str]:
    """Listeners at which nobody, or anybody, is known; `gateways` are the names there are."""
    for number, listener in enumerate(listeners):
        yield from _listening(f"listeners[{number}]", listener, gateways)


def _listening(place: str, listener: ListenerConfig, gateways: Collection[str]) -> Iterator[str]:
    """What of a listener does not fit the rest. Who asks there must be known by exactly one thing."""
    named, encrypted = listener.gateway, listener.certificate is not None
    if named is not None and named not in gateways:
        hint = nearest(named, gateways) or "write its [[gateways]]"
        yield f"`{place}.gateway` is `{named}`, which no [[gateways]] has for a name: {hint}"
    by_certificate = listener.client_ca is not None
    if encrypted != (listener.private_key is not None):
        yield f"`{place}` has one of `certificate` and `private_key`: give both for TLS, or neither"
    elif by_certificate and not encrypted:
        yield f"`{place}.client_ca` takes a `certificate` and a `private_key`: without TLS nobody shows a certificate"
    elif by_certificate and named is not None:
        yield f"`{place}` has a `gateway` and a `client_ca`: the certificate says who asks, so leave `gateway` out"
    elif named is None and not by_certificate and listener.protocol == "grpc":
        yield f"`{place}.gateway` is missing: name who asks there, or give a `client_ca` that gateways prove it by"
    elif named is not None and encrypted and not listener.address.startswith("unix:"):
        yield f"`{place}` is for a network and names its `gateway`: anybody could be that; give a `client_ca` instead"


def of_log(log: LogConfig) -> Iterator[str]:
    """A root that is no key of this log; witnesses that are nowhere, or at hosts that nobody may ask."""
    if log.root is not None:
        try:
            name = parse_vkey(log.root).name
        except CheckpointError as error:
            yield f"`log.root`: {error.detail}"
        else:
            if name != log.origin:
                yield f"`log.root` is a key of {name!r}, the log is {log.origin!r}: a root is named like its log"
    if (log.witness_policy is None) != (not log.witness_hosts):
        yield "`log` has one of `witness_policy` and `witness_hosts`: write both, or neither"


def of_minting(minting: MintingConfig, gateways: Sequence[GatewayConfig]) -> Iterator[str]:
    """Times by which a published set could be too old for a token; gateways that wait for tokens of nobody."""
    if minting.url is None and minting != MintingConfig():
        yield "`minting` has no `url`: say what this service is called as an issuer, or leave the table out"
    for number, gateway in enumerate(gateways):
        if minting.url is None and "issue_token" in (gateway.capabilities or ()):
            place = f"`gateways[{number}].capabilities`"
            yield f"{place} has `issue_token`, and there is no `url` in [minting]: write it, or leave the word out"
    try:
        rotation_of(minting)
    except ValueError as error:
        yield f"`minting`: {error}"


def rotation_of(minting: MintingConfig) -> Rotation:
    """How the minting keys follow each other. ValueError where the times do not go together."""
    algorithm: MintingAlgorithm = "EdDSA" if minting.algorithm == "EdDSA" else "ES256"
    return Rotation(algorithm, minting.rotate_every_s, minting.publish_ahead_s, minting.life_s)


def of_shared(shared: SharedConfig) -> Iterator[str]:
    """A store that is none, or that is asked in clear over a network."""
    if shared.store is None:
        if shared.password_file is not None:
            yield "`shared.password_file` goes with `store`, which it is the password for"
        return
    try:
        parts = urlsplit(shared.store)
        host, _ = parts.hostname, parts.port
    except ValueError:
        yield "`shared.store` is no address: write such as redis://NAME@127.0.0.1:6379/0, and the password into a file"
        return
    if parts.password is not None:
        yield "`shared.store` holds a password: put it into a file, and name that as `password_file`"
    asked = parse_qs(parts.query, keep_blank_values=True)
    for name in sorted(asked.keys() - ASKED_OF_STORES[parts.scheme]):
        known = ", ".join(sorted(ASKED_OF_STORES[parts.scheme])) or "none"
        yield f"`shared.store` may not say `{name}`: of its parameters these are taken: {known}"
    encrypted = parts.scheme == "rediss" or asked.get("sslmode") == ["verify-full"]
    if not host:
        yield "`shared.store` names no host: write such as redis://127.0.0.1:6379/0"
    elif not encrypted and not _is_here(host):
        yield f"`shared.store` asks {host} without TLS: write `rediss://`, or `sslmode=verify-full` for postgresql"


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def of_admin(admin: AdminConfig) -> Iterator[str]:
    """An address at which anybody, or nobody, could administer."""
    others = {
        "certificate": admin.certificate,
        "private_key": admin.private_key,
        "client_ca": admin.client_ca,
        "identities": admin.identities or None,
    }
    given = sorted(name for name, value in others.items() if value is not None)
    if admin.address is None and given:
        yield f"`admin` has {', '.join(given)} and no `address`: say where to listen, or leave all out"
    missing = sorted(set(others) - set(given))
    if admin.address is not None and missing:
        yield f"`admin.address` needs {', '.join(missing)}: who administers over a network proves it by a certificate"
