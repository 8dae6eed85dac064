"""The tables of `pdp.toml`: each key declared once, with what it may hold and what it means.

Frozen values, no file is touched. `pdp.config` reads them, and `docs/configuration.md` is written from them.
Design: contracts.md "Bundles, places, configuration", "Which service, which gateway, which caller".

Decision: 2026-11-21. Who asks us is one thing, a gateway, whether it passes calls on (Envoy, nginx) or asks for itself
(an application over AuthZEN): each has a name, services, capabilities and one way to prove who it is. What policies
call it is its `identity`, a SPIFFE id, since `via` compares those; without one no `via` holds by it.
Decision: 2026-11-21. `issue_token` takes somebody who makes tokens (`[minting]`): without, the word is a mistake, and
an allow that needs it is refused. `redact` is for those who ask for themselves: nothing in an answer of ext_authz
or forward-auth redacts a body.
Decision: 2026-11-21. Readings in metadata are read only where a gateway says `signals`: other filters write there too.
Decision: 2026-11-21. Who called, from where and whether encrypted is believed over the native API only where a gateway
says `peers`: a policy that lets a workload in compares `peer`, which is the word of whoever asks there. Over ext_authz
and forward-auth a gateway is there to say it.
Decision: 2026-11-21. A key of a gateway stands here by its digest: a configuration that is read by others opens
nothing. Keys are random, so that one round of SHA-256 is enough.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pdp.config_identity import AdminConfig, IssuerConfig, MintingConfig, SharedConfig
from pdp.config_words import DIGEST, HEADER, HOST, METHOD, NAME, ORIGIN, PRINTABLE, PUBLIC, SPIFFE
from pdp.toml_keys import Address, Flag, Place, Text, Texts, Whole, key
from policy_lang.verdict import CAPABILITIES

ABLE: tuple[str, ...] = tuple(sorted(CAPABILITIES))
"""What a gateway can be said to do."""


@dataclass(frozen=True, slots=True)
class LogConfig:
    """The table `[log]`."""

    origin: str = field(
        default="portcullis.local/log",
        metadata=key(
            ORIGIN,
            "the name of this log in its checkpoints, fixed when the log begins; best under a domain name of yours",
            '"pdp.shop.example/log"',
        ),
    )
    strict_by_default: tuple[str, ...] = field(
        default=(),
        metadata=key(
            Texts(METHOD, may_be_empty=True, wanted="an array of HTTP methods"),
            "calls by these methods are answered only when their record is synced to disk, whatever the policy says",
            '["POST", "DELETE"]',
        ),
    )
    checkpoint_interval_ms: int = field(
        default=1000,
        metadata=key(Whole(10, 60_000), "the time between two signed checkpoints of the log, in milliseconds", "1000"),
    )
    key_days: int = field(
        default=0,
        metadata=key(
            Whole(0, 3650),
            "after how many days the key that signs the log is replaced by the next one and destroyed; 0: never. "
            "Witnesses must be told of `keys/next.vkey` before",
            "30",
        ),
    )
    raw_segments: int = field(
        default=0,
        metadata=key(
            Whole(0, 1_000_000),
            "how many sealed segments (65,536 records each) stay raw; older ones are archived in `log/archive`, a zip "
            "each, which `pdp audit` reads as well; 0: all stay raw, as other verifiers want them",
            "16",
        ),
    )
    root: str | None = field(
        default=None,
        metadata=key(
            PRINTABLE,
            "the verifier key, named like the log, whose private half is kept elsewhere and signs who the keys of the "
            "log are; fixed when the log begins",
            '"pdp.shop.example/log+b9c7b8a3+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"',
        ),
    )
    witness_policy: Path | None = field(
        default=None,
        metadata=key(
            Place(),
            "a tlog-policy file: the witnesses with their addresses, and how many are enough",
            '"witnesses.policy"',
        ),
    )
    witness_hosts: tuple[str, ...] = field(
        default=(),
        metadata=key(
            Texts(HOST, may_be_empty=True, wanted="an array of host names in lower case"),
            "the only hosts at which witnesses are asked",
            '["witness.example.org"]',
        ),
    )
    witness_seconds: int = field(
        default=10, metadata=key(Whole(1, 3600), "the time between two rounds of witnesses, in seconds", "10")
    )
    explained_refusals_per_second: int = field(
        default=50,
        metadata=key(
            Whole(0, 100_000),
            "how many refusals by `default` a second have the clauses that failed in their record, at most; fewer "
            "where looking for them would take more than a twentieth of the service's time, and none at endpoints with "
            "more than some hundreds of rules: their records say so (`nx`)",
            "50",
        ),
    )


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """The table `[http]`."""

    address: str = field(
        default="127.0.0.1:8181",
        metadata=key(
            Address(unix=False),
            "where `/healthz`, `/readyz` and `/metrics` are served, and AuthZEN to whoever is on this host and says a "
            "key; port 0 is any free one",
            '"127.0.0.1:8181"',
        ),
    )
    public_url: str | None = field(
        default=None,
        metadata=key(
            PUBLIC,
            "what this service is known as to those who ask over AuthZEN: the address of whatever ends their TLS, "
            "which its metadata document names",
            '"https://pdp.shop.example"',
            "there is no metadata document",
        ),
    )


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """One table of `[[gateways]]`."""

    name: str = field(
        metadata=key(NAME, "the name of who asks, as records and `pdp check --gateway` call it", '"edge"')
    )
    services: tuple[str, ...] | None = field(
        default=None,
        metadata=key(
            Texts(NAME, wanted="an array of names of services"),
            "the services it may ask about; any other is refused",
            '["orders", "payments"]',
            "every service",
        ),
    )
    identity: str | None = field(
        default=None,
        metadata=key(
            SPIFFE,
            "its SPIFFE id: what its certificate says where a listener asks for one, and the name by which policies "
            "know it (`via`)",
            '"spiffe://shop.example/edge"',
            "none: no certificate is its own, and no `via` holds by it",
        ),
    )
    keys_sha256: tuple[str, ...] = field(
        default=(),
        metadata=key(
            Texts(DIGEST, may_be_empty=True, wanted="an array of SHA-256 digests, 64 hex digits each"),
            "digests of the keys by which it may say over HTTP who it is (`Authorization: Bearer KEY`); two while one "
            "takes the other's place. A key is drawn at random, 32 bytes or more",
            f'["{64 * "0"}"]',
        ),
    )
    capabilities: tuple[str, ...] | None = field(
        default=None,
        metadata=key(
            Texts(choices=ABLE, may_be_empty=True, wanted="an array of names"),
            "what it does with our answers; an allow that needs more is refused by `capability`",
            '["answer", "remove_header", "set_header", "step_up"]',
            "over ext_authz and forward-auth what the example says; over AuthZEN and the native API what each request "
            "lists",
        ),
    )
    signals: bool = field(
        default=False,
        metadata=key(
            Flag(),
            "whether its readings for `context.NAME` are believed: over ext_authz those in the metadata "
            "`portcullis.signals`, where every filter before the check can write; elsewhere the request's own",
            "false",
        ),
    )
    trusted_hops: int = field(
        default=0,
        metadata=key(
            Whole(0, 16),
            "how many proxies before this gateway are ours: so many entries of `x-forwarded-for`, counted from the "
            "right, are proxies, and the next one is the client's address",
            "0",
        ),
    )
    verified_claims: str | None = field(
        default=None,
        metadata=key(
            PRINTABLE,
            "the key (Envoy: `payload_in_metadata`) under which its filter `jwt_authn` hands on the claims of a token "
            "that it verified and took away; the issuer must be one of `[[issuers]]`",
            '"jwt_payload"',
            "none: only tokens that are verified here",
        ),
    )
    subjects: bool = field(
        default=False,
        metadata=key(
            Flag(), "whether it may say who the subject of a request is (AuthZEN, the native API), unproved", "false"
        ),
    )
    peers: bool = field(
        default=False,
        metadata=key(
            Flag(),
            "whether it may say over the native API who called it (`peer`), from where (`ip`) and whether encrypted "
            "(`tls`), unproved",
            "false",
        ),
    )
    headers: tuple[str, ...] | None = field(
        default=None,
        metadata=key(
            Texts(HEADER, may_be_empty=True, wanted="an array of header names in lower case"),
            "the headers that its own configuration takes from our answers and keeps back from clients; where the "
            "policy sets or removes another, no header is set by it, and a client that sends that one is refused",
            '["x-user"]',
            "whichever an answer names, as Envoy does",
        ),
    )
    explain: bool = field(
        default=False,
        metadata=key(Flag(), "whether it may ask why (`Explain` of the native API), which shows rules", "false"),
    )
    requests_per_second: int = field(
        default=0,
        metadata=key(
            Whole(0, 1_000_000),
            "how many requests a second are answered over AuthZEN and the native API, each item of a batch one; more "
            "are refused (429); ext_authz and forward-auth are not counted; 0 is any number",
            "500",
        ),
    )


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """One table of `[[listeners]]`."""

    address: str = field(
        metadata=key(
            Address(unix=True),
            "where it listens; the path of a Unix socket counts from the folder of this file. Without a certificate "
            "an address of this host alone",
            '"127.0.0.1:9191"',
        )
    )
    gateway: str | None = field(
        default=None,
        metadata=key(
            NAME,
            "who asks here, by its name in `[[gateways]]`: for an address that nobody else can reach",
            '"edge"',
            "whoever proves to be one of `[[gateways]]`, by a certificate, or over HTTP by a key",
        ),
    )
    protocol: str = field(
        default="grpc",
        metadata=key(
            Text(re.compile("grpc|http"), '"grpc" or "http"'),
            '"grpc" for ext_authz and the native API, "http" for AuthZEN and forward-auth',
            '"grpc"',
        ),
    )
    certificate: Path | None = field(
        default=None,
        metadata=key(Place(), "the file with the certificate it shows, and its chain (PEM)", '"server.pem"', "no TLS"),
    )
    private_key: Path | None = field(
        default=None, metadata=key(Place(), "the file with the key of `certificate` (PEM)", '"server.key"', "no TLS")
    )
    client_ca: Path | None = field(
        default=None,
        metadata=key(
            Place(),
            "the file with the authorities (PEM) that sign the certificates of gateways; who has none is not let in",
            '"gateways-ca.pem"',
            "nobody is asked for a certificate",
        ),
    )


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """The table `[limits]`."""

    message_bytes: int = field(
        default=1024 * 1024,
        metadata=key(
            Whole(1024, 32 * 1024 * 1024),
            "the largest request of a gateway that is read; raise it where bodies of requests are sent along",
            "1048576",
        ),
    )
    http_body_bytes: int = field(
        default=1024 * 1024,
        metadata=key(Whole(1024, 32 * 1024 * 1024), "the largest body of an AuthZEN request that is read", "1048576"),
    )


DEFAULT_GATEWAY = GatewayConfig(name="edge")
DEFAULT_LISTENER = ListenerConfig(address="127.0.0.1:9191", gateway="edge")
CHALLENGES = "challenges"
CHALLENGE_EXAMPLE = 'mfa = "urn:example:acr:mfa"'
TABLES: Mapping[str, type] = MappingProxyType(
    {
        "log": LogConfig,
        "http": HttpConfig,
        "limits": LimitsConfig,
        "minting": MintingConfig,
        "shared": SharedConfig,
        "admin": AdminConfig,
    }
)
ARRAYS: Mapping[str, type] = MappingProxyType(
    {"gateways": GatewayConfig, "listeners": ListenerConfig, "issuers": IssuerConfig}
)
