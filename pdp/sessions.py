"""Sessions that end at rest: whether the one that a proved token is of was used lately enough.

A `Session`, as a token names it, and the instant come in; a reason goes out, or None, and that was then a use of it. A
store that all workers share comes in too.
INVARIANT: a token passes only where its session was used, or its login was, at most `idle_s` and the leeway of its
issuer ago. Ignorance never helps the caller: what nobody knows is no use, and least of all is it now.
INVARIANT: no session grows younger but by a use or a login. Time is the latest instant that was ever given.
Design: security.md 2.1; contracts.md "Shared by all workers of a host, and by hosts through the same interface".

What counts as the last use of a session, in this order:

(0) a use here, while it is not too long ago
(1) the login that the token tells of, while it is not too long ago; the store can then add nothing
(2) the last use that the store knows; of a session that is known here, the later of the two
(3) where the store knows none: the login, else when the token was issued

`token.idle`: that is too long ago. It is no use, and stays known, here and in the store: a later token of that session
passes only if it tells of a later login.
`token.session_unknown`: the session is not known here, and the store did not say in time, or said an instant that has
not come (another host's clock is ahead). A session that is known here goes on by what is known here.

Uses of a session are told to the store once in `COALESCED_US`: others see it up to so much idler than it is. What the
store does not take is told with a later use, and only makes a session look idler still. Stores forget sessions that
were not used for thirty days; then (3) holds.

Decision: 2026-11-21. A store is opened, asked and told in one thread of ours, and none is asked but for a session that
is not known here, or has ended by what is known here; of these, once in `COALESCED_US`. Who asks waits for it, `WAIT_S`
at most, with everything else in this process: a file answers in some 0.1 ms, a network that is well in 2 ms. One that
is not costs a wait of `WAIT_S` each time the thread is free again, and none while it is not: the caller is refused at
once, and its next call finds the answer.
Decision: 2026-11-21. A use is a token that was proved, whatever policy then says of the call.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from msgspec import Struct

from pdp.identity.jwt import Session
from pdp.shared_state.model import COALESCED_US, Store, StoreError

MOST_SESSIONS = 100_000
MOST_UNTOLD = 10_000
"""Sessions whose last use the store is still to be told."""
MOST_ASKED = 1_000
"""Sessions whose last use the store was asked for and nobody has heard."""
WAIT_S = 0.02

_SECOND_US = 1_000_000


@dataclass(slots=True)
class _Known:
    """When a session was last used, when the store was last told, and when it last answered."""

    used_us: int
    told_us: int
    asked_us: int


class _Answer(Struct, frozen=True):
    """When the store says that a session was last used; None where it does not know."""

    seen_us: int | None


class _Asked(Struct, frozen=True):
    """A question to the store, and when it was asked."""

    at_us: int
    answer: Future[int | None]


class Sessions:
    """Belongs to one event loop. At most `capacity` sessions are known here, the least recently used going first.

    Errors: StoreError where the store cannot be opened.
    """

    def __init__(
        self, open_store: Callable[[], Store], *, capacity: int = MOST_SESSIONS, wait_s: float = WAIT_S
    ) -> None:
        """`open_store` is called once, in the thread that the store then belongs to."""
        self._shared = _Shared(open_store, wait_s)
        self._capacity = capacity
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._asked: OrderedDict[bytes, _Asked] = OrderedDict()
        self._now_us = 0

    def refused(self, session: Session, now_us: int) -> str | None:
        """The reason why a proved token of `session` is refused at `now_us` (Unix microseconds); else it was used."""
        self._now_us = now_us = max(now_us, self._now_us)
        key, limit_us = session.key, (session.idle_s + session.leeway_s) * _SECOND_US
        known = self._known.get(key)
        if known is not None and now_us - known.used_us <= limit_us:
            self._known.move_to_end(key)
        else:
            found = self._elsewhere(session, known, now_us, limit_us)
            if isinstance(found, str):
                return found
            known = found
            self._remember(key, known)
        if now_us - known.told_us >= COALESCED_US and self._shared.tell(key, now_us):
            known.told_us = now_us
        known.used_us = now_us
        return None

    def misgiving(self) -> str:
        """What is to be said of the store; "" where it does as it should."""
        failure = self._shared.failure()
        return "" if not failure else f"when sessions were last used may be unknown: {failure}"

    def close(self) -> None:
        """Tell the store what it was not told yet, as long as it takes that, and let it go. Idempotent."""
        for asked in self._asked.values():
            asked.answer.cancel()
        self._shared.close()

    def _elsewhere(self, session: Session, known: _Known | None, now_us: int, limit_us: int) -> _Known | str:
        """A session that was not used here lately: the reason why it is refused, or what is known of it now."""
        key, began_us = session.key, session.began_at * _SECOND_US
        if session.by_login and now_us - began_us <= limit_us:  # (1)
            return known or _Known(began_us, now_us - COALESCED_US, now_us - COALESCED_US)
        if known is not None and now_us - known.asked_us < COALESCED_US:
            return "token.idle"
        answer = self._answer(key, now_us)
        if answer is None or (answer.seen_us or 0) > now_us + session.leeway_s * _SECOND_US:
            return "token.session_unknown" if known is None else "token.idle"
        if known is None:
            last_us = began_us if answer.seen_us is None else answer.seen_us  # (3)
            known = _Known(last_us, now_us - COALESCED_US, now_us)
        else:
            known.used_us, known.asked_us = max(known.used_us, answer.seen_us or 0), now_us  # (2)
        if now_us - known.used_us <= limit_us:
            return known
        if answer.seen_us is None:
            self._shared.tell(key, known.used_us)
        self._remember(key, known)
        return "token.idle"

    def _remember(self, key: bytes, known: _Known) -> None:
        self._known[key] = known
        self._known.move_to_end(key)
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)

    def _answer(self, key: bytes, now_us: int) -> _Answer | None:
        """What the store says now, or said to the last call within `COALESCED_US`; None where it does not."""
        asked = self._asked.pop(key, None)
        if asked is not None and now_us - asked.at_us > COALESCED_US:
            asked.answer.cancel()
            asked = None
        if asked is None:
            asked = _Asked(now_us, self._shared.ask(key))
        if not asked.answer.done():
            self._asked[key] = asked
            if len(self._asked) > MOST_ASKED:
                self._asked.popitem(last=False)[1].answer.cancel()
            return None
        return None if asked.answer.exception() is not None else _Answer(asked.answer.result())


class _Shared:
    """A store in its own thread. What fails there is said by `failure`, until something succeeds."""

    def __init__(self, open_store: Callable[[], Store], wait_s: float) -> None:
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._untold: dict[bytes, int] = {}
        self._telling = False
        self._closing = False
        self._failure = ""
        self._asked: Future[int | None] | None = None
        self._thread = ThreadPoolExecutor(1, "sessions")
        try:
            self._store = self._thread.submit(open_store).result()
        except BaseException:
            self._thread.shutdown()
            raise

    def ask(self, key: bytes) -> Future[int | None]:
        """When a session was last used, done if the store said so, or failed, within `wait_s`. Nobody waits while an
        earlier question is open.
        """
        waits = self._asked is None or self._asked.done()
        self._asked = asked = self._thread.submit(self._last_seen, key)
        if waits:
            wait([asked], self._wait_s)
        return asked

    def tell(self, key: bytes, at_us: int) -> bool:
        """Tell the store of a use some time soon; whether that is going to be tried."""
        with self._lock:
            if self._closing or (key not in self._untold and len(self._untold) >= MOST_UNTOLD):
                return False
            self._untold[key] = at_us
            begin, self._telling = not self._telling, True
        if begin:
            self._thread.submit(self._tell_one)
        return True

    def failure(self) -> str:
        """Why the store did not do what it was last asked; "" where it did."""
        if self._failure or self._asked is None or self._asked.done():
            return self._failure
        return f"the store did not answer within {self._wait_s * 1000:.0f} ms: see that it runs"

    def close(self) -> None:
        with self._lock:
            closed, self._closing = self._closing, True
        if not closed:
            self._thread.submit(self._end)
        self._thread.shutdown()

    def _last_seen(self, key: bytes) -> int | None:
        with self._noting():
            return self._store.last_seen(key)

    def _tell_one(self) -> None:
        """Tell of one session, and of the next when what was asked meanwhile is answered."""
        with self._lock:
            if self._closing or not self._untold:
                self._telling = False
                return
            key = next(iter(self._untold))
            at_us = self._untold.pop(key)
        with suppress(Exception), self._noting():
            self._store.seen(key, at_us)
        with self._lock:
            if not self._closing:
                self._thread.submit(self._tell_one)

    def _end(self) -> None:
        with suppress(Exception):
            for key, at_us in self._untold.items():
                self._store.seen(key, at_us)
        self._store.close()

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._failure = error.detail if isinstance(error, StoreError) else type(error).__name__
            raise
        self._failure = ""
