"""The tables of `pdp.toml` that say who is trusted and who proves what: issuers, minted tokens, what is shared, admins.

Frozen values, no file is touched (pdp/config_tables.py, of which this is the other half).

Decision: 2026-11-21. A key that goes by itself with others (`[admin]`, `[minting]`) turns the whole on: without `url`
nothing is minted, without `address` nobody administers over a network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from pdp.config_words import FETCHED, HOST, NETWORK, PRINTABLE, PUBLIC, SPIFFE, YEAR_S
from pdp.identity.jwks import ALGORITHMS
from pdp.identity.jwt import DEFAULT_LEEWAY_S, DEFAULT_LIFETIME_S, MOST_LEEWAY_S
from pdp.identity.profiles import PROFILES, type_name
from pdp.minting.keys import MOST_ROTATE_S, MOST_TOKEN_LIFE_S
from pdp.toml_keys import Address, Flag, Place, Text, Texts, Whole, key


@dataclass(frozen=True, slots=True)
class IssuerConfig:
    """One table of `[[issuers]]`."""

    url: str = field(
        metadata=key(PRINTABLE, "the issuer, exactly as `iss` in its tokens says it", '"https://id.example"')
    )
    algorithms: tuple[str, ...] = field(
        metadata=key(
            Texts(choices=ALGORITHMS, wanted="an array of names"),
            "the algorithms its tokens may be signed with; a token only selects among them",
            '["ES256"]',
        )
    )
    keys: Path | None = field(
        default=None,
        metadata=key(
            Place(),
            "the file with its public keys, a JWK set (RFC 7517); this, `jwks_url` or `discovery`",
            '"jwks.json"',
            "they are asked for over the network",
        ),
    )
    jwks_url: str | None = field(
        default=None,
        metadata=key(
            FETCHED,
            "where its public keys, a JWK set, are asked for, again and again (`refresh_s`): the very address that "
            "answers with them, since no redirect is followed",
            '"https://id.example/keys"',
            "`keys`, or what its own document says",
        ),
    )
    discovery: bool = field(
        default=False,
        metadata=key(
            Flag(),
            "whether the document at `url` and `/.well-known/openid-configuration` behind it says where its public "
            "keys are (`jwks_uri`), at the host of `url` or at one of `hosts`; `url` is then an https URL without a "
            "query, or an http one of this host alone",
            "false",
        ),
    )
    hosts: tuple[str, ...] = field(
        default=(),
        metadata=key(
            Texts(HOST, wanted="an array of host names in lower case"),
            "other hosts that may be asked for its keys, beside that of `jwks_url` or `url`",
            '["www.keys.example"]',
            "none",
        ),
    )
    networks: tuple[str, ...] = field(
        default=(),
        metadata=key(
            Texts(NETWORK, wanted="an array of networks, `10.1.0.0/16`"),
            "networks that are not public, in which these hosts may be; elsewhere no private address is asked",
            '["10.1.0.0/16"]',
            "none",
        ),
    )
    authorities: Path | None = field(
        default=None,
        metadata=key(
            Place(),
            "the file with the authorities (PEM) that sign the certificates of these hosts",
            '"internal-ca.pem"',
            "those of the system",
        ),
    )
    refresh_s: int = field(
        default=300, metadata=key(Whole(1, 86_400), "how often its keys are asked for, in seconds", "300")
    )
    cooldown_s: int = field(
        default=30,
        metadata=key(
            Whole(1, 3_600),
            "the least time between two times of asking, in seconds, whatever keys tokens name",
            "30",
        ),
    )
    max_stale_s: int = field(
        default=86_400,
        metadata=key(
            Whole(1, YEAR_S),
            "how long its last keys count while it cannot be asked, in seconds; then all its tokens are refused",
            "86400",
        ),
    )
    types: tuple[str, ...] | None = field(
        default=None,
        metadata=key(
            Texts(PRINTABLE, fold=type_name, wanted="an array of media types"),
            "the `typ` its tokens may have, with or without `application/`, in any case",
            '["at+jwt"]',
            "those of `profile`, else `at+jwt`",
        ),
    )
    profile: str | None = field(
        default=None,
        metadata=key(
            Text(re.compile("|".join(PROFILES)), f"one of {', '.join(PROFILES)}"),
            "what its tokens look like besides: which claims must be there, and what tells them from its other tokens",
            '"keycloak"',
            "nothing is asked beyond the keys here",
        ),
    )
    audience_from: tuple[str, ...] | None = field(
        default=None,
        metadata=key(
            Texts(PRINTABLE, wanted="an array of names, from the outermost claim inwards"),
            "the claim that stands in for `aud` where a token of this `profile` has none",
            '["azp"]',
            "that of `profile`: `client_id` for cognito, none for others",
        ),
    )
    leeway_s: int = field(
        default=DEFAULT_LEEWAY_S,
        metadata=key(Whole(0, MOST_LEEWAY_S), "how far its clock and ours may differ, in seconds", "30"),
    )
    max_lifetime_s: int = field(
        default=DEFAULT_LIFETIME_S,
        metadata=key(
            Whole(1, YEAR_S),
            "the longest time from `iat` (else `nbf`) to `exp`, in seconds; a token with neither is refused",
            "3600",
        ),
    )
    allow_multi_audience: bool = field(
        default=False,
        metadata=key(Flag(), "whether one token may name several of our services in `aud`", "false"),
    )
    session_max_s: int | None = field(
        default=None,
        metadata=key(
            Whole(1, YEAR_S),
            "how long after the login (`auth_time`, which every token must then have) its tokens are taken, in "
            "seconds; `leeway_s` adds nothing to it",
            "28800",
            "as long as they are good",
        ),
    )
    session_idle_s: int | None = field(
        default=None,
        metadata=key(
            Whole(1, YEAR_S),
            "how long a session (`sid`, which every token must then have) may rest: its tokens are refused once it was "
            "not used for so long and `leeway_s` besides, in seconds",
            "1800",
            "as long as it likes",
        ),
    )


@dataclass(frozen=True, slots=True)
class MintingConfig:
    """The table `[minting]`."""

    url: str | None = field(
        default=None,
        metadata=key(
            PUBLIC,
            "what this service is called as an issuer: the `iss` of the tokens that it makes, whose keys are to be "
            "found under it, at `/.well-known/jwks.json`",
            '"https://pdp.shop.example"',
            "no token is made: an allow of a rule with `must issue token` is refused",
        ),
    )
    client_id: str = field(
        default="portcullis",
        metadata=key(PRINTABLE, "the `client_id` of all these tokens: of whoever carries them to a service", '"edge"'),
    )
    algorithm: str = field(
        default="ES256",
        metadata=key(Text(re.compile("ES256|EdDSA"), '"ES256" or "EdDSA"'), "what they are signed with", '"ES256"'),
    )
    life_s: int = field(
        default=60,
        metadata=key(
            Whole(2, MOST_TOKEN_LIFE_S),
            "how long one lives at most, in seconds; it is handed out again in the first half of its life",
            "60",
        ),
    )
    rotate_every_s: int = field(
        default=86_400,
        metadata=key(Whole(60, MOST_ROTATE_S), "how long one key signs, in seconds", "86400"),
    )
    publish_ahead_s: int = field(
        default=3_600,
        metadata=key(
            Whole(1, MOST_ROTATE_S),
            "how long a key is published before it signs, in seconds: at least `life_s` and a minute, and at most half "
            "of `rotate_every_s`. Services may keep the published set for half of it",
            "3600",
        ),
    )


@dataclass(frozen=True, slots=True)
class SharedConfig:
    """The table `[shared]`."""

    store: str | None = field(
        default=None,
        metadata=key(
            Text(
                re.compile(r"(?:rediss?|postgresql)://[!-~]+"),
                "an address that begins with `redis://`, `rediss://` or `postgresql://`",
            ),
            "where the services of several hosts keep what they share: revocations, and when sessions were last used. "
            "Without TLS (`rediss`, or `sslmode=verify-full`) on this host alone",
            '"rediss://portcullis@redis.shop.example:6379/0"',
            "a file of `state`",
        ),
    )
    password_file: Path | None = field(
        default=None,
        metadata=key(
            Place(),
            "the file with the password for `store`, one line; nobody but its owner, who is this service's user or "
            "root, may read it (mode 0600)",
            '"store.password"',
            "no password",
        ),
    )
    revoked: Path | None = field(
        default=None,
        metadata=key(
            Place(),
            "a file that is looked at every second: what it lists is revoked, besides what `pdp admin revoke` was told",
            '"revoked.jsonl"',
            "none",
        ),
    )


@dataclass(frozen=True, slots=True)
class AdminConfig:
    """The table `[admin]`."""

    address: str | None = field(
        default=None,
        metadata=key(
            Address(unix=False),
            "where `pdp admin` may ask over a network, by TLS with a certificate of its own; port 0 is any free one",
            '"0.0.0.0:9444"',
            "only the Unix socket in `state`",
        ),
    )
    certificate: Path | None = field(
        default=None,
        metadata=key(Place(), "the file with the certificate shown there, and its chain (PEM)", '"admin.pem"', "none"),
    )
    private_key: Path | None = field(
        default=None, metadata=key(Place(), "the file with the key of that certificate (PEM)", '"admin.key"', "none")
    )
    client_ca: Path | None = field(
        default=None,
        metadata=key(
            Place(),
            "the file with the authorities (PEM) that sign the certificates of administrators",
            '"admins-ca.pem"',
            "none",
        ),
    )
    identities: tuple[str, ...] = field(
        default=(),
        metadata=key(
            Texts(SPIFFE, wanted="an array of SPIFFE ids"),
            "the SPIFFE ids of those who may administer there: what their certificates say",
            '["spiffe://shop.example/admin/anna"]',
            "nobody",
        ),
    )
