"""The credential of a request: what is no credential, what is a bad one, and that remembering changes no answer."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdp.identity import bearer
from pdp.identity.bearer import Identity, Proven
from pdp.identity.jwks import KeySet, read_key_set
from pdp.identity.jwt import Issuer, TokenRefusal, Verified, Verifier
from pdp.model import ClientCertificate, Json
from tests.support.tokens import ISSUER, NOW, Signer, b64, key_set, signer, token_of

ES = signer("ES256")
GOOD = token_of(ES)


class CountingVerifier(Verifier):
    """Counts verifications, so that a remembered answer can be told from a new one."""

    count = 0

    def verify(self, token: str, now: int) -> Verified | TokenRefusal:
        self.count += 1
        return super().verify(token, now)


def issuer(by: Signer = ES, **changes: Any) -> Issuer:
    keys = read_key_set(key_set(by.jwk()))
    assert isinstance(keys, KeySet)
    return Issuer(ISSUER, keys, frozenset({by.algorithm}), frozenset({"at+jwt"}), **changes)


def prove(*authorization: str, now: int = NOW) -> Proven | TokenRefusal | None:
    return Identity(Verifier([issuer()])).prove(authorization, now)


def test_nobody_is_nobody() -> None:
    assert prove() is None


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_a_good_token_is_proven(scheme: str) -> None:
    proven = prove(f"{scheme} {GOOD}")
    assert isinstance(proven, Proven)
    assert proven.issuer == ISSUER
    principal = proven.principal("user", NOW)
    assert (principal.kind, principal.name, principal.expires_at) == ("token", "user", NOW + 600)
    assert principal.claims["sub"] == "ann"
    assert principal.credential == proven.verified.credential
    assert not principal.multi_audience


def test_the_issuer_says_whether_one_token_may_name_several_services() -> None:
    proven = Identity(Verifier([issuer(multi_audience=True)])).prove((f"Bearer {GOOD}",), NOW)
    assert isinstance(proven, Proven)
    assert proven.principal("user", NOW).multi_audience


BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "white space": ((" \t",), "token.empty"),
    "surrogate": (("Bearer \udcff",), "token.malformed"),
    "newline after": ((f"Bearer {GOOD}\n",), "token.malformed"),
}


@pytest.mark.parametrize(("authorization", "reason"), BAD.values(), ids=BAD)
def test_a_bad_credential_is_refused_and_never_absent(authorization: tuple[str, ...], reason: str) -> None:
    assert prove(*authorization) == TokenRefusal(reason)


def test_a_token_is_verified_once_while_it_is_good() -> None:
    verifier = CountingVerifier([issuer()])
    identity = Identity(verifier)
    first = identity.prove((f"Bearer {GOOD}",), NOW)
    assert identity.prove((f"Bearer {GOOD}",), NOW + 629) is first
    assert verifier.count == 1
    for scheme in ("bearer", "BEARER", "bEaReR"):
        assert identity.prove((f"{scheme} {GOOD}",), NOW + 629) is first
    assert (verifier.count, len(identity._remembered)) == (1, 1)  # else one token would drive 63 others out
    assert identity.prove((f"bearer  {GOOD}",), NOW + 629) == TokenRefusal("token.malformed")
    assert identity.prove((f"Bearer {GOOD}",), NOW + 630) == TokenRefusal("token.expired")
    assert identity.prove((f"Bearer {GOOD}",), NOW + 630) == TokenRefusal("token.expired")


HELD, OTHER = (ClientCertificate(hashlib.sha256(each).digest(), NOW + 900) for each in (b"a certificate", b"another"))
BOUND = b64(HELD.digest)


def test_a_bound_token_is_proven_with_its_certificate_alone_at_each_use() -> None:
    verifier = CountingVerifier([issuer()])
    identity = Identity(verifier)
    value = (f"Bearer {token_of(ES, cnf={'x5t#S256': BOUND})}",)
    for certificate, wanted in (
        (None, False),
        (OTHER, False),
        (HELD, True),
        (OTHER, False),
        (None, False),
        (HELD, True),
    ):
        proven = identity.prove(value, NOW, certificate)
        assert isinstance(proven, Proven) if wanted else proven == TokenRefusal("token.unproved")
    assert verifier.count == 1


@pytest.mark.parametrize(
    ("cnf", "reason"),
    [
        ({"jkt": "x"}, "token.unproved"),
        ({"jkt": BOUND}, "token.dpop"),
        (None, "token.unproved"),
        ({"x5t#S256": BOUND, "jkt": BOUND}, "token.unproved"),
        ({}, "token.unproved"),
    ],
    ids=repr,
)
def test_a_binding_that_is_not_understood_is_not_proved(cnf: Json, reason: str) -> None:
    identity = Identity(Verifier([issuer()]))
    for _ in range(2):
        assert identity.prove((f"Bearer {token_of(ES, cnf=cnf)}",), NOW, HELD) == TokenRefusal(reason)


def test_a_bound_token_ends_with_its_certificate_at_each_use() -> None:
    identity = Identity(Verifier([issuer()]))
    value = (f"Bearer {token_of(ES, cnf={'x5t#S256': BOUND})}",)
    over = TokenRefusal("token.certificate_over")
    for now, ends_s, refused in ((NOW, NOW, True), (NOW, NOW + 1, False), (NOW + 1, NOW + 1, True)):
        proven = identity.prove(value, now, ClientCertificate(HELD.digest, ends_s))
        assert proven == over if refused else isinstance(proven, Proven)


class Asked:
    """Says `reason` of every token, and keeps when it was asked."""

    def __init__(self, reason: str | None = None) -> None:
        self.reason = reason
        self.at: list[int] = []

    def __call__(self, verified: Verified, now: int) -> str | None:
        assert verified.issuer.url == ISSUER
        self.at.append(now)
        return self.reason


def test_what_a_token_stands_on_is_asked_at_each_use_and_never_remembered() -> None:
    asked = Asked()
    identity = Identity(Verifier([issuer()]), standing=asked)
    for now in (NOW, NOW + 1, NOW + 2):
        assert isinstance(identity.prove((f"Bearer {GOOD}",), now), Proven)
    asked.reason = "token.idle"
    assert identity.prove((f"Bearer {GOOD}",), NOW + 3) == TokenRefusal("token.idle")
    asked.reason = None
    assert isinstance(identity.prove((f"Bearer {GOOD}",), NOW + 4), Proven)
    assert isinstance(identity.accept({"iss": ISSUER, "iat": NOW, "exp": NOW + 600}, NOW + 5), Proven)
    assert asked.at == [NOW + after for after in range(6)]


UNPROVED = token_of(ES, cnf={"x5t#S256": BOUND})
NO_USE: dict[str, tuple[str, ClientCertificate | None, int]] = {
    "a token without its certificate": (UNPROVED, None, NOW),
    "a token beside another certificate": (UNPROVED, OTHER, NOW),
    "a token whose certificate is over": (UNPROVED, HELD, NOW + 900),
    "a token that is over": (GOOD, None, NOW + 700),
    "a token of another signature": (GOOD[:-4] + "AAAA", None, NOW),
}


@pytest.mark.parametrize("sentence", NO_USE)
def test_is_no_use_of_its_session(sentence: str) -> None:
    token, certificate, now = NO_USE[sentence]
    asked = Asked()
    identity = Identity(Verifier([issuer(leeway_s=60, max_lifetime_s=10_000)]), standing=asked)
    for _ in range(2):
        assert isinstance(identity.prove((f"Bearer {token}",), now, certificate), TokenRefusal)
    assert asked.at == []


def test_nobody_is_proved_for_longer_than_a_session_may_rest() -> None:
    identity = Identity(Verifier([issuer(session_idle_s=300)]))
    value = (f"Bearer {token_of(ES, sid='s1')}",)
    for now, ends_at in ((NOW, NOW + 300), (NOW + 200, NOW + 500), (NOW + 400, NOW + 600)):
        proven = identity.prove(value, now)
        assert isinstance(proven, Proven)
        assert proven.principal("user", now).expires_at == ends_at


def test_a_session_ends_however_long_its_tokens_live() -> None:
    identity = Identity(Verifier([issuer(session_max_s=3600)]))
    value = (f"Bearer {token_of(ES, auth_time=NOW - 3500.5)}",)
    proven = identity.prove(value, NOW)
    assert isinstance(proven, Proven)
    assert proven.principal("user", NOW).expires_at == NOW + 99
    assert identity.prove(value, NOW + 98) is proven
    for _ in range(2):
        assert identity.prove(value, NOW + 99) == TokenRefusal("token.session")
    assert identity.prove(value, NOW + 98) == proven


@pytest.mark.parametrize("claims", [{}, {"auth_time": "1"}, {"auth_time": True}, {"auth_time": -1}], ids=repr)
def test_where_sessions_end_a_token_says_when_it_began(claims: dict[str, Any]) -> None:
    assert prove(f"Bearer {token_of(ES, **claims)}") != TokenRefusal("token.claims")
    identity = Identity(Verifier([issuer(session_max_s=3600)]))
    assert identity.prove((f"Bearer {token_of(ES, **claims)}",), NOW) == TokenRefusal("token.claims")


def test_a_certificate_beside_a_token_that_is_bound_to_none_says_nothing() -> None:
    assert isinstance(Identity(Verifier([issuer()])).prove((f"Bearer {GOOD}",), NOW, OTHER), Proven)


def test_a_refused_token_is_not_remembered() -> None:
    identity = Identity(Verifier([issuer()]))
    for _ in range(3):
        assert identity.prove((f"Bearer {GOOD[:-4]}AAAA",), NOW) == TokenRefusal("token.signature")
    assert not identity._remembered


def test_no_more_than_the_capacity_is_remembered_and_the_least_used_goes() -> None:
    verifier = CountingVerifier([issuer()])
    identity = Identity(verifier, capacity=2)
    first, second, third = (f"Bearer {token_of(ES, sub=str(n))}" for n in range(3))
    for value in (first, second, first, third):
        identity.prove((value,), NOW)
    assert len(identity._remembered) == 2
    assert verifier.count == 3
    identity.prove((first,), NOW)
    assert verifier.count == 3
    identity.prove((second,), NOW)
    assert verifier.count == 4


def test_no_more_text_than_the_bound_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"Bearer {token_of(ES, sub=str(n))}" for n in range(3)]
    monkeypatch.setattr(bearer, "MOST_REMEMBERED_CHARACTERS", len(texts[0]) + len(texts[1]))
    identity = Identity(Verifier([issuer()]))
    for text in texts:
        identity.prove((text,), NOW)
    assert list(identity._remembered) == texts[1:]
    assert identity._characters == len(texts[1]) + len(texts[2])
    identity.replace(Verifier([]))
    assert (identity._characters, len(identity._remembered)) == (0, 0)


@pytest.mark.parametrize("place", [0, 3, 7, len(GOOD) // 2, -1])
def test_a_text_that_differs_in_one_byte_is_not_the_remembered_one(place: int) -> None:
    verifier = CountingVerifier([issuer()])
    identity = Identity(verifier)
    text = f"Bearer {GOOD}"
    identity.prove((text,), NOW)
    other = list(text)
    other[place] = "A" if other[place] != "A" else "B"
    assert isinstance(identity.prove(("".join(other),), NOW), TokenRefusal)
    assert len(identity._remembered) == 1


def test_a_capacity_of_nothing_remembers_nothing() -> None:
    identity = Identity(Verifier([issuer()]), capacity=0)
    assert isinstance(identity.prove((f"Bearer {GOOD}",), NOW), Proven)
    assert not identity._remembered


def test_a_remembered_token_goes_with_its_key() -> None:
    identity = Identity(Verifier([issuer()]))
    assert isinstance(identity.prove((f"Bearer {GOOD}",), NOW), Proven)
    rotated = Signer(ES.kid, "ES256", signer("ES256", "rotated").private)
    identity.replace(Verifier([issuer(rotated)]))
    assert not identity._remembered
    assert identity.prove((f"Bearer {GOOD}",), NOW) == TokenRefusal("token.signature")
    identity.replace(Verifier([]))
    assert identity.prove((f"Bearer {GOOD}",), NOW) == TokenRefusal("token.issuer")


def test_tokens_of_issuers_that_stay_are_kept() -> None:
    same = issuer()
    identity = Identity(Verifier([same]))
    first = identity.prove((f"Bearer {GOOD}",), NOW)
    later = CountingVerifier([same])
    identity.replace(later)
    assert identity.prove((f"Bearer {GOOD}",), NOW) is first
    assert later.count == 0


SIGNED = [token_of(ES, sub=str(n), nbf=NOW + 100 * n, exp=NOW + 300 + 40 * n) for n in range(4)]
TOKENS = [*SIGNED, GOOD[:-4] + "AAAA"]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.sampled_from(TOKENS), st.integers(NOW - 100, NOW + 600)), max_size=20))
def test_remembering_changes_no_answer(asked: list[tuple[str, int]]) -> None:
    """For any sequence of (token, now), in any order of time: prove = verify."""
    verifier = Verifier([issuer()])
    identity = Identity(verifier, capacity=2)
    for token, now in asked:
        fresh = verifier.verify(token, now)
        got = identity.prove((f"Bearer {token}",), now)
        assert (got.verified if isinstance(got, Proven) else got) == fresh
