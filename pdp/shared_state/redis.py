"""The store of several hosts: one Redis, by the driver that the extra `redis` installs.

    {portcullis}:about         hash: version, epoch (random, of this data), revision
    {portcullis}:revocations   hash: what is revoked -> its revision and itself, as JSON
    {portcullis}:order         sorted set of the same names by revision
    {portcullis}:changed       channel: something was revoked
    {portcullis}:seen:<hex>    when a session was last seen

A thread is told by Redis of each change, and asks besides at every `poll_s`; it keeps a copy here, from which
`revocations` answers, so that no decision waits for a network.
INVARIANT: a revocation gets its revision, its entry and its notice in one transaction, which fails where another came
between. A `status` that is usable means that Redis answered within `max_stale_s` and held at least what it held before.
INVARIANT: the thread ends with the store and for nothing else: whatever it meets, answers of a kind that no Redis gives
included, is said in `status` and tried again.
INVARIANT: Redis that lost its data (another epoch, a lower revision, an entry gone) is refused by S113, and the copy
stays as it is.
Source: redis.io, "Transactions" (WATCH), "Pub/Sub".
Length: what is written in a transaction and what is found of it later stand beside each other, to be seen together.

SECURITY: an address may hold a password: messages name host, port and database only. Whoever can write to this Redis
can withdraw revocations: it needs a password or certificates of its own, and a policy that evicts nothing.

Decision: 2026-11-21. The revision is compared and set (WATCH) in place of counted: what is merged with an earlier entry
    is then merged here, in the one function of all stores, and not a second time in Lua.
Decision: 2026-11-21. A session was last seen when the last host to say so said: clocks of hosts differ, and the newest
    word of one whose clock was ahead must not stay.
Decision: 2026-11-21. While the thread says that Redis does not answer, nothing is asked of sessions: a decision would
    wait for what is known not to come. Revoking is tried.
Decision: 2026-11-21. A change that another came between is tried again for `CHANGE_S`, after a wait that is drawn and
    grows: hosts that try in step would each lose to the next.
Decision: 2026-11-21. Whether what is revoked outlives a restart of Redis is Redis's configuration (`appendonly yes`);
    that it did not is found by the epoch.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from pdp.clock import host_clock_us
from pdp.shared_state.model import (
    LATEST_US,
    MOST_REVOCATIONS,
    Identity,
    Revocation,
    Status,
    StoreError,
    check_sought,
    full,
    lost,
    merged,
    withdrawal,
)
from pdp.shared_state.redis_driver import (
    Asked,
    Change,
    Client,
    RedisError,
    WatchError,
    connected,
    names_of,
    texts_of,
)
from pdp.shared_state.told import Told

VERSION = 1
POLL_S = 1.0
MAX_STALE_S = 10.0
CHANGE_S = 3.0
KEPT_S = 30 * 24 * 60 * 60

_ABOUT = "{portcullis}:about"
_ENTRIES = "{portcullis}:revocations"
_ORDER = "{portcullis}:order"
_CHANGED = "{portcullis}:changed"
_SEEN = "{portcullis}:seen:"
_TRIES = 20
_FIRST_WAIT_MS, _LONGEST_WAIT_MS = 4, 64
_AT_ONCE = 1_000

Clock = Callable[[], float]


class _Entry(Struct, frozen=True):
    revision: int
    revocation: Revocation


class _Known(Struct, frozen=True):
    """What Redis held when it last answered: never less than before."""

    epoch: bytes
    revision: int
    entries: Mapping[Identity, _Entry]


class RedisStore:
    """See `Store`; `address` is a `redis://` or `rediss://` one.

    Errors: StoreError S111 where it does not answer now, S114 where it is no address or holds another version.
    """

    def __init__(
        self,
        address: str,
        most: int = MOST_REVOCATIONS,
        max_stale_s: float = MAX_STALE_S,
        poll_s: float = POLL_S,
        clock: Clock = time.monotonic,
        clock_us: Callable[[], int] = host_clock_us,
    ) -> None:
        self._name = _name(address)
        self._most, self._max_stale_s, self._poll_s, self._clock = most, max_stale_s, poll_s, clock
        self._clock_us = clock_us
        self._told = Told()
        self._failure: StoreError | None = None
        self._loading = threading.Lock()
        self._ending = threading.Event()
        self._redis = _client(address, self._name)
        try:
            self._known = self._start()
        except BaseException:
            self._redis.close()
            raise
        self._answered_s = clock()
        self._thread = threading.Thread(target=self._follow, name="revocations", daemon=True)
        self._thread.start()

    def revoke(self, revocation: Revocation) -> int:
        """See `Store`. Errors: StoreError S111, S112, S113."""
        return self._change(revocation.identity, lambda old: merged(old, revocation))

    def withdraw(self, identity: Identity, at_us: int, by: str) -> bool:
        """See `Store`. Errors: StoreError S111, S113."""
        entry = withdrawal(identity, at_us, by)
        return self._change(identity, lambda old: None if old is None or old.withdrawn else entry) > 0

    def revocations(self, since: int) -> tuple[Sequence[Revocation], int]:
        """See `Store`: as Redis last said. Errors: StoreError S111 where that is older than `max_stale_s`, S113."""
        status = self.status()
        if not status.usable:
            raise self._failure or StoreError("S111", status.detail)
        known = self._known
        if since >= known.revision:
            return [], known.revision
        return [entry.revocation for entry in known.entries.values() if entry.revision > since], known.revision

    def generation(self) -> int | None:
        """See `Store`."""
        return self._known.revision

    def seen(self, session: bytes, at_us: int) -> None:
        """See `Store`. Errors: StoreError S111, S113, S114; ValueError for what is no digest."""
        if not self._told.is_news(session, at_us):
            return
        self._check_followed()
        with self._asking():
            self._redis.set(_SEEN + session.hex(), at_us, ex=KEPT_S)
        self._told.keep(session, at_us)

    def last_seen(self, sessions: Sequence[bytes]) -> Mapping[bytes, int]:
        """See `Store`. Errors: StoreError S111, S113, S114."""
        check_sought(sessions)
        self._check_followed()
        if not sessions:
            return {}
        with self._asking():
            texts = self._redis.mget([_SEEN + session.hex() for session in sessions])
            told = zip(sessions, texts_of(texts, len(sessions)), strict=True)
            stored = {session: _instant(text) for session, text in told if text is not None}
        return self._told.latest(sessions, stored)

    def status(self) -> Status:
        """See `Store`. Usable while Redis last answered, in full, within `max_stale_s`."""
        failure = self._failure
        stale_s = max(0.0, self._clock() - self._answered_s)
        if stale_s < self._max_stale_s:
            return Status(usable=True, stale_s=stale_s, detail=failure.detail if failure else "")
        failure = failure or self._unanswered("nothing came in time")
        return Status(usable=False, stale_s=stale_s, detail=failure.detail)

    def close(self) -> None:
        """See `Store`."""
        self._ending.set()
        self._thread.join()
        self._redis.close()

    def _start(self) -> _Known:
        with self._asking():
            with self._redis.pipeline(transaction=True) as made:
                made.hsetnx(_ABOUT, "version", VERSION)
                made.hsetnx(_ABOUT, "epoch", secrets.token_hex(16))
                made.hsetnx(_ABOUT, "revision", 0)
                made.execute()
            version = self._redis.hget(_ABOUT, "version")
            if version != str(VERSION).encode():
                said = f"it has version {version!r}, and this program knows {VERSION}"
                raise StoreError("S114", f"the store {self._name} is not usable: {said}: use the program that made it")
            epoch, revision = self._about(self._redis)
            return _Known(epoch, revision, self._all(epoch))

    def _all(self, epoch: bytes) -> dict[Identity, _Entry]:
        """Every entry. One that no order names was lost from it: the next host to start would not know it."""
        for _ in range(_TRIES):
            found = self._since(_Known(epoch, 0, {}))
            if self._redis.hlen(_ENTRIES) == len(found):
                return found
        raise self._lost("the order of its entries is gone", "delete what begins with {portcullis}, and restart")

    def _follow(self) -> None:
        """The thread: look when told, and at every `poll_s`; whatever fails is said in `status` and tried again."""
        while not self._ending.is_set():
            try:
                with self._redis.pubsub(ignore_subscribe_messages=True) as told:
                    told.subscribe(_CHANGED)
                    while not self._ending.is_set():
                        self._load()
                        told.get_message(timeout=self._poll_s)
            except StoreError as error:
                self._failure = error
            except (RedisError, OSError) as error:
                self._failure = self._unanswered(error)
            except Exception as error:  # noqa: BLE001 - nothing but its end may end the thread
                self._failure = self._unusable(error)
            self._ending.wait(min(self._poll_s, self._max_stale_s / 4))

    def _load(self) -> None:
        """Bring the copy up to date. Errors: StoreError S111, S113, S114; the copy is then as it was."""
        with self._loading, self._asking():
            asked_s, known = self._clock(), self._known
            epoch, revision = self._about(self._redis)
            if epoch != known.epoch or revision < known.revision:
                raise self._lost(f"it is at revision {revision} after {known.revision}")
            if revision > known.revision:
                changed = self._since(known)
                latest = max((entry.revision for entry in changed.values()), default=0)
                self._known = _Known(epoch, max(revision, latest), {**known.entries, **changed})
            self._answered_s, self._failure = asked_s, None

    def _since(self, known: _Known) -> dict[Identity, _Entry]:
        """The entries above a revision; each name of the order must have one."""
        names = names_of(self._redis.zrangebyscore(_ORDER, f"({known.revision}", "+inf"))
        found: dict[Identity, _Entry] = {}
        for start in range(0, len(names), _AT_ONCE):
            some = names[start : start + _AT_ONCE]
            for text in texts_of(self._redis.hmget(_ENTRIES, some), len(some)):
                if text is None:
                    raise self._lost("an entry is gone")
                entry = msgspec.json.decode(text, type=_Entry)
                found[entry.revocation.identity] = entry
        return found

    def _change(self, identity: Identity, made: Callable[[Revocation | None], Revocation | None]) -> int:
        """Put what `made` makes of an entry in its place, alone; its revision, 0 where that is nothing."""
        name = _entry_name(identity)
        with self._asking():
            for wait_s in _waits(self._clock):
                with self._redis.pipeline(transaction=True) as change:
                    try:
                        revision = self._changed_once(change, name, made)
                    except WatchError:
                        self._ending.wait(wait_s)
                        continue
                if revision:
                    self._load()
                return revision
        raise StoreError("S111", f"the store {self._name} does not answer: others write all the time: try again")

    def _changed_once(self, change: Change, name: bytes, made: Callable[[Revocation | None], Revocation | None]) -> int:
        # Before what Redis says is asked for: the thread may bring the copy further meanwhile.
        known = self._known
        change.watch(_ABOUT)
        epoch, revision = self._about(change)
        if epoch != known.epoch or revision < known.revision:
            raise self._lost(f"it is at revision {revision} after {known.revision}")
        text = change.hget(_ENTRIES, name)
        old = None if text is None else msgspec.json.decode(text, type=_Entry).revocation
        entry = made(old)
        if entry is None:
            return 0
        gone = self._over(change) if old is None and change.hlen(_ENTRIES) >= self._most else {}
        change.multi()
        if gone:
            change.hdel(_ENTRIES, *gone.values())
            change.zrem(_ORDER, *gone.values())
        change.hset(_ABOUT, "revision", revision + 1)
        change.hset(_ENTRIES, name, msgspec.json.encode(_Entry(revision + 1, entry)))
        change.zadd(_ORDER, {name: revision + 1})
        change.publish(_CHANGED, revision + 1)
        change.execute()
        if gone:
            with self._loading:
                kept = {each: entry for each, entry in self._known.entries.items() if each not in gone}
                self._known = replace(self._known, entries=kept)
        return revision + 1

    def _over(self, asked: Asked) -> dict[Identity, bytes]:
        """The entries that make room, with their names: what is over here and there, where it may have been revoked
        again. Errors: StoreError S112 where there are none."""
        now_us = self._clock_us()
        over = [each for each, entry in self._known.entries.items() if entry.revocation.over(now_us)]
        names = [_entry_name(each) for each in over]
        there = texts_of(asked.hmget(_ENTRIES, names), len(names)) if names else []
        gone = {
            each: name
            for each, name, text in zip(over, names, there, strict=True)
            if text is not None and msgspec.json.decode(text, type=_Entry).revocation.over(now_us)
        }
        if not gone:
            raise full(self._name, self._most)
        return gone

    def _about(self, asked: Asked) -> tuple[bytes, int]:
        epoch, revision = texts_of(asked.hmget(_ABOUT, ["epoch", "revision"]), 2)
        if epoch is None or revision is None:
            raise self._lost("its revision is gone")
        return epoch, _number(revision)

    def _check_followed(self) -> None:
        if self._failure is not None:
            raise self._failure

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Whatever goes wrong in the block has a name of ours."""
        try:
            yield
        except StoreError:
            raise
        except (RedisError, OSError) as error:
            raise self._unanswered(error) from error
        except Exception as error:
            raise self._unusable(error) from error

    def _unanswered(self, error: object) -> StoreError:
        return StoreError("S111", f"the store {self._name} does not answer: {error}: see that it runs")

    def _unusable(self, error: Exception) -> StoreError:
        remedy = "see that a Redis is there, and give us a database of its own"
        return StoreError("S114", f"the store {self._name} is not usable: {error}: {remedy}")

    def _lost(self, what: str, remedy: str = "restart to go on with what is there now") -> StoreError:
        remedy += ", and revoke again what is missing"
        return lost(self._name, what, remedy)


def _waits(clock: Clock) -> Iterator[float]:
    """How long to wait after each try, in seconds, until `CHANGE_S` have passed."""
    end_s, most_ms = clock() + CHANGE_S, _FIRST_WAIT_MS
    while clock() < end_s:
        yield secrets.randbelow(1_000 * most_ms) / 1e6
        most_ms = min(2 * most_ms, _LONGEST_WAIT_MS)


def _client(address: str, name: str) -> Client:
    try:
        return connected(address)
    except ValueError:
        raise StoreError("S114", f"{name} is no address of a Redis: write redis://HOST:PORT/DATABASE") from None


def _name(address: str) -> str:
    """The address as messages may have it: without who, password and options."""
    try:
        parts = urlsplit(address)
        port = parts.port or 6379
    except ValueError:
        return "the redis address"
    return f"redis://{parts.hostname or ''}:{port}{parts.path}"


def _entry_name(identity: Identity) -> bytes:
    return msgspec.json.encode(identity)


def _instant(text: bytes) -> int:
    """An instant; what no store wrote is one that has not come."""
    try:
        return _number(text)
    except ValueError:
        return LATEST_US


def _number(text: bytes) -> int:
    """ValueError for what no store wrote."""
    return int(text.decode("ascii"))
