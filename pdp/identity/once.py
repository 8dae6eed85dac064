"""The keys of one issuer that is asked for them over a network, as a command needs them that runs beside the service.

The configuration of an issuer, the folder where the service keeps what it fetched last, and the world come in; the keys
go out, with where they came from and how old they are. In this order:

(0) what the service kept, where it counts (it is not older than `max_stale_s`) and is enough for who asks
(1) what the issuer says: it is asked once, by the service's own rules (pdp/identity/fetching.py, key_sources.py)
(2) what the service kept, where it counts and the issuer was asked in vain

INVARIANT: nothing is written. What a command fetched is never what the service counts with.
INVARIANT: what is asked, and whom, is the configuration's to say; a token only selects among its issuers.
Errors: ConfigError C104, naming the issuer, the reason (those of `fetching`, `jwks` and `key_sources`) and the remedy.
Design: security.md 0.6, 2.1 (row JWKS).

Decision: 2026-11-21. Kept keys that lack the one a token names are not enough: the service would ask, too, and a key
that was rotated in since would be told as one that the issuer does not have.
Decision: 2026-11-21. No keys at all are an error and not a refusal: whether the token is good is then not known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from pdp.config_identity import IssuerConfig
from pdp.errors import ConfigError
from pdp.identity.fetching import FetchError
from pdp.identity.jwks import KeySet
from pdp.identity.key_sources import KeySource, KeySourceSettings
from pdp.identity.network import Outside, fetcher_of, kept_keys, kept_name
from policy_lang.diagnostics import printable

ASK_WITHIN_S = 5.0
"""For everything: discovery, resolution and the last byte included."""

_REMEDIES = {
    "fetch.host": "name the host that it leads to in `hosts` of the issuer",
    "fetch.address": "name the network of its host in `networks` of the issuer",
    "fetch.tls": "name who signs the certificate of its host in `authorities` of the issuer",
}

Came = Literal["kept", "asked"]


class KeysOnce(Struct, frozen=True):
    """The keys of `issuer` at hand: kept by the service `age_s` ago, or asked for just now. `failure` is why the issuer
    was asked in vain, "" where it was not.
    """

    issuer: str
    keys: KeySet
    source: Came
    age_s: float
    failure: str = ""


async def keys_once(
    configured: IssuerConfig,
    folder: Path,
    world: Outside,
    suffices: Callable[[KeySet], bool],
    within_s: float = ASK_WITHIN_S,
) -> KeysOnce:
    """The keys of an issuer whose configuration has no file of them. `folder` is that of the service, or not there;
    `suffices` says whether kept keys are enough. Errors: ConfigError C104.
    """
    settings = KeySourceSettings(
        configured.url, configured.jwks_url, configured.refresh_s, configured.max_stale_s, configured.cooldown_s
    )
    source = partial(
        KeySource, settings, monotonic=world.monotonic, sleep=world.sleep, random=world.random, changed=_nobody
    )
    stored = kept_keys(folder / kept_name(configured.url), world.wall_s())
    kept = _at_hand(source(_unasked, initial=stored), configured.url, "kept", world)
    if kept is not None and suffices(kept.keys):  # (0)
        return kept
    async with fetcher_of(configured, world) as fetcher:
        asking = source(fetcher.fetch)
        failure = await _asked(asking, within_s, world)
    found = _at_hand(asking, configured.url, "asked", world)
    if found is not None:  # (1)
        return found
    if kept is not None:  # (2)
        return replace(kept, failure=failure)
    url = configured.jwks_url or settings.discovery_url
    remedy = _REMEDIES.get(failure, f"see that {url} answers with them")
    where = f"the service has kept none in {printable(str(folder))} that count"
    detail = f"the keys of the issuer {configured.url} cannot be had from {url} ({failure}), and {where}: {remedy}"
    raise ConfigError("C104", f"{detail}, or name the state of the service with --state")


def _at_hand(source: KeySource, issuer: str, came: Came, world: Outside) -> KeysOnce | None:
    """What a source has now; None where that does not count."""
    now_s = world.monotonic()
    keys, age_s = source.keys(now_s), source.status(now_s).age_s
    return None if keys is None or age_s is None else KeysOnce(issuer, keys, came, age_s)


async def _asked(source: KeySource, within_s: float, world: Outside) -> str:
    """Why the issuer was asked in vain, "" where it was not."""
    running = asyncio.ensure_future(source.run())
    try:
        async with asyncio.timeout(within_s):
            await source.settled()
    except TimeoutError:
        return "fetch.timeout"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return source.status(world.monotonic()).reason


async def _unasked(_: str) -> bytes:
    raise FetchError("fetch.unreachable")


def _nobody(_: KeySet) -> None:
    """Nobody is told of a change."""
