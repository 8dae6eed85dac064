"""Revocations and sessions' last use: the values, the interface of every store, and the index a decision asks.

A `Revocation` goes into a `Store`; what a store holds comes into `Revocations`, in memory, which answers whether a
proved credential is revoked, without a file or a socket.
INVARIANT: nothing revoked is forgotten before its `until_us`, whatever fails: a full list takes no more and says so, a
store that holds less than before is refused by name, and the index keeps what it has meanwhile.
Design: contracts.md "Shared by all workers of a host, and by hosts through the same interface".

Every failure of a store is a StoreError that names the store, the cause and the remedy: S111 it does not answer, S112
it is full, S113 it is not the one that was opened, or holds less, S114 it is no store of ours, or others may use it.

Decision: 2026-11-21. A subject that is revoked with an end (`until_us`) loses the tokens issued up to `at_us`, and a
    later login passes; `until_us` is then when the last of those tokens is over. Revoked without an end it is revoked
    outright, until somebody withdraws that. A refresh also makes a later token: where the login itself is doubted,
    revoke the session, or the subject outright. Whatever else is revoked is refused always.
Decision: 2026-11-21. `iat` counts in whole seconds and issuers round it either way, so a token of the second after
    `at_us` is refused too, and so is one whose `iat` is absent or no number. Whoever allows an issuer's clock to be
    ahead adds as much to `at_us`.
Decision: 2026-11-21. What is revoked twice is revoked as the stricter of the two says, each field for itself.
Decision: 2026-11-21. An entry goes a day after its end, so that a clock that was ahead for less forgets nothing.
Decision: 2026-11-21. A withdrawal is an entry of its own, with the end 0, so that readers learn it like any change.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, assert_never, get_args

from msgspec import Struct
from msgspec.structs import replace

from pdp.errors import StateError
from policy_lang.verdict import Json

Kind = Literal["token", "subject", "session", "key", "issuer"]
Identity = tuple[Kind, str, str]
"""Kind, issuer and value: what is revoked."""

KINDS: tuple[Kind, ...] = get_args(Kind)
MOST_REVOCATIONS = 100_000
LONGEST = 1_024
"""Characters of an issuer, a value, or of who revoked."""

CREDENTIAL = "sha256:"
"""Begins the value of a token that is named by its `Principal.credential`, in lower-case hex, and not by its `jti`."""

SESSION_BYTES = 32
MOST_SOUGHT = 1_000
"""Sessions that a store is asked for at once."""
COALESCED_US = 5_000_000
"""Uses of a session that are nearer to each other are one."""
GRACE_US = 24 * 60 * 60 * 1_000_000
LATEST_US = 253_402_300_799_000_000
"""9999-12-31T23:59:59Z."""

_SECOND_US = 1_000_000
_CREDENTIAL_BYTES = 32


class StoreError(StateError):
    """A store of shared state cannot do what was asked. The codes stand in the module."""


class Revocation(Struct, frozen=True):
    """What is revoked, of one issuer, named as its `iss` names it. ValueError for one that names nothing.

    `value` is a `jti` or `CREDENTIAL` and hex (token), a `sub` (subject), a `sid` (session), a `kid` (key), or "" (the
    whole issuer). Times in Unix microseconds; `until_us` None stands until it is withdrawn, 0 is a withdrawal. `by`
    is who revoked, for the log.
    """

    kind: Kind
    issuer: str
    value: str
    at_us: int
    until_us: int | None
    by: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"a revocation is of one of {', '.join(KINDS)}")
        if not self.issuer or (not self.value) != (self.kind == "issuer"):
            raise ValueError("a revocation names an issuer and, but of the issuer itself, a value")
        for text in (self.issuer, self.value, self.by):
            if len(text) > LONGEST or any("\ud800" <= c <= "\udfff" for c in text):
                raise ValueError(f"the texts of a revocation are Unicode, of {LONGEST} characters at most")
        if not 0 <= self.at_us <= LATEST_US or (self.until_us and not self.at_us <= self.until_us <= LATEST_US):
            raise ValueError("a revocation begins in time and ends after it began")
        if self.kind == "token" and self.value.startswith(CREDENTIAL) and _digest(self.value) is None:
            raise ValueError(f"{CREDENTIAL} stands before {2 * _CREDENTIAL_BYTES} lower-case hex digits")

    @property
    def identity(self) -> Identity:
        """What it is that is revoked."""
        return (self.kind, self.issuer, self.value)

    @property
    def withdrawn(self) -> bool:
        """Whether it says that nothing is revoked any more."""
        return self.until_us == 0

    def over(self, now_us: int) -> bool:
        """Whether it may be forgotten: its end, or its withdrawal, is a day past."""
        end = self.at_us if self.withdrawn else self.until_us
        return end is not None and end + GRACE_US <= now_us


def withdrawal(identity: Identity, at_us: int, by: str) -> Revocation:
    """The entry that takes back what is revoked. ValueError for an identity of nothing."""
    kind, issuer, value = identity
    return Revocation(kind, issuer, value, at_us, 0, by)


def check_sought(sessions: Sequence[bytes]) -> None:
    """ValueError for more sessions than a store is asked for at once."""
    if len(sessions) > MOST_SOUGHT:
        raise ValueError(f"a store is asked for {MOST_SOUGHT} sessions at most at once")


def latest(sessions: Sequence[bytes], stored: Mapping[bytes, int], told: Mapping[bytes, int]) -> dict[bytes, int]:
    """For each of `sessions` the later of what is stored of it and what was told to be; absent where neither is."""
    found: dict[bytes, int] = {}
    for session in sessions:
        known = [known[session] for known in (stored, told) if session in known]
        if known:
            found[session] = max(known)
    return found


def merged(old: Revocation | None, new: Revocation) -> Revocation:
    """What holds when `new` comes to `old`, of the same identity: the stricter; a withdrawal counts for nothing."""
    if old is None or old.withdrawn:
        return new
    until = None if old.until_us is None or new.until_us is None else max(old.until_us, new.until_us)
    return replace(new, at_us=max(old.at_us, new.at_us), until_us=until)


def full(store: str, most: int) -> StoreError:
    """The failure of a store that takes no more."""
    said = f"it holds {most} revocations, its most, and forgets none before its end"
    return StoreError("S112", f"the store {store} is full: {said}: withdraw some, or revoke a key or subject")


def lost(store: str, what: str, remedy: str) -> StoreError:
    """The failure of a store that holds less than before, or something else."""
    return StoreError("S113", f"the store {store} is not the one that was opened: {what}: {remedy}")


class Status(Struct, frozen=True):
    """Whether a store's last word can be relied on: when not, its owner refuses. `stale_s` is how old that word is."""

    usable: bool
    stale_s: float = 0.0
    detail: str = ""


