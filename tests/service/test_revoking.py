"""What an administrator revokes, and what the next decision makes of it, over a store in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest

from pdp.identity.bearer import Identity, Proven
from pdp.identity.jwks import KeySet, read_key_set
from pdp.identity.jwt import Issuer, TokenRefusal, Verifier
from pdp.model import Json
from pdp.revoking import Revoking
from pdp.shared_state.memory import MemoryStore, Shelf
from pdp.shared_state.model import Revocation, StoreError
from tests.support.tokens import ISSUER, NOW, key_set, signer, token_of

ES = signer("ES256")
CLAIMS: dict[str, Any] = {"sub": "ann", "jti": "t1", "sid": "s1"}


def _issuer(url: str = ISSUER) -> Issuer:
    keys = read_key_set(key_set(ES.jwk()))
    assert isinstance(keys, KeySet)
    return Issuer(url, keys, frozenset({"ES256"}), frozenset({"at+jwt"}))


class Worker:
    """One worker over a shelf that it may share."""

    def __init__(self, shelf: Shelf | None = None) -> None:
        self.shelf = shelf or Shelf()
        self.now = 0.0
        self.revoking = Revoking(
            lambda: MemoryStore(self.shelf), [_issuer()], monotonic=lambda: self.now, clock_us=lambda: NOW * 1_000_000
        )
        self.identity = Identity(Verifier([_issuer()]), standing=lambda verified, _: self.revoking.refused(verified))

    def says(self, **claims: Any) -> str:
        value = f"Bearer {token_of(ES, **{**CLAIMS, **claims})}"
        proven = self.identity.prove((value,), NOW)
        assert proven is not None
        return proven.reason if isinstance(proven, TokenRefusal) else "good"

    def does(self, kind: Json, value: Json = "", issuer: Json = ISSUER, **more: Json) -> bool:
        request = {"kind": kind, "issuer": issuer, "value": value, **more}
        return asyncio.run(self.revoking.revoke(request))["ok"] is True


REVOKED = {"token": "t1", "subject": "ann", "session": "s1", "key": ES.kid, "issuer": ""}


@pytest.mark.parametrize("kind", REVOKED)
def test_the_next_decision_refuses_and_a_withdrawal_takes_it_back(kind: str) -> None:
    worker, other = Worker(), Worker()
    assert (worker.says(), other.says()) == ("good", "good")  # remembered from here on
    assert worker.does(kind, REVOKED[kind])
    assert (worker.says(), other.says()) == ("token.revoked", "good")
    assert worker.does(kind, REVOKED[kind], withdraw=True)
    assert worker.says() == "good"


@pytest.mark.parametrize("kind", REVOKED)
def test_every_worker_knows_at_once_and_so_does_one_that_begins_later(kind: str) -> None:
    shelf = Shelf()
    one, other = Worker(shelf), Worker(shelf)
    assert (one.says(), other.says()) == ("good", "good")
    assert one.does(kind, REVOKED[kind])
    assert (other.says(), Worker(shelf).says()) == ("token.revoked", "token.revoked")


def test_others_are_not_meant() -> None:
    worker = Worker()
    for kind, value in {"token": "t2", "subject": "bob", "session": "s2", "key": "k2"}.items():
        assert worker.does(kind, value)
    assert worker.says() == "good"


def test_a_subject_may_log_in_again_unless_it_is_revoked_outright() -> None:
    worker = Worker()
    assert worker.does("subject", "ann")
    later = {"iat": NOW + 10, "exp": NOW + 600}
    assert (worker.says(), worker.says(**later)) == ("token.revoked", "good")
    assert worker.does("subject", "ann", outright=True)
    assert worker.says(**later) == "token.revoked"


BAD: dict[str, dict[str, Json]] = {
    "no kind": {"kind": None},
    "a kind that is none": {"kind": "everything", "value": "x"},
    "no value": {"kind": "session", "value": ""},
    "a value that is no text": {"kind": "session", "value": 7},
    "an issuer that is not configured": {"kind": "session", "value": "s1", "issuer": "https://other.example"},
    "an issuer that is no text": {"kind": "session", "value": "s1", "issuer": None},
    "a value without end": {"kind": "session", "value": "x" * 2_000},
    "an issuer with a value": {"kind": "issuer", "value": "x"},
}


@pytest.mark.parametrize("sentence", BAD)
def test_what_names_nothing_is_not_said_to_be_done(sentence: str) -> None:
    worker = Worker()
    request = {"kind": "session", "issuer": ISSUER, "value": "s1", **BAD[sentence]}
    answer = asyncio.run(worker.revoking.revoke(request))
    assert answer["ok"] is False
    assert answer["detail"]
    assert worker.says() == "good"


def test_a_store_that_fails_takes_nothing_back_and_is_told_of() -> None:
    worker = Worker()
    assert worker.does("session", "s1")
    assert worker.says() == "token.revoked"
    worker.shelf.broken = "the disk is gone"
    worker.now += 5
    assert worker.says() == "token.revoked"
    assert not worker.does("session", "s1", withdraw=True)
    assert not worker.does("subject", "bob")
    assert "the disk is gone" in worker.revoking.misgiving()
    worker.shelf.broken = None
    worker.now += 5
    assert (worker.says(), worker.revoking.misgiving()) == ("token.revoked", "")


def test_a_worker_that_cannot_read_what_is_revoked_does_not_begin() -> None:
    shelf = Shelf()
    assert Worker(shelf).does("session", "s1")
    shelf.broken = "the disk is gone"
    with pytest.raises(StoreError, match="the disk is gone"):
        Worker(shelf)


def test_claims_that_a_gateway_verified_are_asked_too() -> None:
    worker = Worker()
    claims = {"iss": ISSUER, "iat": NOW - 60, "exp": NOW + 600, **CLAIMS}
    assert isinstance(worker.identity.accept(claims, NOW), Proven)
    assert worker.does("session", "s1")
    assert worker.identity.accept(claims, NOW) == TokenRefusal("token.revoked")


class Lagging(MemoryStore):
    """Learns what others did only when it was asked some times, as over a network."""

    def __init__(self, shelf: Shelf, looks: int) -> None:
        super().__init__(shelf)
        self._looks = looks

    def generation(self) -> int | None:
        return None

    def revocations(self, since: int) -> tuple[Sequence[Revocation], int]:
        self._looks -= 1
        return super().revocations(since) if self._looks < 0 else ([], since)


def test_who_revokes_is_told_so_when_the_next_decision_here_knows_of_it() -> None:
    shelf = Shelf()
    stores = iter([Lagging(shelf, 3), MemoryStore(shelf)])
    revoking = Revoking(lambda: next(stores), [_issuer()], monotonic=time.monotonic, clock_us=lambda: NOW * 1_000_000)
    answer = asyncio.run(revoking.revoke({"kind": "session", "issuer": ISSUER, "value": "s1"}))
    assert answer == {"ok": True, "state": "revoked"}
    assert revoking.entries() == 1


def test_who_revokes_is_told_that_this_service_does_not_know_of_it_yet() -> None:
    shelf = Shelf()
    stores = iter([Lagging(shelf, 10**6), MemoryStore(shelf)])
    clock = count()
    revoking = Revoking(lambda: next(stores), [_issuer()], monotonic=lambda: next(clock), clock_us=lambda: NOW * 10**6)
    answer = asyncio.run(revoking.revoke({"kind": "session", "issuer": ISSUER, "value": "s1"}))
    assert answer["detail"] == "this service was not told of it yet: see `pdp admin status`"
