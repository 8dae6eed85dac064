"""Sessions that end at rest: whether the one that a proved token is of was used lately enough.

A `Session`, as a token names it, and the instant come in; a reason goes out, or None, and that was then a use of it. A
store that all workers share comes in too.
INVARIANT: a token passes only where its session was used, or its login was, at most `idle_s` and the leeway of its
issuer ago. Ignorance never helps the caller: what nobody knows is no use, and least of all is it now.
INVARIANT: no session grows younger but by a use or a login. Time is the latest instant that was ever given.
INVARIANT: nothing here waits for the store but its own thread; who wants an answer awaits it.
Design: security.md 2.1; contracts.md "Shared by all workers of a host, and by hosts through the same interface".

What counts as the last use of a session, in this order:

(0) a use here, while it is not too long ago
(1) the login that the token tells of, while it is not too long ago; the store can then add nothing
(2) the last use that the store knows; of a session that is known here, the later of the two
(3) where the store knows none: the login, else when the token was issued; of several tokens that of the one that was
    the reason to ask

`token.idle`: that is too long ago. It is no use, and stays known, here and in the store: a later token of that session
passes only if it tells of a later login.
`token.session_unknown`: it is not known yet, and the store was asked: `answered` awaits what it says. Or, of a session
that is not known here, the store cannot be asked now, or said an instant that has not come (another host's clock is
ahead).

Uses of a session are told to the store once in `COALESCED_US`: others see it up to so much idler than it is. What the
store does not take is told with a later use, and only makes a session look idler still. Stores forget sessions that
were not used for thirty days; then (3) holds.

Decision: 2026-11-21. A store is asked for no session but one that is not known here, or has ended by what is known
here; of these, once in `COALESCED_US`, failures included. All questions that there are go as one, in their order and
before the next thing that is told; none is given up for another: beyond `MOST_ASKED` new ones are refused.
Decision: 2026-11-21. A session that has ended by what is known here is asked for first, and called unknown until then:
its caller may come from another host, where it goes on. Refused as idle at once, good tokens would be.
Decision: 2026-11-21. A store that failed a question is asked no other for `SILENT_S`, and neither is one that owes an
answer for so long; nobody awaits it meanwhile. What it fails to be told does not count: it may still be read.
Decision: 2026-11-21. A use is a token that was proved, whatever policy then says of the call.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from msgspec import Struct

from pdp.identity.jwt import Session
from pdp.shared_state.model import COALESCED_US, MOST_SOUGHT, Store, StoreError

MOST_SESSIONS = 100_000
MOST_UNTOLD = 10_000
"""Sessions whose last use the store is still to be told."""
MOST_ASKED = 10_000
"""Sessions for which the store is asked, and has not answered; and of those for which it failed."""
MOST_WAITING = 10_000
WOKEN_AT_ONCE = 50
"""Of those who wait, so many go on before the loop turns to others."""
SILENT_S = 1.0
TELL_WITHIN_S = 2.0
"""So long an end tells the store what it was not told yet."""
END_WITHIN_S = 3.0

_SECOND_US = 1_000_000


@dataclass(slots=True)
class _Known:
    """When a session was last used, when the store was last told, and when it was asked for what it last answered."""

    used_us: int
    told_us: int
    asked_us: int


@dataclass(slots=True)
class _Question:
    """What the store is asked, of a token's session, and when; who waits for the answer, and whether one came."""

    session: Session
    at_us: int
    waiting: set[asyncio.Future[bool]] = field(default_factory=set)
    heard: bool | None = None


