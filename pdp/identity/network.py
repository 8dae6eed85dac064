"""The issuers of a configuration as they are trusted while the service runs, some of them over a network.

`IssuerConfig`s come in; `Trust` goes out, with a fetcher of its own for each issuer whose keys are asked for: hosts,
networks and authorities of one issuer say nothing about those of another. What was fetched last is kept in a folder of
the state, so that a start while an issuer is down refuses no valid token.
Errors: ConfigError C104 for authorities that cannot be read.
Design: security.md 2.1 (rows JWKS, SSRF); contracts.md "Bundles, places, configuration".

Decision: 2026-11-21. The age of what is kept is that of its file by the clock of the host. A clock that was set back
makes it count for nothing, and one that was set forward makes it older: neither lets keys count longer than they may.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from pdp.audit.files import atomic_write
from pdp.config_identity import IssuerConfig
from pdp.errors import ConfigError
from pdp.identity.fetching import Fetcher, Resolve, system_resolve, trusting
from pdp.identity.jwks import KeySet
from pdp.identity.jwt import Issuer, Verified
from pdp.identity.key_sources import KeySource, KeySourceSettings, StoredKeys
from pdp.identity.trust import MakeSource, Trust


class Outside(Struct, frozen=True):
    """Where names, time and chance come from."""

    resolve: Resolve = system_resolve
    monotonic: Callable[[], float] = time.monotonic
    wall_s: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random


@contextlib.asynccontextmanager
async def trusted(
    configured: Sequence[IssuerConfig],
    issuers: Sequence[Issuer],
    folder: Path,
    standing: Callable[[Verified, int], str | None],
    outside: Outside | None = None,
) -> AsyncIterator[Trust]:
    """Trust these issuers, as `read_issuers` made them of what is configured, while the context lasts; `Trust.run` is
    its user's to run. `folder` is made where it is needed, and must be the service's own; `standing` as `Identity` has
    it.
    """
    world = Outside() if outside is None else outside
    async with contextlib.AsyncExitStack() as stack:
        sources: dict[str, MakeSource] = {}
        for each in configured:
            if each.keys is None:
                folder.mkdir(mode=0o700, exist_ok=True)
                fetcher = await stack.enter_async_context(fetcher_of(each, world))
                sources[each.url] = partial(_source, each, fetcher, folder / kept_name(each.url), world)
        yield Trust(issuers, sources, monotonic=world.monotonic, sleep=world.sleep, standing=standing)


def fetcher_of(configured: IssuerConfig, world: Outside) -> Fetcher:
    """What asks for the keys of one issuer, and for nothing else. Errors: ConfigError C104 for its authorities."""
    asked = urlsplit(configured.jwks_url or configured.url)
    path = configured.authorities
    try:
        tls = trusting(None if path is None else path.read_bytes())
    except (OSError, ValueError, ssl.SSLError) as error:
        detail = f"the authorities {path} of the issuer {configured.url} cannot be used: {error}"
        raise ConfigError("C104", f"{detail}; write certificates in PEM there, or correct `authorities`") from error
    return Fetcher(
        {asked.hostname or "", *configured.hosts},
        world.resolve,
        tls,
        networks=[ipaddress.ip_network(network) for network in configured.networks],
        loopback_http=asked.scheme == "http",
    )


def _source(
    configured: IssuerConfig, fetcher: Fetcher, path: Path, world: Outside, changed: Callable[[KeySet], None]
) -> KeySource:
    settings = KeySourceSettings(
        configured.url, configured.jwks_url, configured.refresh_s, configured.max_stale_s, configured.cooldown_s
    )
    return KeySource(
        settings,
        fetcher.fetch,
        monotonic=world.monotonic,
        sleep=world.sleep,
        random=world.random,
        changed=changed,
        store=partial(atomic_write, path),
        initial=kept_keys(path, world.wall_s()),
    )


def kept_name(url: str) -> str:
    """The name of the file that holds the last keys of an issuer."""
    return f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"


def kept_keys(path: Path, now_s: float) -> StoredKeys | None:
    """The last keys of an issuer, and how old they are at `now_s` (Unix seconds); None where there are none."""
    try:
        return StoredKeys(path.read_bytes(), now_s - path.stat().st_mtime)
    except OSError:
        return None
