"""The configuration: one TOML file, read whole or not at all.

The text of `pdp.toml` comes in, a frozen `Config` goes out. Every key is declared once, here, with what it means;
`docs/configuration.md` is written from these declarations by `tools/config_docs.py`.
INVARIANT: a key that is not declared is an error, never ignored, so that a slip is never a default. All problems of a
file are reported together.
Errors: ConfigError C101 (the file cannot be read), C102 (not TOML), C103 (keys or values that do not fit).
Design: contracts.md "Bundles, places, configuration".

Decision: 2026-11-21. Without `[[listeners]]` there is one, at 127.0.0.1:9191, called `edge`, for every service.
Decision: 2026-11-21. A gateway is a listener: who asks is known by where it asks. What policies call it is its
`identity`, a SPIFFE id, since `via` compares those; without one no `via` holds by it.
Decision: 2026-11-21. A listener cannot be said to have the capabilities `redact` and `issue_token`: nothing in an
ext_authz answer redacts a body, and there is no key yet to sign a token with. An allow that needs them is refused.
Decision: 2026-11-21. Readings in metadata are read only where a listener says `signals`: other filters write there too.
Decision: 2026-11-21. Types of tokens that were never meant to be presented to an API (ID tokens, DPoP proofs, logout
and security event tokens) cannot be configured as access tokens.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from pdp.errors import ConfigError
from pdp.identity.jwks import ALGORITHMS
from pdp.identity.jwt import DEFAULT_LEEWAY_S, DEFAULT_LIFETIME_S, MOST_LEEWAY_S, type_name
from pdp.model import EXT_AUTHZ
from pdp.toml_keys import (
    Address,
    Flag,
    Made,
    Place,
    TableReader,
    Text,
    Texts,
    Whole,
    key,
    keys_of,
    repeated,
)

LARGEST_FILE = 1024 * 1024
YEAR_S = 365 * 24 * 60 * 60

NOT_ACCESS_TOKENS = frozenset(
    {"dpop+jwt", "id-token", "id_token", "id-token+jwt", "id_token+jwt", "logout+jwt", "secevent+jwt"}
)

_PRINTABLE = Text(re.compile(r"[!-~]+"), "a string of printable characters without spaces")
_NAME = Text(re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*"), "a name of letters, digits, `.`, `_`, `/` and `-`")
_METHOD = Text(re.compile(r"[A-Z][A-Z-]{0,31}"), "an HTTP method in upper case")
_LABEL = Text(re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*"), "a label, with or without its module")
_SETTINGS = Text(re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"), "a name of letters, digits, `.`, `_` and `-`")
_SPIFFE = Text(re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/[A-Za-z0-9._-]+)+"), "a SPIFFE id, `spiffe://domain/path`")
_DIGEST = Text(re.compile(r"[0-9a-f]{64}"), "64 hex digits")
_ORIGIN = Text(re.compile(r"[!-*,-~]+"), "a string of printable characters without spaces and `+`")


@dataclass(frozen=True, slots=True)
class LogConfig:
    """The table `[log]`."""

    origin: str = field(
        default="portcullis.local/log",
        metadata=key(
            _ORIGIN,
            "the name of this log in its checkpoints, fixed when the log begins; best under a domain name of yours",
            '"pdp.shop.example/log"',
        ),
    )
    strict_by_default: tuple[str, ...] = field(
        default=(),
        metadata=key(
            Texts(_METHOD, may_be_empty=True, wanted="an array of HTTP methods"),
            "calls by these methods are answered only when their record is synced to disk, whatever the policy says",
            '["POST", "DELETE"]',
        ),
    )
    checkpoint_interval_ms: int = field(
        default=1000,
        metadata=key(Whole(10, 60_000), "the time between two signed checkpoints of the log, in milliseconds", "1000"),
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
            "where `/healthz`, `/readyz` and `/metrics` are served; port 0 is any free one",
            '"127.0.0.1:8181"',
        ),
    )


@dataclass(frozen=True, slots=True)
class ListenerConfig:
    """One table of `[[listeners]]`."""

    address: str = field(
        metadata=key(
            Address(unix=True),
            "where a gateway asks, over gRPC; the path of a Unix socket counts from the folder of this file",
            '"127.0.0.1:9191"',
        )
    )
    gateway: str = field(
        metadata=key(_NAME, "the name of the gateway that asks here, as policies and records call it", '"edge"')
    )
    services: tuple[str, ...] | None = field(
        default=None,
        metadata=key(
            Texts(_NAME, wanted="an array of names of services"),
            "the services this gateway may ask about; any other is refused",
            '["orders", "payments"]',
            "every service",
        ),
    )
    identity: str | None = field(
        default=None,
        metadata=key(
            _SPIFFE,
            "the SPIFFE id by which policies know this gateway (`via`)",
            '"spiffe://shop.example/edge"',
            "none: no `via` holds by the gateway",
        ),
    )
    capabilities: tuple[str, ...] = field(
        default=tuple(sorted(EXT_AUTHZ)),
        metadata=key(
            Texts(choices=tuple(sorted(EXT_AUTHZ)), may_be_empty=True, wanted="an array of names"),
            "what this gateway does with our answers; an allow that needs more is refused by `capability`",
            '["answer", "remove_header", "set_header", "step_up"]',
        ),
    )
    signals: bool = field(
        default=False,
        metadata=key(
            Flag(),
            "whether readings for `context.NAME` are taken from this gateway's metadata `portcullis.signals`; every "
            "filter before the check can write there",
            "false",
        ),
    )


@dataclass(frozen=True, slots=True)
class IssuerConfig:
    """One table of `[[issuers]]`."""

    url: str = field(
        metadata=key(_PRINTABLE, "the issuer, exactly as `iss` in its tokens says it", '"https://id.example"')
    )
    keys: Path = field(metadata=key(Place(), "the file with its public keys, a JWK set (RFC 7517)", '"jwks.json"'))
    algorithms: tuple[str, ...] = field(
        metadata=key(
            Texts(choices=ALGORITHMS, wanted="an array of names"),
            "the algorithms its tokens may be signed with; a token only selects among them",
            '["ES256"]',
        )
    )
    types: tuple[str, ...] = field(
        default=("at+jwt",),
        metadata=key(
            Texts(_PRINTABLE, fold=type_name, wanted="an array of media types"),
            "the `typ` its tokens may have, with or without `application/`, in any case",
            '["at+jwt"]',
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


DEFAULT_LISTENER = ListenerConfig(address="127.0.0.1:9191", gateway="edge")
CHALLENGES = "challenges"
CHALLENGE_EXAMPLE = 'mfa = "urn:example:acr:mfa"'
TABLES: Mapping[str, type] = MappingProxyType({"log": LogConfig, "http": HttpConfig, "limits": LimitsConfig})
ARRAYS: Mapping[str, type] = MappingProxyType({"listeners": ListenerConfig, "issuers": IssuerConfig})


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, and the keys that stand above all tables. Paths are resolved.

    `challenges` maps the name of a challenge to the `acr` value that is asked for in its place.
    """

    state: Path = field(
        default=Path(".pdp"),
        metadata=key(Place(), "the folder for the log, its keys and the stored bundles", '"/var/lib/pdp"'),
    )
    policies: Path | None = field(
        default=None,
        metadata=key(
            Place(),
            "the policy folder, or a file that `pdp check --build` wrote",
            '"policies/shop"',
            "none: `pdp serve` then needs `--policies`",
        ),
    )
    bundle_digest: str | None = field(
        default=None,
        metadata=key(
            _DIGEST,
            "the SHA-256 of the built policy that is served; a file is served only with it",
            f'"{64 * "0"}"',
            "none: only a folder is served",
        ),
    )
    settings: str | None = field(
        default=None,
        metadata=key(
            _SETTINGS,
            "the environment: binds the settings of `settings/NAME.toml` of the policy folder; a built policy has the "
            "one it was built for, and is refused where another is named",
            '"prod"',
            "none: every setting has its default",
        ),
    )
    never_observe: tuple[str, ...] = field(
        default=(),
        metadata=key(
            Texts(_LABEL, may_be_empty=True, wanted="an array of labels"),
            "labels that no service under `observe until` may carry; a plain name means that of every module",
            '["money", "shop.pii"]',
        ),
    )
    compare_every: int = field(
        default=1000,
        metadata=key(
            Whole(0, 1_000_000_000),
            "each so-many-th decision, or the next one that takes little enough time, is made by the reference "
            "evaluator too, and refused where the two differ; from then on the reference alone decides; 0 none",
            "1000",
        ),
    )
    service_from_host: bool = field(
        default=False,
        metadata=key(
            Flag(),
            "whether the host says which service a call is for where the gateway does not; behind a catch-all virtual "
            "host a client then chooses",
            "false",
        ),
    )
    log: LogConfig = field(default=LogConfig())
    http: HttpConfig = field(default=HttpConfig())
    listeners: tuple[ListenerConfig, ...] = (DEFAULT_LISTENER,)
    issuers: tuple[IssuerConfig, ...] = ()
    challenges: Mapping[str, str] = field(default_factory=dict)
    limits: LimitsConfig = field(default=LimitsConfig())

    @classmethod
    def default(cls) -> Config:
        """What an empty file in the current folder would say: no issuers, so that no token is accepted."""
        return cls()


