"""pdp.minting.minter and pdp.minting.pairwise: what a token says, who can verify it, and when there is none."""

from __future__ import annotations

import base64
import json
import random
import re
from itertools import count
from typing import Any

import jwt
import pytest
from msgspec import Struct

from pdp.identity.jwks import KeySet, read_key_set
from pdp.identity.jwt import Issuer, TokenRefusal, Verified, Verifier
from pdp.minting.key_store import LocalSigner, Snapshot
from pdp.minting.keys import US, Birth, MintingAlgorithm, Rotation, SigningKey, make_key, published
from pdp.minting.minter import Minter, Subject
from pdp.minting.pairwise import pairwise_subject
from pdp.model import Minted

ISSUER = "https://pdp.example"
NOW = 1_800_000_000
NOW_US = NOW * US
SECRET = bytes(range(32))
DECISIONS = count()
ANN = Subject("https://id.example", "ann@example.com")


def key(algorithm: MintingAlgorithm = "EdDSA", seed: int = 1) -> SigningKey:
    return make_key(Birth(first=True), NOW_US, Rotation(algorithm=algorithm), random.Random(seed).randbytes)


def snapshot(by: SigningKey, **changes: Any) -> Snapshot:
    base = {"signer": LocalSigner(by), "from_us": NOW_US, "until_us": by.ends_us, "secret": SECRET}
    return Snapshot(**{**base, "jwks": published([by]), **changes})


ED, OTHER = key(), key(seed=2)


def minter(keys: Snapshot | None = None, **changes: Any) -> Minter:
    base = {"issuer": ISSUER, "client_id": "edge", "token_life_s": 60, "entropy": random.Random(2).randbytes}
    return Minter(**{**base, **changes}, keys=snapshot(ED) if keys is None else keys)


def token(
    here: Minter | None = None,
    subject: Subject = ANN,
    audience: str = "orders",
    scopes: tuple[str, ...] = ("orders:read",),
    now_us: int = NOW_US,
    deadline_us: int | None = None,
) -> Minted:
    here = here or minter()
    record = f"d{next(DECISIONS)}"
    answer = here.token(subject, audience, scopes, now_us, deadline_us, record)
    assert isinstance(answer, Minted), answer
    if answer.record == record:
        here.keep(answer)
    return answer


def part(text: str, index: int) -> dict[str, Any]:
    piece = text.split(".")[index]
    said: dict[str, Any] = json.loads(base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4)))
    return said


def key_set(data: bytes) -> KeySet:
    keys = read_key_set(data)
    assert isinstance(keys, KeySet)
    return keys


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_our_own_verifier_and_pyjwt_take_a_minted_token(algorithm: MintingAlgorithm) -> None:
    by = key(algorithm)
    made = token(minter(snapshot(by)))
    ours = Verifier([Issuer(ISSUER, key_set(published([by])), frozenset({algorithm}), frozenset({"at+jwt"}))])
    answer = ours.verify(made.token, NOW)
    assert isinstance(answer, Verified)
    assert answer.expires_at == NOW + 60 == made.expires_at
    assert ours.verify(made.token, NOW + 60 + 30) == TokenRefusal("token.expired")
    jwk = jwt.PyJWKSet.from_json(published([by]).decode())[by.kid]
    options: Any = {"require": ["iss", "sub", "aud", "exp", "iat", "jti"], "verify_exp": False, "verify_iat": False}
    said = jwt.decode(made.token, jwk, algorithms=[algorithm], audience="orders", issuer=ISSUER, options=options)
    assert said == answer.claims


def test_the_header_and_the_claims_are_exactly_these() -> None:
    made = token(scopes=("b", "a", "b"))
    assert part(made.token, 0) == {"alg": "EdDSA", "kid": ED.kid, "typ": "at+jwt"}
    assert part(made.token, 1) == {
        "iss": ISSUER,
        "sub": pairwise_subject(SECRET, ANN.issuer, ANN.name, "orders"),
        "aud": "orders",
        "client_id": "edge",
        "iat": NOW,
        "exp": NOW + 60,
        "jti": made.jti,
        "scope": "a b",
    }


def test_a_token_for_no_scope_has_no_such_claim() -> None:
    assert "scope" not in part(token(scopes=()).token, 1)


def test_a_token_signed_with_a_withdrawn_key_is_refused() -> None:
    made = token()
    ours = Verifier([Issuer(ISSUER, key_set(published([OTHER])), frozenset({"EdDSA"}), frozenset({"at+jwt"}))])
    assert ours.verify(made.token, NOW) == TokenRefusal("token.key")


