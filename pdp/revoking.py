"""What is revoked, as this worker asks for it before each decision and as an administrator changes it.

What opens a store that all workers share, and the clocks, come in. `refused` is asked of every proved credential;
`revoke` takes an administrator's request.
INVARIANT: what is revoked is refused by the next decision of every worker, also after a restart. A store that fails
takes nothing back: what was known to be revoked stays so, no request to revoke is said to be done, and `misgiving` says
that later ones may be missing.
Design: contracts.md "Shared by all workers of a host"; security.md 2.1.

Decision: 2026-11-21. What is asked before each decision is read by a store of the loop's own; each change is made by
another, opened for it in a thread: a network may keep an administrator waiting, and nobody else.
Decision: 2026-11-21. A token and the tokens of a subject are revoked for as long as a token of their issuer may live; a
session, a key and an issuer until that is withdrawn. Of an issuer that is not configured nothing is revoked: nobody
could tell how long, and a misspelt name would revoke nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

from pdp.identity.jwt import Issuer, Verified
from pdp.model import Json
from pdp.shared_state.following import Following
from pdp.shared_state.model import KINDS, Identity, Kind, Revocation, Revocations, Store, StoreError

BY = "pdp admin"
EXPIRE_EVERY_S = 3_600.0
KNOWN_WITHIN_S = 5.0
"""So long an administrator waits until this service knows what a store over a network was told."""
LOOK_EVERY_S = 0.01


class Revoking:
    """Belongs to one event loop. `issuers` are those whose tokens may be revoked.

    Errors: StoreError where the store cannot be read: nobody may decide as if nothing were revoked.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        issuers: Sequence[Issuer],
        *,
        monotonic: Callable[[], float],
        clock_us: Callable[[], int],
    ) -> None:
        self._open_store = open_store
        self._store = open_store()
        self._following = Following(self._store, Revocations(), clock_us)
        self._lives_s = {each.url: each.max_lifetime_s + each.leeway_s for each in issuers}
        self._monotonic = monotonic
        self._clock_us = clock_us
        failure = self._following.keep_up(monotonic())
        if failure is not None:
            self._store.close()
            raise failure

    def close(self) -> None:
        """Let the store go. Twice is once."""
        self._store.close()

    def entries(self) -> int:
        """How many things are known to be revoked."""
        return len(self._following.index)

    def refused(self, verified: Verified) -> str | None:
        """`token.revoked`, or None."""
        self._following.keep_up(self._monotonic())
        index = self._following.index
        return index.refused(verified.issuer.url, verified.claims, verified.credential, verified.kid)

    def misgiving(self) -> str:
        """What is to be said of the store; "" where it does as it should."""
        failure = self._following.keep_up(self._monotonic())
        return "" if failure is None else f"what is revoked may be incomplete: {failure.detail}"

    async def revoke(self, request: Mapping[str, Json]) -> Mapping[str, Json]:
        """Do what an administrator asks: `kind`, `issuer`, `value`, and whether `outright` or to `withdraw`."""
        kind, issuer, value = (request.get(name) for name in ("kind", "issuer", "value"))
        named = _kind(kind)
        if named is None or not isinstance(issuer, str) or not isinstance(value, str):
            return _not_done(f"name what to revoke: one of {', '.join(KINDS)}, an issuer, and a value")
        if issuer not in self._lives_s:
            return _not_done(f"the issuer {issuer} is none of the configuration: {', '.join(sorted(self._lives_s))}")
        try:
            if request.get("withdraw") is True:
                there = await asyncio.to_thread(self._withdraw, (named, issuer, value), self._clock_us())
                if there:
                    return {"ok": True, "state": "withdrawn"}
                return _not_done("nothing was revoked so; what a list revokes (`[shared] revoked`) is taken out of it")
            made = self._revocation(named, issuer, value, outright=request.get("outright") is True)
            revision = await asyncio.to_thread(self._revoke, made)
        except (StoreError, ValueError) as error:
            return _not_done(error.detail if isinstance(error, StoreError) else str(error))
        if await self._knows(revision):
            return {"ok": True, "state": "revoked"}
        return {"ok": True, "state": "revoked", "detail": "this service was not told of it yet: see `pdp admin status`"}

    def _revoke(self, revocation: Revocation) -> int:
        with closing(self._open_store()) as store:
            return store.revoke(revocation)

    async def _knows(self, revision: int) -> bool:
        """Whether the next decision here knows of it, after `KNOWN_WITHIN_S` at most."""
        ends_s = self._monotonic() + KNOWN_WITHIN_S
        while self._following.keep_up(self._monotonic()) is not None or self._following.index.revision < revision:
            if self._monotonic() >= ends_s:
                return False
            await asyncio.sleep(LOOK_EVERY_S)
        return True

    def _withdraw(self, identity: Identity, at_us: int) -> bool:
        with closing(self._open_store()) as store:
            return store.withdraw(identity, at_us, BY)

    async def run(self) -> None:
        """Forget what is over, now and then, until cancelled."""
        while True:
            await asyncio.sleep(EXPIRE_EVERY_S)
            self._following.index.expire(self._clock_us())

    def _revocation(self, kind: Kind, issuer: str, value: str, *, outright: bool) -> Revocation:
        now_us = self._clock_us()
        ends = kind == "token" or (kind == "subject" and not outright)
        until_us = now_us + self._lives_s[issuer] * 1_000_000 if ends else None
        return Revocation(kind, issuer, value, now_us, until_us, BY)


def _kind(text: Json) -> Kind | None:
    return next((kind for kind in KINDS if kind == text), None)


def _not_done(detail: str) -> Mapping[str, Json]:
    return {"ok": False, "state": "nothing was changed", "detail": detail}