class Store(Protocol):
    """Where workers and hosts share. One thread owns a store. Every method but `generation`, `status` and `close`
    raises StoreError; after one, what was told before still holds."""

    def revoke(self, revocation: Revocation) -> int:
        """Make it last and known; the revision it got, above every earlier one. On return it survives a crash."""
        ...

    def withdraw(self, identity: Identity, at_us: int, by: str) -> bool:
        """Let what was revoked be good again; whether it was revoked. ValueError for an identity of nothing."""
        ...

    def revocations(self, since: int) -> tuple[Sequence[Revocation], int]:
        """What changed after revision `since`, withdrawals included, and the revision now. 0 is before all."""
        ...

    def generation(self) -> int | None:
        """A number that is another one whenever `revocations` may have more; None while that cannot be told."""
        ...

    def seen(self, session: bytes, at_us: int) -> None:
        """A session was used. Shapes: `session` 32 bytes, a digest. Others learn it within a few seconds' precision."""
        ...

    def last_seen(self, sessions: Sequence[bytes]) -> Mapping[bytes, int]:
        """When sessions were last used, in Unix microseconds; those of which it is not known are absent. What is held
        of one and is no instant is `LATEST_US`, an instant that has not come. ValueError for more than `MOST_SOUGHT`.
        """
        ...

    def status(self) -> Status:
        """Whether the store can be relied on now."""
        ...

    def close(self) -> None:
        """Let go of files, threads and connections. Twice is once."""
        ...


@dataclass(slots=True)
class _OfIssuer:
    """What is revoked of one issuer; `subjects` have the last second whose tokens are refused."""

    whole: bool = False
    tokens: set[str] = field(default_factory=set)
    credentials: set[bytes] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    subjects: dict[str, float] = field(default_factory=dict)


