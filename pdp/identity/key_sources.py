"""The keys of an issuer, asked for over the network, with the last good ones kept for as long as they may count.

The settings of an issuer and a way to fetch come in; `keys` is the set that counts now, the same object while its keys
stay the same. One task, `run`, does all fetching; a token never waits for it, unless it wants to (`settled`).

INVARIANT: a set is replaced only by one that was read whole and is believed. Whatever else comes back (nothing, HTML,
too much, an empty set, a secret, another issuer's document) leaves it, and `status` says why.
INVARIANT: a set counts for `max_stale_s` from the begin of the fetch that brought it, by the monotonic clock. No wall
clock comes in.
INVARIANT: never two fetches at once, and whatever tokens say, none begins within `cooldown_s` of the begin of the one
before, whether that failed or not.
INVARIANT: the URL comes from the settings, or from the document at the place they name; never from a token.

Beside the reasons of `fetching` and `jwks`, in `status`: `discovery.json` `discovery.issuer` `discovery.jwks_uri` of
the document, `stored.age` (of what was stored), `source.internal` (our fault; the log has more).

Sources: OpenID Connect Discovery 1.0, 4; RFC 8414 3.3 (the issuer is compared code point by code point).
Design: security.md 0.6, 2.1 (row JWKS), 3 (row JWKS).

Decision: 2026-11-21. Each fetch begins with discovery, where there is no `jwks_url`: the document is what says where
the keys are, and one that was believed long ago would outlive an issuer's move.
Decision: 2026-11-21. What is wanted within the cooldown is dropped, not kept for its end: the next token that wants it
asks again, and a flood leaves nothing behind.
Decision: 2026-11-21. Jitter only shortens a wait, and never to less than the cooldown. After failures a wait is the
cooldown, doubled with each further failure, at most `refresh_s`.
Decision: 2026-11-21. Stored keys whose age is not known (negative, or no number) do not count: they could be any age.
A clock that was set back costs one fetch, and the issuer must be up for it.
Decision: 2026-11-21. `changed` is also called, with the same object, when keys count again after they had become stale,
and again after it has failed: whoever is told can rely on having heard of the set that counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from math import inf, isfinite

from msgspec import Struct

from pdp.identity.fetching import FetchError
from pdp.identity.jwks import KeyRefusal, KeySet, SetRefusal, read_key_set
from pdp.identity.strict import JsonRefusedError, decode_json_object

DISCOVERY_PATH = "/.well-known/openid-configuration"
MOST_DEEP = 16

log = logging.getLogger(__name__)

Fetch = Callable[[str], Awaitable[bytes]]
"""The bytes at a URL, within a time of its own. Errors: FetchError."""


class KeySourceSettings(Struct, frozen=True):
    """Whose keys, and how often. `jwks_url` None: discovery says it. All times in seconds; `jitter` is a share of 1.

    ValueError for times that are not 0 < cooldown <= refresh <= max_stale, a jitter outside 0 to 1, and an issuer for
    discovery with a query or a fragment.
    """

    issuer: str
    jwks_url: str | None = None
    refresh_s: float = 300
    max_stale_s: float = 86_400
    cooldown_s: float = 30
    jitter: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.cooldown_s <= self.refresh_s <= self.max_stale_s < inf:
            raise ValueError("times must be 0 < cooldown_s <= refresh_s <= max_stale_s")
        if not 0 <= self.jitter <= 1:
            raise ValueError("a jitter is a share of a wait, from 0 to 1")
        if not self.issuer or (self.jwks_url is None and set(self.issuer) & {"?", "#"}):
            raise ValueError("an issuer whose keys are discovered is a URL without query and fragment")

    @property
    def discovery_url(self) -> str:
        """Where the issuer's document is: OpenID Connect Discovery 1.0, 4.1."""
        return self.issuer.removesuffix("/") + DISCOVERY_PATH


class StoredKeys(Struct, frozen=True):
    """A JWK set as it was handed to `store`, and how long ago, in seconds."""

    data: bytes
    age_s: float


class KeySourceStatus(Struct, frozen=True):
    """What a source is worth now. `age_s` None: no set was ever read; `counts`: it is not too old.

    `reason` is why the last fetch that ended was in vain, "" where it did well; before the first ends, why stored keys
    are not used. `failures` are fetches in vain in a row, `fetches` all that began. `refused` are the keys left out of
    the last set that was read. `stored` is false while the set that counts could not be stored.
    """

    age_s: float | None
    counts: bool
    reason: str
    refused: tuple[KeyRefusal, ...]
    failures: int
    fetches: int
    stored: bool


class _RefusedError(Exception):
    """Ends a fetch from within; never leaves this module. Its text is the reason."""