def test_nothing_of_the_subject_is_in_a_token_and_no_token_is_shown() -> None:
    made = token()
    text = json.dumps([part(made.token, 0), part(made.token, 1)])
    assert ANN.name not in text
    assert ANN.issuer not in text
    assert made.token not in repr(made)


def test_names_of_one_subject_differ_at_every_service_and_stay_the_same_there() -> None:
    said = [part(token(minter(), audience=each).token, 1)["sub"] for each in ("orders", "payments", "orders")]
    assert said[0] == said[2] != said[1]
    other = minter(snapshot(ED, secret=bytes(32)))
    assert part(token(other).token, 1)["sub"] != said[0]


def test_a_name_is_43_characters_of_base64url() -> None:
    for subject in ("", "a", "é", "\ud800", "a" * 100_000):
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", pairwise_subject(SECRET, ISSUER, subject, "orders"))


def test_a_short_secret_names_nobody() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        pairwise_subject(SECRET[:31], ISSUER, "ann", "orders")


def test_every_new_token_has_an_id_of_its_own() -> None:
    here = minter()
    made = [token(here, now_us=NOW_US + turn * 31 * US) for turn in range(50)]
    assert len({each.jti for each in made}) == 50
    assert all(len(each.jti) == 22 for each in made)


REUSE: dict[str, tuple[dict[str, Any], bool]] = {
    "at once": ({}, True),
    "until before half its life": ({"now_us": NOW_US + 30 * US - 1}, True),
    "not from half its life on": ({"now_us": NOW_US + 30 * US}, False),
    "for a later end": ({"deadline_us": NOW_US + 3600 * US}, True),
    "for an end that is its own": ({"deadline_us": NOW_US + 60 * US}, True),
    "not past an earlier end": ({"deadline_us": NOW_US + 59 * US}, False),
    "not for another service": ({"audience": "payments"}, False),
    "not for another subject": ({"subject": Subject(ANN.issuer, "bob")}, False),
    "not for the same name at another issuer": ({"subject": Subject("https://other.example", ANN.name)}, False),
    "not for more scopes": ({"scopes": ("orders:read", "orders:write")}, False),
    "not for fewer": ({"scopes": ()}, False),
    "for the same scope twice": ({"scopes": ("orders:read", "orders:read")}, True),
}


@pytest.mark.parametrize(("changes", "same"), REUSE.values(), ids=REUSE.keys())
def test_a_token_is_reused(changes: dict[str, Any], same: bool) -> None:
    here = minter()
    first = token(here)
    assert (token(here, **changes) is first) is same


def test_a_token_is_handed_out_again_only_once_it_is_kept() -> None:
    here = minter()
    first, second = (here.token(ANN, "orders", (), NOW_US, None, record) for record in ("d1", "d2"))
    assert isinstance(first, Minted)
    assert isinstance(second, Minted)
    assert (first.record, second.record) == ("d1", "d2")
    here.drop(first)
    here.keep(second)
    assert here.token(ANN, "orders", (), NOW_US, None, "d3") is second
    here.keep(first)
    assert here.token(ANN, "orders", (), NOW_US, None, "d4") is second


def test_of_more_new_tokens_than_fit_the_oldest_is_not_kept() -> None:
    here = minter(capacity=2)
    made = [here.token(ANN, "orders", (), NOW_US, None, f"d{number}") for number in range(3)]
    for each in made:
        assert isinstance(each, Minted)
        here.keep(each)
    assert here.token(ANN, "orders", (), NOW_US, None, "d9") is made[2]


def test_a_clock_that_goes_back_gets_a_token_of_its_own_time() -> None:
    here = minter(snapshot(ED, from_us=NOW_US - 100 * US))
    first = token(here)
    again = token(here, now_us=NOW_US - 50 * US)
    assert again is not first
    assert part(again.token, 1)["iat"] == NOW - 50


def test_two_sessions_of_one_subject_do_not_take_each_others_tokens() -> None:
    here = minter()
    long, short = token(here), token(here, deadline_us=NOW_US + 20 * US)
    assert (long.expires_at, short.expires_at) == (NOW + 60, NOW + 20)
    assert token(here, now_us=NOW_US + 1) is long
    assert token(here, now_us=NOW_US + 1, deadline_us=NOW_US + 20 * US) is short
    assert token(here, now_us=NOW_US + 1, deadline_us=NOW_US + 21 * US).expires_at == NOW + 21


