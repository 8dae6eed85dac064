"""The configuration: one TOML file, read whole or not at all.

The text of `pdp.toml` comes in, a frozen `Config` goes out. Every key is declared once, here, with what it means;
`docs/configuration.md` is written from these declarations by `tools/config_docs.py`.
INVARIANT: a key that is not declared is an error, never ignored, so that a slip is never a default. All problems of a
file are reported together.
Errors: ConfigError C101 (the file cannot be read), C102 (not TOML), C103 (keys or values that do not fit).
Design: contracts.md "Bundles, places, configuration".

Decision: 2026-11-21. Without `[[listeners]]` and `[[gateways]]` there is one of each: at 127.0.0.1:9191 `edge` asks,
about every service. Who declares one of them says it all.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pdp import config_fit as fit
from pdp.config_identity import AdminConfig, IssuerConfig, MintingConfig, SharedConfig
from pdp.config_tables import (
    ARRAYS,
    CHALLENGES,
    DEFAULT_GATEWAY,
    DEFAULT_LISTENER,
    TABLES,
    GatewayConfig,
    HttpConfig,
    LimitsConfig,
    ListenerConfig,
    LogConfig,
)
from pdp.config_words import DIGEST, PRINTABLE
from pdp.errors import ConfigError
from pdp.toml_keys import Flag, Made, Place, TableReader, Text, Texts, Whole, key, keys_of

LARGEST_FILE = 1024 * 1024

_LABEL = Text(re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*"), "a label, with or without its module")
_SETTINGS = Text(re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*"), "a name of letters, digits, `.`, `_` and `-`")


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
            DIGEST,
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
    minting: MintingConfig = field(default=MintingConfig())
    shared: SharedConfig = field(default=SharedConfig())
    admin: AdminConfig = field(default=AdminConfig())

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
    gateways_read = not any(problem.startswith("`gateways") for problem in reader.problems)
    problems = [*reader.problems, *_problems_of(config, gateways_read=gateways_read)]
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError("C103", f"{count} in {name}:\n" + "\n".join(f"  {problem}" for problem in problems))
    return config


def _read_document(document: Mapping[str, object], reader: TableReader) -> Config:
    """What the document says; of a table with problems, its defaults."""
    own = keys_of(Config)
    sections = (*TABLES, *ARRAYS, CHALLENGES)
    reader.unknown(document, (*(declared.name for declared in own), *sections), "")
    above = {name: value for name, value in document.items() if name in {declared.name for declared in own}}
    above.setdefault("state", str(Config.default().state))
    config = reader.table(own, Config, above, "") or Config.default()
    gateways = _read_array(document, "gateways", GatewayConfig, reader)
    listeners = _read_array(document, "listeners", ListenerConfig, reader)
    if not {"gateways", "listeners"} & set(document):
        gateways, listeners = (DEFAULT_GATEWAY,), (DEFAULT_LISTENER,)
    return replace(
        config,
        log=_read_table(document, "log", LogConfig, reader),
        http=_read_table(document, "http", HttpConfig, reader),
        limits=_read_table(document, "limits", LimitsConfig, reader),
        minting=_read_table(document, "minting", MintingConfig, reader),
        shared=_read_table(document, "shared", SharedConfig, reader),
        admin=_read_table(document, "admin", AdminConfig, reader),
        gateways=gateways,
        listeners=listeners,
        issuers=_read_array(document, "issuers", IssuerConfig, reader),
        challenges=_read_challenges(_table(document, CHALLENGES, reader), reader),
    )


def _problems_of(config: Config, *, gateways_read: bool) -> Iterator[str]:
    """A sentence for each thing that does not go with another. `gateways_read`: every gateway is there."""
    yield from fit.of_addresses(config.listeners, config.http, config.admin)
    yield from fit.of_issuers(config.issuers)
    yield from fit.of_gateways(config.gateways)
    if gateways_read:
        yield from fit.of_listeners(config.listeners, {each.name for each in config.gateways})
    yield from fit.of_log(config.log)
    yield from fit.of_minting(config.minting, config.gateways)
    yield from fit.of_shared(config.shared)
    yield from fit.of_admin(config.admin)


def _read_table(document: Mapping[str, object], name: str, make: Callable[..., Made], reader: TableReader) -> Made:
    return reader.table(keys_of(TABLES[name]), make, _table(document, name, reader), name) or make()


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
        if isinstance(value, str) and PRINTABLE.pattern.fullmatch(value):
            read[name] = value
        else:
            reader.problems.append(f"`{CHALLENGES}.{name}` must be {PRINTABLE.wanted}: the `acr` value to ask for")
    return read