def load_config(path: Path) -> Config:
    """The configuration in the file `path`; relative paths in it count from its folder. Errors: ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
        text = data.decode("utf-8")
    except OSError as error:
        raise ConfigError("C101", f"cannot read {path}: {error.strerror}: name another with --config") from error
    except UnicodeDecodeError as error:
        raise ConfigError("C102", f"{path} is not TOML: byte {error.start} is not UTF-8") from error
    if len(data) > LARGEST_FILE:
        raise ConfigError("C101", f"{path} holds more than {LARGEST_FILE} bytes: it is no configuration")
    return parse_config(text, path.parent, str(path))


def parse_config(text: str, base: Path, name: str = "pdp.toml") -> Config:
    """The configuration that `text` writes; relative paths count from `base`, messages call the file `name`.

    Errors: ConfigError C102, C103; C103 names every problem, one a line.
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError("C102", f"{name} is not TOML: {error}") from error
    reader = TableReader(base)
    config = _read_document(document, reader)
    problems = reader.problems
    if config is None or problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError("C103", f"{count} in {name}:\n" + "\n".join(f"  {problem}" for problem in problems))
    return config


def _read_document(document: Mapping[str, object], reader: TableReader) -> Config | None:
    own = keys_of(Config)
    sections = (*TABLES, *ARRAYS, CHALLENGES)
    reader.unknown(document, (*(declared.name for declared in own), *sections), "")
    above = {name: value for name, value in document.items() if name in {declared.name for declared in own}}
    above.setdefault("state", str(Config.default().state))
    log = reader.table(keys_of(LogConfig), LogConfig, _table(document, "log", reader), "log")
    http = reader.table(keys_of(HttpConfig), HttpConfig, _table(document, "http", reader), "http")
    limits = reader.table(keys_of(LimitsConfig), LimitsConfig, _table(document, "limits", reader), "limits")
    config = reader.table(own, Config, above, "")
    listeners = _read_array(document, "listeners", ListenerConfig, reader)
    issuers = _read_array(document, "issuers", IssuerConfig, reader)
    challenges = _read_challenges(_table(document, CHALLENGES, reader), reader)
    listeners = listeners if "listeners" in document else (DEFAULT_LISTENER,)
    reader.problems.extend(_contradictions(http, listeners, issuers))
    if config is None or log is None or http is None or limits is None:
        return None
    return replace(
        config, log=log, http=http, limits=limits, listeners=listeners, issuers=issuers, challenges=challenges
    )


