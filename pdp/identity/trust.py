"""The issuers that are trusted now: those whose keys stand in files, and those whose keys are asked for over a network.

Issuers and the sources of keys of some of them come in; `Trust` keeps an `Identity` trusting exactly the keys that
count, and says of each source what is wrong with it.
INVARIANT: an issuer whose keys do not count any more (none was ever read, or none for `max_stale_s`) is trusted with no
key at all: every token of it is refused by `token.key`, and none that was remembered stays.
INVARIANT: tokens never wait for a fetch. One that names a key which is not there makes its source look for it, within
the source's cooldown, and is refused; the next one passes.
Design: security.md 0.6, 2.1 (row JWKS); architecture.md station (2).

Decision: 2026-11-21. What counts is looked at once a second besides at each change: that keys grow too old is nobody's
message.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec.structs import replace

from pdp.identity.bearer import Identity
from pdp.identity.jwks import KeySet
from pdp.identity.jwt import Issuer, Verified, Verifier
from pdp.identity.key_sources import KeySource

LOOK_EVERY_S = 1.0

log = logging.getLogger(__name__)

MakeSource = Callable[[Callable[[KeySet], None]], KeySource]
"""Makes a source that calls this when its keys have changed."""


class Trust:
    """Belongs to one event loop. `sources` are by the name of an issuer, which `issuers` holds without keys."""

    def __init__(
        self,
        issuers: Sequence[Issuer],
        sources: Mapping[str, MakeSource],
        *,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        standing: Callable[[Verified, int], str | None],
    ) -> None:
        self._issuers = {issuer.url: issuer for issuer in issuers}
        self._sources = {url: make(self._changed) for url, make in sources.items()}
        self._monotonic = monotonic
        self._sleep = sleep
        self._silent: set[str] = set()
        self._told = False
        self.identity = Identity(self._verifier(), standing=standing)
        self.look()
        self._told = True

    async def run(self) -> None:
        """Keep every source and what is trusted up to date, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for source in self._sources.values():
                tasks.create_task(source.run())
            while True:
                await self._sleep(LOOK_EVERY_S)
                self.look()

    async def settled(self, within_s: float) -> None:
        """Wait until each source has tried once, at most so long. `run` must be under way."""
        waiting = [asyncio.ensure_future(source.settled()) for source in self._sources.values()]
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=within_s)
            for each in late:
                each.cancel()
        self.look()

    def look(self) -> None:
        """Trust what counts now; a set that is the same object changes nothing, so that its tokens stay remembered."""
        now = self._monotonic()
        changed = False
        for url, source in self._sources.items():
            keys, issuer = source.keys(now), self._issuers[url]
            self._tell(url, counts=source.status(now).counts)
            if keys is not issuer.keys:
                self._issuers[url] = replace(issuer, keys=keys)
                changed = True
        if changed:
            self.identity.replace(self._verifier())

    def _tell(self, url: str, *, counts: bool) -> None:
        """Say once when the keys of an issuer begin to count, or do so no longer."""
        if counts and url in self._silent:
            self._silent.discard(url)
            log.info("keys of the issuer %s count", url)
        elif not counts and url not in self._silent:
            self._silent.add(url)
            if self._told:
                log.warning("no keys of the issuer %s count any more: its tokens are refused", url)

    def misgivings(self) -> list[str]:
        """A sentence for each source that did not do well when it was last asked, or whose keys do not count."""
        now = self._monotonic()
        said = []
        for url, source in self._sources.items():
            status = source.status(now)
            if not status.counts:
                said.append(
                    f"no keys of the issuer {url} count ({status.reason or 'not yet fetched'}): its tokens are "
                    "refused; see that it can be reached (docs/codes.md says what the reason is)"
                )
            elif status.reason:
                said.append(f"the keys of the issuer {url} are {status.age_s:.0f} s old ({status.reason})")
        return said

    def ages_s(self) -> dict[str, float | None]:
        """How old the keys are that count, of each issuer whose keys are asked for; None where none count."""
        now = self._monotonic()
        statuses = {url: source.status(now) for url, source in self._sources.items()}
        return {url: status.age_s if status.counts else None for url, status in statuses.items()}

    def _verifier(self) -> Verifier:
        return Verifier(tuple(self._issuers.values()), self._missing)

    def _missing(self, url: str) -> None:
        """A token of this issuer named a key that is not there."""
        source = self._sources.get(url)
        if source is not None:
            source.wanted()

    def _changed(self, _: KeySet) -> None:
        self.look()