def test_a_token_ends_in_whole_seconds_and_never_beyond_the_callers_end() -> None:
    assert token(deadline_us=NOW_US + 10 * US + 999_999).expires_at == NOW + 10
    assert token(now_us=NOW_US + 500_000).expires_at == NOW + 60


def test_a_rotated_key_signs_anew_and_a_withdrawn_one_is_forgotten() -> None:
    here = minter()
    first = token(here)
    here.use(snapshot(OTHER))
    second = token(here)
    assert (first.kid, second.kid) == (ED.kid, OTHER.kid)
    assert part(second.token, 0)["kid"] == OTHER.kid
    here.use(snapshot(OTHER, signer=None))
    assert here.token(ANN, "orders", ("orders:read",), NOW_US, None, "d1") == "mint.no_key"


def test_no_more_tokens_are_remembered_than_fit() -> None:
    here = minter(capacity=2)
    first, second = (token(here, audience=each) for each in ("a", "b"))
    assert token(here, audience="a") is first
    token(here, audience="c")
    assert token(here, audience="a") is first
    assert token(here, audience="b") is not second


REFUSALS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no key": ({"signer": None}, {}, "mint.no_key"),
    "no secret": ({"secret": None}, {}, "mint.no_key"),
    "a key that does not sign yet": ({"from_us": NOW_US + 1}, {}, "mint.no_key"),
    "a key that signs no more": ({"until_us": NOW_US}, {}, "mint.no_key"),
    "a caller whose end is now": ({}, {"deadline_us": NOW_US}, "mint.over"),
    "a caller whose end was long ago": ({}, {"deadline_us": 0}, "mint.over"),
    "a caller whose end was before 1970": ({}, {"deadline_us": -1}, "mint.over"),
    "a caller whose end is within this second": ({}, {"deadline_us": NOW_US + US - 1}, "mint.over"),
    "no subject": ({}, {"subject": Subject("i", "")}, "mint.subject"),
    "a subject of nobody": ({}, {"subject": Subject("", "ann")}, "mint.subject"),
    "no service": ({}, {"audience": ""}, "mint.audience"),
    "a service no JSON can name": ({}, {"audience": "\ud800"}, "mint.audience"),
    "a service with a line end": ({}, {"audience": "a\n"}, "mint.audience"),
    "an empty scope": ({}, {"scopes": ("",)}, "mint.scope"),
    "two scopes in one": ({}, {"scopes": ("a", "b c")}, "mint.scope"),
    "a scope with a quote": ({}, {"scopes": ('a"',)}, "mint.scope"),
    "a scope with a line end": ({}, {"scopes": ("a\n",)}, "mint.scope"),
    "a scope beyond ASCII": ({}, {"scopes": ("é",)}, "mint.scope"),
}


@pytest.mark.parametrize(("keys", "asked", "reason"), REFUSALS.values(), ids=REFUSALS.keys())
def test_no_token_is_minted_for(keys: dict[str, Any], asked: dict[str, Any], reason: str) -> None:
    call = {
        "subject": ANN,
        "audience": "orders",
        "scopes": ("a",),
        "now_us": NOW_US,
        "deadline_us": None,
        "record": "d1",
        **asked,
    }
    here = minter(snapshot(ED, **keys))
    assert here.token(**call) == reason
    assert here.token(**call) == reason


def test_a_remembered_token_is_not_handed_out_past_the_callers_end() -> None:
    here = minter()
    token(here)
    for deadline_us in (-1, 0, 1, NOW_US - 1, NOW_US):
        assert here.token(ANN, "orders", ("orders:read",), NOW_US, deadline_us, "d1") == "mint.over"


class Unreachable(Struct, frozen=True):
    """A key elsewhere, which cannot be reached."""

    kid: str = "elsewhere"
    algorithm: MintingAlgorithm = "ES256"

    def sign(self, data: bytes) -> bytes:
        raise TimeoutError


def test_a_signer_that_fails_is_a_refusal_and_nothing_is_remembered() -> None:
    here = minter(snapshot(ED, signer=Unreachable()))
    assert here.token(ANN, "orders", (), NOW_US, None, "d1") == "mint.signer"
    here.use(snapshot(ED))
    assert token(here).kid == ED.kid


@pytest.mark.parametrize(
    "changes",
    [{"issuer": ""}, {"client_id": ""}, {"token_life_s": 0}, {"capacity": 0}],
    ids=lambda each: next(iter(each)),
)
def test_a_minter_without_its_names_is_none(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a minter needs"):
        minter(**changes)