class KeySource:
    """The keys of one issuer. One event loop owns it; it is not for several threads."""

    def __init__(
        self,
        settings: KeySourceSettings,
        fetch: Fetch,
        *,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        random: Callable[[], float],
        changed: Callable[[KeySet], None],
        store: Callable[[bytes], None] | None = None,
        initial: StoredKeys | None = None,
    ) -> None:
        """`monotonic` in seconds, `random` from 0 to below 1.

        `changed` is not called for `initial`, which `keys` has at once. `store` is called after each fetch that did
        well, so that what is stored is as young as what counts.
        """
        self._settings = settings
        self._fetch = fetch
        self._monotonic = monotonic
        self._sleep = sleep
        self._random = random
        self._changed = changed
        self._store = store
        self._keys: KeySet | None = None
        self._told: KeySet | None = None
        self._read_at = -inf
        self._began = -inf
        self._reason = ""
        self._refused: tuple[KeyRefusal, ...] = ()
        self._failures = 0
        self._fetches = 0
        self._stored = True
        self._under_way = False
        self._settled = asyncio.Event()
        self._nap: asyncio.Future[None] | None = None
        if initial is not None:
            self._take_stored(initial)

    def keys(self, monotonic_s: float) -> KeySet | None:
        """The set that counts; None where none was ever read, or none for `max_stale_s`."""
        return self._keys if monotonic_s - self._read_at <= self._settings.max_stale_s else None

    def wanted(self) -> None:
        """Say that a token named a key that is not there. Costs next to nothing; at most it ends a wait of `run`."""
        if self._nap is None or self._monotonic() - self._began < self._settings.cooldown_s:
            return
        self._begin()
        self._nap.cancel()

    async def settled(self) -> None:
        """Wait for the end of the fetch under way, the first included, also where `run` has yet to begin it.

        Has no time of its own: the caller gives one. Returns at once where none is under way.
        """
        await self._settled.wait()

    def status(self, monotonic_s: float) -> KeySourceStatus:
        """What is to be said of this source at a time of the monotonic clock."""
        return KeySourceStatus(
            age_s=None if self._keys is None else monotonic_s - self._read_at,
            counts=self.keys(monotonic_s) is not None,
            reason=self._reason,
            refused=self._refused,
            failures=self._failures,
            fetches=self._fetches,
            stored=self._stored,
        )

    async def run(self) -> None:
        """Fetch at once, then again and again, until cancelled. Nothing that an issuer does ends it."""
        try:
            while True:
                self._begin()
                await self._refresh()
                self._end()
                await self._pause()
        finally:
            self._end()

    def _begin(self) -> None:
        """Note the begin of a fetch, once: `wanted` may have done so already."""
        if not self._under_way:
            self._under_way = True
            self._settled.clear()
            self._began = self._monotonic()
            self._fetches += 1

    def _end(self) -> None:
        self._under_way = False
        self._settled.set()

    async def _pause(self) -> None:
        """Wait for the next fetch, or until one is wanted."""
        self._nap = nap = asyncio.ensure_future(self._sleep(self._wait_s()))
        try:
            await asyncio.wait((nap,))
        finally:
            self._nap = None
            nap.cancel()

    def _wait_s(self) -> float:
        settings = self._settings
        wait_s = settings.refresh_s
        if self._failures:
            doublings = min(self._failures - 1, 64)
            wait_s = min(wait_s, settings.cooldown_s * 2**doublings)
        return max(settings.cooldown_s, wait_s * (1 - settings.jitter * self._random()))

    async def _refresh(self) -> None:
        """One fetch, from begin to end. Never raises."""
        began = self._began
        try:
            data = await self._fetch(await self._url())
            # A set that is made for it takes 400 ms to read, in which nobody else would be answered.
            keys = await asyncio.to_thread(read_key_set, data)
            self._refused = keys.refused
            if isinstance(keys, SetRefusal):
                self._failed(keys.reason)
                return
            self._take(keys, began)
            self._put_away(data)
            self._tell()
        except (FetchError, _RefusedError) as error:
            self._failed(str(error))
        except Exception:
            self._failed("source.internal")
            log.exception("the keys of %s could not be taken", self._settings.issuer)
        else:
            if self._failures:
                log.info("the keys of %s are fetched again", self._settings.issuer)
            self._failures, self._reason = 0, ""

    async def _url(self) -> str:
        """Where the keys are. Errors: FetchError, _RefusedError."""
        settings = self._settings
        if settings.jwks_url is not None:
            return settings.jwks_url
        data = await self._fetch(settings.discovery_url)
        try:
            document = await asyncio.to_thread(decode_json_object, data, MOST_DEEP)
        except JsonRefusedError:
            raise _RefusedError("discovery.json") from None
        if document.get("issuer") != settings.issuer:
            raise _RefusedError("discovery.issuer")
        url = document.get("jwks_uri")
        if not isinstance(url, str):
            raise _RefusedError("discovery.jwks_uri")
        return url

    def _failed(self, reason: str) -> None:
        self._failures += 1
        if reason != self._reason:
            log.warning("the keys of %s stay as they are: %s", self._settings.issuer, reason)
        self._reason = reason

    def _take_stored(self, stored: StoredKeys) -> None:
        if not (isfinite(stored.age_s) and stored.age_s >= 0):
            self._unusable("stored.age")
            return
        keys = read_key_set(stored.data)
        if isinstance(keys, SetRefusal):
            self._unusable(keys.reason)
            return
        self._refused = keys.refused
        self._keys = self._told = keys
        self._read_at = self._monotonic() - stored.age_s

    def _unusable(self, reason: str) -> None:
        self._reason = reason
        log.warning("the stored keys of %s are not used: %s", self._settings.issuer, reason)

    def _take(self, keys: KeySet, began: float) -> None:
        """`keys` count from now on; the old object stays where it has the same keys."""
        if self.keys(self._monotonic()) is None:
            self._told = None
        if self._keys is None or not _are_same(self._keys, keys):
            self._keys = keys
        self._read_at = began

    def _put_away(self, data: bytes) -> None:
        if self._store is None:
            return
        try:
            self._store(data)
            self._stored = True
        except Exception:
            self._stored = False
            log.exception("the keys of %s count, and could not be stored", self._settings.issuer)

    def _tell(self) -> None:
        if self._keys is not None and self._told is not self._keys:
            self._changed(self._keys)
            self._told = self._keys


def _are_same(one: KeySet, other: KeySet) -> bool:
    """Whether two sets answer every token alike."""
    if one.sole != other.sole:
        return False
    return {key.kid: key for key in one.usable} == {key.kid: key for key in other.usable}
