"""The configuration: one TOML file, read whole or not at all.

The text of `pdp.toml` comes in, a frozen `Config` goes out. Every key is declared once, here, with what it means;
`docs/configuration.md` is written from these declarations by `tools/config_docs.py`.
INVARIANT: a key that is not declared is an error, never ignored, so that a slip is never a default. All problems of a
file are reported together.
Errors: ConfigError C101 (the file cannot be read), C102 (not TOML), C103 (keys or values that do not fit).
Design: contracts.md "Bundles, places, configuration".

Decision: 2026-11-21. Without `[[listeners]]` and `[[gateways]]` there is one of each: at 127.0.0.1:9191 `edge` asks,
about every service. Who declares one of them says it all.
Decision: 2026-11-21. Types of tokens that were never meant to be presented to an API (ID tokens, DPoP proofs, logout
and security event tokens) cannot be configured as access tokens.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pdp.config_tables import (
    ARRAYS,
    CHALLENGES,
    DEFAULT_GATEWAY,
    DEFAULT_LISTENER,
    FETCHED,
    TABLES,
    GatewayConfig,
    HttpConfig,
    IssuerConfig,
    LimitsConfig,
    ListenerConfig,
    LogConfig,
)
from pdp.errors import ConfigError
from pdp.identity.profiles import PROFILES
from pdp.toml_keys import Flag, Made, Place, TableReader, Text, Texts, Whole, key, keys_of, repeated
from policy_lang.diagnostics import nearest

LARGEST_FILE = 1024 * 1024

NOT_ACCESS_TOKENS = frozenset(
    {"dpop+jwt", "id-token", "id_token", "id-token+jwt", "id_token+jwt", "logout+jwt", "secevent+jwt"}
)

_DIGEST = Text(re.compile(r"[0-9a-f]{64}"), "64 hex digits")
_LABEL = Text(re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*"), "a label, with or without its module")
_SETTINGS = Text(re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"), "a name of letters, digits, `.`, `_` and `-`")
_PRINTABLE = Text(re.compile(r"[!-~]+"), "a string of printable characters without spaces")


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
    gateways: tuple[GatewayConfig, ...] = (DEFAULT_GATEWAY,)
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
    gateways = _read_array(document, "gateways", GatewayConfig, reader)
    listeners = _read_array(document, "listeners", ListenerConfig, reader)
    issuers = _read_array(document, "issuers", IssuerConfig, reader)
    challenges = _read_challenges(_table(document, CHALLENGES, reader), reader)
    if not {"gateways", "listeners"} & set(document):
        gateways, listeners = (DEFAULT_GATEWAY,), (DEFAULT_LISTENER,)
    reader.problems.extend(_contradictions(http, listeners, issuers))
    reader.problems.extend(_gateways_told_apart(gateways))
    if not any(problem.startswith("`gateways") for problem in reader.problems):
        reader.problems.extend(_listening_for(listeners, {each.name for each in gateways}))
    if config is None or log is None or http is None or limits is None:
        return None
    return replace(
        config,
        log=log,
        http=http,
        limits=limits,
        gateways=gateways,
        listeners=listeners,
        issuers=issuers,
        challenges=challenges,
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
    if sum(said) != 1:
        yield f"{place} needs one of `keys`, `jwks_url` and `discovery = true`, which say where its public keys are"
        return
    asked = issuer.jwks_url or (issuer.url if issuer.discovery else None)
    if asked is None:
        return
    if not FETCHED.pattern.fullmatch(asked) or (issuer.discovery and "?" in asked):
        yield f"{place}: for `discovery` its url must be {FETCHED.wanted}, without a query"
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


def _gateways_told_apart(gateways: tuple[GatewayConfig, ...]) -> Iterator[str]:
    for name in repeated([each.name for each in gateways]):
        yield f"two gateways have the name `{name}`: give each its own"
    for identity in repeated([each.identity for each in gateways if each.identity is not None]):
        yield f"two gateways have the identity `{identity}`: give each its own"
    for digest in repeated([digest for each in gateways for digest in each.keys_sha256]):
        yield f"two gateways have the key `{digest[:8]}…`: draw one for each"


def _listening_for(listeners: tuple[ListenerConfig, ...], gateways: Collection[str]) -> Iterator[str]:
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