def _table(document: Mapping[str, object], name: str, reader: TableReader) -> Mapping[str, object]:
    table = document.get(name, {})
    if isinstance(table, dict):
        return table
    reader.problems.append(f"`{name}` must be a table: write [{name}]")
    return {}


def _read_array(
    document: Mapping[str, object], name: str, make: Callable[..., Made], reader: TableReader
) -> tuple[Made, ...]:
    entries = document.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        reader.problems.append(f"`{name}` must be an array of tables: write [[{name}]]")
        return ()
    if name in document and not entries:
        reader.problems.append(f"`{name}` is empty: leave it out, or write [[{name}]]")
    keys = keys_of(ARRAYS[name])
    read = [reader.table(keys, make, entry, f"{name}[{index}]") for index, entry in enumerate(entries)]
    return tuple(entry for entry in read if entry is not None)


def _read_challenges(table: Mapping[str, object], reader: TableReader) -> dict[str, str]:
    read: dict[str, str] = {}
    for name, value in table.items():
        if isinstance(value, str) and _PRINTABLE.pattern.fullmatch(value):
            read[name] = value
        else:
            reader.problems.append(f"`{CHALLENGES}.{name}` must be {_PRINTABLE.wanted}: the `acr` value to ask for")
    return read


def _contradictions(
    http: HttpConfig | None, listeners: tuple[ListenerConfig, ...], issuers: tuple[IssuerConfig, ...]
) -> Iterator[str]:
    addresses = [listener.address for listener in listeners] + ([] if http is None else [http.address])
    for address in repeated([address for address in addresses if not address.endswith(":0")]):
        yield f"two listeners have the address `{address}`: give each its own"
    for gateway in repeated([listener.gateway for listener in listeners]):
        yield f"two listeners name the gateway `{gateway}`: give each its own name"
    for url in repeated([issuer.url for issuer in issuers]):
        yield f"two issuers have the url `{url}`: write one, with the keys of both"
    for issuer in issuers:
        for name in sorted(NOT_ACCESS_TOKENS & set(issuer.types)):
            yield f"`types` of the issuer `{issuer.url}` names `{name}`, which is no access token: leave it out"