class Sessions:
    """Belongs to one event loop. At most `capacity` sessions are known here, the least recently used going first.

    Errors: StoreError where the store cannot be opened.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        *,
        capacity: int = MOST_SESSIONS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`open_store` is called once, in the thread that the store then belongs to."""
        self._shared = _Shared(open_store, monotonic)
        self._capacity = capacity
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._asked: dict[bytes, _Question] = {}
        self._failed: dict[bytes, int] = {}
        self._last: _Question | None = None
        self._waiting = 0
        self._woken: deque[tuple[asyncio.Future[bool], _Question]] = deque()
        self._waking = False
        self._now_us = 0

    def refused(self, session: Session, now_us: int) -> str | None:
        """The reason why a proved token of `session` is refused at `now_us` (Unix microseconds); else it was used.
        Never waits: see `answered`.
        """
        self._now_us = now_us = max(now_us, self._now_us)
        key, limit_us = session.key, (session.idle_s + session.leeway_s) * _SECOND_US
        known = self._known.get(key)
        if known is not None and now_us - known.used_us <= limit_us:
            self._known.move_to_end(key)
        else:
            found = self._elsewhere(session, now_us, limit_us)
            if isinstance(found, str):
                return found
            known = found
        if now_us - known.told_us >= COALESCED_US and self._shared.tell(key, now_us):
            known.told_us = now_us
        known.used_us = now_us
        return None

    async def answered(self, within_s: float) -> bool:
        """Whether the store answers, within so many seconds, what the last call of `refused` asked; that is then to be
        called again. To be awaited in the same step of the loop as that call said `token.session_unknown`.
        """
        question, loop = self._last, asyncio.get_running_loop()
        if question is None:
            return False
        self._shared.wakes(loop, self._wake)  # before what is there is heard: no answer comes in between
        self._hear()
        if question.heard is not None:
            return question.heard
        if within_s <= 0 or self._waiting >= MOST_WAITING or self._shared.is_silent():
            return False
        future: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(within_s, _go_on, future, question)
        question.waiting.add(future)
        self._waiting += 1
        try:
            return await future
        finally:
            timer.cancel()
            question.waiting.discard(future)
            self._waiting -= 1

    def misgiving(self) -> str:
        """What is to be said of the store; "" where it does as it should."""
        failure = self._shared.failure()
        return "" if not failure else f"when sessions were last used may be unknown: {failure}"

    def close(self) -> None:
        """Tell the store what it was not told yet, for `TELL_WITHIN_S` and as long as it takes that, and let it go.
        Waits for that, `END_WITHIN_S` at most; may be called in any thread. Idempotent.
        """
        self._shared.close()

    def _elsewhere(self, session: Session, now_us: int, limit_us: int) -> _Known | str:
        """A session that was not used here lately: what is known of it now, or the reason why it is refused, and the
        store is asked where it may know more.
        """
        self._hear()
        self._last = None
        known, began_us = self._known.get(session.key), session.began_at * _SECOND_US
        if session.by_login and now_us - began_us <= limit_us:  # (1)
            known = known or _Known(began_us, now_us - COALESCED_US, now_us - COALESCED_US)
            self._remember(session.key, known)
            return known
        if known is not None and now_us - known.used_us <= limit_us:
            return known
        if known is None or now_us - known.asked_us >= COALESCED_US:
            self._last = self._ask(session, now_us)
        return "token.session_unknown" if known is None or self._last is not None else "token.idle"

    def _ask(self, session: Session, now_us: int) -> _Question | None:
        """The question after a session, asked now or before; None where it is not to be asked."""
        key = session.key
        question = self._asked.get(key)
        if question is not None:
            return question
        failed_us = self._failed.get(key)
        lately = failed_us is not None and now_us - failed_us < COALESCED_US
        if lately or len(self._asked) >= MOST_ASKED or self._shared.is_silent() or not self._shared.ask(key):
            return None
        self._asked[key] = question = _Question(session, now_us)
        return question

    def _hear(self) -> None:
        """Take what the store answered."""
        while self._shared.answers:
            answer = self._shared.answers.popleft()
            for key in answer.keys:
                question = self._asked.pop(key)
                question.heard = answer.seen_us is not None and self._learn(question, answer.seen_us.get(key))
                if not question.heard:
                    self._failed.pop(key, None)
                    self._failed[key] = question.at_us
                self._woken.extend((future, question) for future in question.waiting)
        while self._failed:
            key = next(iter(self._failed))
            if len(self._failed) <= MOST_ASKED and self._now_us - self._failed[key] < COALESCED_US:
                break
            del self._failed[key]

    def _learn(self, question: _Question, seen_us: int | None) -> bool:
        """Know what the store says of a session; whether that may be."""
        session, key, now_us = question.session, question.session.key, self._now_us
        if seen_us is not None and seen_us > now_us + session.leeway_s * _SECOND_US:
            return False
        known = self._known.get(key)
        if known is None:
            last_us = session.began_at * _SECOND_US if seen_us is None else seen_us  # (3)
            known = _Known(last_us, now_us - COALESCED_US, question.at_us)
        else:
            known.used_us, known.asked_us = max(known.used_us, seen_us or 0), question.at_us  # (2)
        if seen_us is None and now_us - known.used_us > (session.idle_s + session.leeway_s) * _SECOND_US:
            self._shared.tell(key, known.used_us)
        self._remember(key, known)
        return True

    def _remember(self, key: bytes, known: _Known) -> None:
        self._known[key] = known
        self._known.move_to_end(key)
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)

    def _wake(self) -> None:
        """The store has answered: let those who waited go on, unless they are going already."""
        self._hear()
        if not self._waking:
            self._wake_some()

    def _wake_some(self) -> None:
        for _ in range(min(len(self._woken), WOKEN_AT_ONCE)):
            _go_on(*self._woken.popleft())
        self._waking = bool(self._woken)
        if self._waking:
            asyncio.get_running_loop().call_soon(self._wake_some)