class Revocations:
    """The index of what is revoked, of at most `most` entries. One thread owns it."""

    def __init__(self, most: int = MOST_REVOCATIONS) -> None:
        self._most = most
        self._entries: dict[Identity, Revocation] = {}
        self._issuers: dict[str, _OfIssuer] = {}
        self._revision = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def revision(self) -> int:
        """The store's revision that the index has come to."""
        return self._revision

    def refused(self, issuer: str, claims: Mapping[str, Json], credential: bytes, kid: str | None) -> str | None:
        """`token.revoked`, or None where nothing that a proved credential stands on is revoked.

        `kid` is that of the key that verified it, whatever its header says. A claim that is no text is refused where
        anything of its kind is revoked, since it cannot be told whether it is that.
        """
        if not self._issuers:
            return None
        revoked = self._issuers.get(issuer)
        if revoked is None:
            return None
        if revoked.whole or (revoked.keys and kid in revoked.keys) or credential in revoked.credentials:
            return "token.revoked"
        if revoked.tokens and _is_in(claims.get("jti"), revoked.tokens):
            return "token.revoked"
        if revoked.sessions and _is_in(claims.get("sid"), revoked.sessions):
            return "token.revoked"
        return "token.revoked" if revoked.subjects and _is_before(claims, revoked.subjects) else None

    def apply(self, changes: Iterable[Revocation], revision: int) -> None:
        """Take what a store says changed, the newest word on each counting. All or nothing.

        Errors: StoreError S112 where that would be more than the index takes; it is then as it was.
        """
        newest = {change.identity: change for change in changes}
        kept = {identity for identity, change in newest.items() if not change.withdrawn}
        size = len((self._entries.keys() - newest.keys()) | kept) if newest else len(self._entries)
        if size > self._most and kept - self._entries.keys():
            raise StoreError(
                "S112", f"the index of revocations holds {self._most} at most, and there are {size}: withdraw some"
            )
        for identity, change in newest.items():
            self._forget(identity)
            if not change.withdrawn:
                self._entries[identity] = change
                _put(self._issuers.setdefault(change.issuer, _OfIssuer()), change)
        self._revision = revision

    def expire(self, now_us: int) -> int:
        """Forget what is over at `now_us`, and say how many that was. To be called now and then."""
        over = [identity for identity, entry in self._entries.items() if entry.over(now_us)]
        for identity in over:
            self._forget(identity)
        return len(over)

    def _forget(self, identity: Identity) -> None:
        entry = self._entries.pop(identity, None)
        if entry is None:
            return
        revoked = self._issuers[entry.issuer]
        _take(revoked, entry)
        if revoked == _OfIssuer():
            del self._issuers[entry.issuer]


def _put(revoked: _OfIssuer, entry: Revocation) -> None:
    match entry.kind:
        case "issuer":
            revoked.whole = True
        case "key":
            revoked.keys.add(entry.value)
        case "session":
            revoked.sessions.add(entry.value)
        case "subject":
            last = math.inf if entry.until_us is None else -(-entry.at_us // _SECOND_US)
            revoked.subjects[entry.value] = last
        case "token":
            digest = _digest(entry.value)
            if digest is None:
                revoked.tokens.add(entry.value)
            else:
                revoked.credentials.add(digest)
        case _:
            assert_never(entry.kind)


def _take(revoked: _OfIssuer, entry: Revocation) -> None:
    match entry.kind:
        case "issuer":
            revoked.whole = False
        case "key":
            revoked.keys.discard(entry.value)
        case "session":
            revoked.sessions.discard(entry.value)
        case "subject":
            revoked.subjects.pop(entry.value, None)
        case "token":
            digest = _digest(entry.value)
            if digest is None:
                revoked.tokens.discard(entry.value)
            else:
                revoked.credentials.discard(digest)
        case _:
            assert_never(entry.kind)


def _digest(value: str) -> bytes | None:
    """The credential that a token's value names; None where it is a `jti`, or no digest."""
    digits = value.removeprefix(CREDENTIAL)
    if len(digits) == len(value) or len(digits) != 2 * _CREDENTIAL_BYTES or set(digits) - set("0123456789abcdef"):
        return None
    return bytes.fromhex(digits)


def _is_in(claim: Json, revoked: set[str]) -> bool:
    return claim in revoked if isinstance(claim, str) else claim is not None


def _is_before(claims: Mapping[str, Json], subjects: Mapping[str, float]) -> bool:
    """Whether the token's subject is revoked, and the token not issued after that."""
    subject = claims.get("sub")
    if not isinstance(subject, str):
        return subject is not None
    last = subjects.get(subject)
    if last is None:
        return False
    issued = claims.get("iat")
    if not isinstance(issued, int | float) or isinstance(issued, bool):
        return True
    return not issued // 1 > last