def _go_on(future: asyncio.Future[bool], question: _Question) -> None:
    """Let who waits go on with what is heard by now."""
    if not future.done():
        future.set_result(question.heard is True)


class _Answer(Struct, frozen=True):
    """When the store says that sessions were last used, absent where it does not know; None where it failed."""

    keys: Sequence[bytes]
    seen_us: Mapping[bytes, int] | None


class _Shared:
    """A store in its own thread. `answers` is filled there and emptied by who asks."""

    def __init__(self, open_store: Callable[[], Store], monotonic: Callable[[], float]) -> None:
        self.answers: deque[_Answer] = deque()
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._questions: dict[bytes, None] = {}
        self._untold: dict[bytes, int] = {}
        self._wake: Callable[[], None] = _nobody
        self._closing = False
        self._failure = ""
        self._failed_s: float | None = None
        self._owes_since_s: float | None = None
        opened: Future[None] = Future()
        # A daemon: a store that does not come back keeps nobody from ending.
        self._thread = threading.Thread(target=self._run, args=(open_store, opened), name="sessions", daemon=True)
        self._thread.start()
        try:
            opened.result()
        except BaseException:
            self.close()
            raise

    def ask(self, key: bytes) -> bool:
        """Ask when a session was last used, which is not asked yet; whether there will be an answer."""
        with self._changed:
            if self._closing:
                return False
            self._questions[key] = None
            if self._owes_since_s is None:
                self._owes_since_s = self._monotonic()
            self._changed.notify()
        return True

    def tell(self, key: bytes, at_us: int) -> bool:
        """Tell the store of a use some time soon; whether that is going to be tried."""
        with self._changed:
            if self._closing or (key not in self._untold and len(self._untold) >= MOST_UNTOLD):
                return False
            self._untold[key] = at_us
            self._changed.notify()
        return True

    def wakes(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        """Let `wake` be called in the loop after each answer from now on."""

        def later() -> None:
            with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
                loop.call_soon_threadsafe(wake)

        with self._changed:
            self._wake = later

    def is_silent(self) -> bool:
        """Whether the store is known not to answer."""
        failed_s = self._failed_s
        return self._owes() or (failed_s is not None and self._monotonic() - failed_s < SILENT_S)

    def failure(self) -> str:
        """Why the store did not do what it was last asked; "" where it did."""
        return f"the store did not answer within {SILENT_S:g} s: see that it runs" if self._owes() else self._failure

    def close(self) -> None:
        """Tell the rest, and end, within `END_WITHIN_S`."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(END_WITHIN_S)

    def _owes(self) -> bool:
        since_s = self._owes_since_s
        return since_s is not None and self._monotonic() - since_s >= SILENT_S

    def _run(self, open_store: Callable[[], Store], opened: Future[None]) -> None:
        """The thread: all that is asked, then one thing that is to be told, and again; at the end the rest of that."""
        try:
            store = open_store()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            opened.set_exception(error)
            return
        opened.set_result(None)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._questions or self._untold or self._closing)
                if self._closing:
                    break
                keys = list(islice(self._questions, MOST_SOUGHT))
            if keys:
                self._ask(store, keys)
            else:
                self._tell_one(store)
        ends_s = self._monotonic() + TELL_WITHIN_S
        while self._untold and self._monotonic() < ends_s and self._tell_one(store):
            pass
        with suppress(Exception):
            store.close()

    def _ask(self, store: Store, keys: Sequence[bytes]) -> None:
        try:
            seen_us: Mapping[bytes, int] | None = store.last_seen(keys)
            self._failed_s, self._failure = None, ""
        except Exception as error:  # noqa: BLE001 - whatever a store does, the thread goes on
            seen_us, self._failed_s, self._failure = None, self._monotonic(), _said(error)
        with self._changed:
            for key in keys:
                del self._questions[key]
            self._owes_since_s = self._monotonic() if self._questions else None
            self.answers.append(_Answer(keys, seen_us))
            wake = self._wake
        wake()

    def _tell_one(self, store: Store) -> bool:
        """Whether the store took what it was to be told first. It is told once, whatever comes of it."""
        with self._changed:
            key, at_us = next(iter(self._untold.items()))
        try:
            store.seen(key, at_us)
            self._failure = ""
        except Exception as error:  # noqa: BLE001 - as above
            self._failure = _said(error)
        with self._changed:
            if self._untold[key] == at_us:
                del self._untold[key]
        return not self._failure


def _nobody() -> None:
    """Nobody waits."""


def _said(error: Exception) -> str:
    return error.detail if isinstance(error, StoreError) else type(error).__name__
