"""Tokens: good ones of each algorithm, the pins of their issuer, and what is bad and cannot be shown from outside.

Attacks stand by cause in test_published_attacks.py, through the whole service.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import example, given
from hypothesis import strategies as st

from pdp.identity.jwks import KeySet, read_key_set
from pdp.identity.jwt import LONGEST_TOKEN, Issuer, Session, TokenRefusal, Verified, Verifier, session_key
from pdp.identity.profiles import type_name
from pdp.model import Json
from tests.support.tokens import ISSUER, NOW, Signer, b64, claims_of, compact, header_of, key_set, signer, token_of

ES, RS, ED = signer("ES256"), signer("RS256"), signer("EdDSA")
FOREIGN = signer("ES256", "foreign")
ES_AGAIN = Signer(ES.kid, "ES256", FOREIGN.private)
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def keys_of(*signers: Signer) -> KeySet:
    keys = read_key_set(key_set(*(each.jwk() for each in signers)))
    assert isinstance(keys, KeySet)
    return keys


def issuer_of(*signers: Signer, url: str = ISSUER, **changes: Any) -> Issuer:
    pins: dict[str, Any] = {"algorithms": frozenset(s.algorithm for s in signers), "types": frozenset({"at+jwt"})}
    return Issuer(url, keys_of(*signers), **{**pins, **changes})


VERIFIER = Verifier([issuer_of(ES, RS, ED), issuer_of(FOREIGN, url="https://other.example", types=frozenset({"jwt"}))])


def reason(token: str, verifier: Verifier = VERIFIER, now: int = NOW) -> str | None:
    """The reason a token is refused for, None for a good one."""
    answer = verifier.verify(token, now)
    return answer.reason if isinstance(answer, TokenRefusal) else None


def verified(token: str, verifier: Verifier = VERIFIER, now: int = NOW) -> Verified:
    answer = verifier.verify(token, now)
    assert isinstance(answer, Verified), answer
    return answer


@pytest.mark.parametrize("by", [ES, RS, ED], ids=lambda by: by.algorithm)
def test_a_good_token_is_verified(by: Signer) -> None:
    answer = verified(token_of(by, roles=["a", "b"], nested={"n": 1.5}))
    assert answer.issuer.url == ISSUER
    assert answer.claims["roles"] == ["a", "b"]
    assert answer.claims["nested"] == {"n": 1.5}
    assert answer.expires_at == NOW + 600
    assert len(answer.credential) == 32


GOOD: dict[str, Callable[[], str]] = {
    "typ in another case": lambda: token_of(ES, {"typ": "AT+JWT"}),
    "typ with application": lambda: token_of(ES, {"typ": "application/at+jwt"}),
    "headers that say nothing": lambda: token_of(ES, {"x5t": "abc", "cty": "json", "ver": 1}),
    "aud a list": lambda: token_of(ES, aud=["orders", "payments"]),
    "aud empty": lambda: token_of(ES, aud=[]),
    "no aud, no sub": lambda: token_of(ES, aud=..., sub=...),
    "exp a fraction": lambda: token_of(ES, exp=NOW + 0.5),
    "exp within the leeway": lambda: token_of(ES, exp=NOW - 29),
    "nbf within the leeway": lambda: token_of(ES, nbf=NOW + 30),
    "iat within the leeway": lambda: token_of(ES, iat=NOW + 30),
    "nbf in place of iat": lambda: token_of(ES, iat=..., nbf=NOW - 10),
    "white space in the JSON": lambda: compact(ES, f" {header_of(ES)}\n", f"\t{claims_of()} "),
    "a pair of surrogates": lambda: compact(ES, header_of(ES), claims_of(sub="\N{GRINNING FACE}")),
    "depth 16": lambda: token_of(ES, deep=nested(15)),
    "the longest lifetime": lambda: token_of(ES, iat=NOW, exp=NOW + 86_400),
    "64-bit numbers": lambda: token_of(ES, big=2**63 - 1, small=-(2**63)),
}


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize("make", GOOD.values(), ids=GOOD)
def test_unusual_tokens_that_are_good(make: Callable[[], str]) -> None:
    assert reason(make()) is None


def resigned(signature: Callable[[bytes], bytes]) -> str:
    """A good ES256 token with another signature, made from the text that was signed."""
    message = token_of(ES).rpartition(".")[0]
    return f"{message}.{b64(signature(message.encode()))}"


BAD: dict[str, tuple[Callable[[], str], str]] = {
    # refused before a verifier sees it, where it comes in a header
    "empty": (lambda: "", "token.malformed"),
    "jwt_one_over_the_limit": (lambda: "a" * (LONGEST_TOKEN + 1), "token.too_large"),
    "jwt_dots_up_to_the_limit": (lambda: "." * LONGEST_TOKEN, "token.malformed"),
    "jwt_whitespace_before": (lambda: " " + token_of(ES), "token.malformed"),
    "jwt_newline_after": (lambda: token_of(ES) + "\n", "token.malformed"),
    "jwt_surrogate": (lambda: token_of(ES) + "\udcff", "token.malformed"),
    # refused by a profile, where the issuer has one
    "jwt_typ_missing": (lambda: token_of(ES, {"typ": ...}), "token.type"),
    "jwt_exp_missing": (lambda: token_of(ES, exp=...), "token.claims"),
    "jwt_exp_null": (lambda: token_of(ES, exp=None), "token.claims"),
    "jwt_exp_string": (lambda: token_of(ES, exp=str(NOW + 600)), "token.claims"),
    "jwt_exp_bool": (lambda: token_of(ES, exp=True), "token.claims"),
    "jwt_exp_list": (lambda: token_of(ES, exp=[NOW + 600]), "token.claims"),
    "jwt_iat_null": (lambda: token_of(ES, iat=None), "token.claims"),
    "jwt_sub_number": (lambda: token_of(ES, sub=7), "token.claims"),
    "jwt_sub_null": (lambda: token_of(ES, sub=None), "token.claims"),
    "jwt_aud_number": (lambda: token_of(ES, aud=7), "token.claims"),
    "jwt_aud_null": (lambda: token_of(ES, aud=None), "token.claims"),
    "jwt_aud_list_of_numbers": (lambda: token_of(ES, aud=["orders", 7]), "token.claims"),
    "jwt_aud_object": (lambda: token_of(ES, aud={"orders": 1}), "token.claims"),
    # no attack, and refused
    "jwt_b64_true": (lambda: token_of(ES, {"b64": True}), "token.critical"),
    "jwt_fraction_digits": (
        lambda: compact(ES, header_of(ES), f'{claims_of()[:-1]}, "x": 0.{"9" * 9000}}}'),
        "token.malformed",
    ),
    "jwt_issuer_of_another_key": (
        lambda: token_of(Signer(FOREIGN.kid, "ES256", ES.private), {"typ": "JWT"}, iss="https://other.example"),
        "token.signature",
    ),
}


@pytest.mark.parametrize(("make", "wanted"), BAD.values(), ids=BAD)
def test_a_bad_token_is_refused_for_its_reason(make: Callable[[], str], wanted: str) -> None:
    assert reason(make()) == wanted


def test_without_issuers_every_token_is_refused() -> None:
    assert reason(token_of(ES), Verifier([])) == "token.issuer"


def test_a_pinned_algorithm_is_needed_even_where_the_key_is_there() -> None:
    assert reason(token_of(RS), Verifier([issuer_of(ES, RS, algorithms=frozenset({"ES256"}))])) == "token.algorithm"


def test_no_kid_means_the_only_key_of_the_set() -> None:
    assert reason(token_of(ES, {"kid": ...}), Verifier([issuer_of(ES)])) is None
    assert reason(token_of(ES_AGAIN, {"kid": ...}), Verifier([issuer_of(ES)])) == "token.signature"


def test_leeway_and_lifetime_are_the_issuers() -> None:
    strict = Verifier([issuer_of(ES, leeway_s=0, max_lifetime_s=100)])
    assert reason(token_of(ES, iat=NOW - 99, exp=NOW + 1), strict) is None
    assert reason(token_of(ES, iat=NOW - 99, exp=NOW), strict) == "token.expired"
    assert reason(token_of(ES, iat=NOW - 100, exp=NOW + 1), strict) == "token.lifetime"
    assert reason(token_of(ES, iat=NOW + 1, exp=NOW + 9), strict) == "token.not_yet"


def test_both_signatures_of_one_ecdsa_token_are_one_credential() -> None:
    def other_half(message: bytes) -> bytes:
        raw = ES.sign(message)
        s = int.from_bytes(raw[32:], "big")
        assert encode_dss_signature(1, P256_ORDER - s)
        return raw[:32] + (P256_ORDER - s).to_bytes(32, "big")

    token = token_of(ES)
    twin = resigned(other_half)
    assert token != twin
    assert verified(token).credential == verified(twin).credential
    assert verified(token_of(ES, sub="bob")).credential != verified(token).credential


BAD_PINS: dict[str, dict[str, Any]] = {
    "no algorithm": {"algorithms": frozenset()},
    "hs256": {"algorithms": frozenset({"HS256"})},
    "none": {"algorithms": frozenset({"none", "ES256"})},
    "no type": {"types": frozenset()},
    "type that is not folded": {"types": frozenset({"AT+JWT"})},
    "leeway over a minute": {"leeway_s": 61},
    "negative leeway": {"leeway_s": -1},
    "no lifetime": {"max_lifetime_s": 0},
    "no name": {"url": ""},
}


@pytest.mark.parametrize("pins", BAD_PINS.values(), ids=BAD_PINS)
def test_pins_that_are_none_are_refused(pins: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"issuer|types|leeway"):
        issuer_of(ES, **pins)


def test_two_issuers_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="one name"):
        Verifier([issuer_of(ES), issuer_of(RS)])


def test_types_are_folded_once() -> None:
    assert type_name("Application/AT+JWT") == "at+jwt"


VALID = token_of(ES)


@given(st.integers(0, len(VALID) - 1), st.characters() | st.sampled_from("=. \n-_AQgw"), st.sampled_from("scd"))
@example(len(VALID) - 1, "=", "d")
def test_any_one_character_edit_is_refused_or_means_the_same(at: int, character: str, edit: str) -> None:
    """verify(edited) is a refusal, or its credential (the decoded parts) is that of the original."""
    match edit:
        case "s":
            edited = VALID[:at] + character + VALID[at + 1 :]
        case "c":
            edited = VALID[:at] + character + VALID[at:]
        case _:
            edited = VALID[:at] + VALID[at + 1 :]
    answer = VERIFIER.verify(edited, NOW)
    if isinstance(answer, Verified):
        assert answer.credential == verified(VALID).credential
        assert edited == VALID


@given(st.text())
def test_any_text_has_an_answer(text: str) -> None:
    assert isinstance(VERIFIER.verify(text, NOW), TokenRefusal)


@given(st.sampled_from([ES, RS, ED]), st.binary(max_size=300))
def test_any_bytes_as_a_signature_are_refused(by: Signer, signature: bytes) -> None:
    assert reason(f"{token_of(by).rpartition('.')[0]}.{b64(signature)}") == "token.signature"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_any_value_for_a_time_has_an_answer(value: Any) -> None:
    for name in ("exp", "nbf", "iat"):
        assert reason(token_of(ES, **{name: value})) in {
            None, "token.claims", "token.expired", "token.not_yet", "token.lifetime", "token.malformed",
        }  # fmt: skip


RESTING = Verifier([issuer_of(ES, session_idle_s=300, leeway_s=7)])
NO_SESSION: dict[str, tuple[dict[str, Any], str]] = {
    "no sid": ({}, "token.session"),
    "sid null": ({"sid": None}, "token.session"),
    "sid empty": ({"sid": ""}, "token.session"),
    "sid a number": ({"sid": 7}, "token.session"),
    "sid true": ({"sid": True}, "token.session"),
    "sid a list": ({"sid": ["s1"]}, "token.session"),
    "sid without end": ({"sid": "s" * 1_025}, "token.session"),
    "neither iat nor auth_time": ({"sid": "s1", "iat": ..., "nbf": NOW - 60}, "token.session"),
    "auth_time null": ({"sid": "s1", "auth_time": None}, "token.claims"),
    "auth_time text": ({"sid": "s1", "auth_time": str(NOW)}, "token.claims"),
    "auth_time true": ({"sid": "s1", "auth_time": True}, "token.claims"),
    "auth_time before time": ({"sid": "s1", "auth_time": -1}, "token.claims"),
    "auth_time after time": ({"sid": "s1", "auth_time": 1e300}, "token.claims"),
}


@pytest.mark.parametrize("sentence", NO_SESSION)
def test_where_sessions_end_at_rest_a_token_says_which_it_is_of(sentence: str) -> None:
    claims, said = NO_SESSION[sentence]
    assert reason(token_of(ES, **claims), RESTING) == said
    assert reason(token_of(ES, **claims)) is None


BEGAN: dict[str, tuple[dict[str, Any], int, bool]] = {
    "when it was issued": ({}, NOW - 60, False),
    "when it was issued, rounded down": ({"iat": NOW - 59.5}, NOW - 60, False),
    "when it was issued, whenever it begins": ({"nbf": NOW - 10}, NOW - 60, False),
    "the login": ({"auth_time": NOW - 3_600}, NOW - 3_600, True),
    "the login, rounded down": ({"auth_time": NOW - 3_599.5}, NOW - 3_600, True),
    "the epoch": ({"auth_time": 0}, 0, True),
    "the login, of a token that does not say when it was issued": (
        {"auth_time": NOW - 90, "iat": ..., "nbf": NOW - 60},
        NOW - 90,
        True,
    ),
    "the token's own beginning, where the login is said to be later": ({"auth_time": NOW + 10**6}, NOW - 60, True),
}


@pytest.mark.parametrize("sentence", BEGAN)
def test_what_a_token_says_of_when_its_session_was_used(sentence: str) -> None:
    claims, began_at, by_login = BEGAN[sentence]
    for sid in ("s", "s" * 1_024):
        found = verified(token_of(ES, sid=sid, **claims), RESTING).session
        assert found == Session(session_key(ISSUER, sid), 300, 7, began_at, by_login)


def test_claims_that_a_gateway_verified_name_their_session_too() -> None:
    claims: dict[str, Json] = {"iss": ISSUER, "iat": float(NOW), "exp": NOW + 600.0}
    assert RESTING.accept(claims, NOW) == TokenRefusal("token.session")
    accepted = RESTING.accept({**claims, "sid": "s1"}, NOW)
    assert isinstance(accepted, Verified)
    assert accepted.session == Session(session_key(ISSUER, "s1"), 300, 7, NOW, by_login=False)


def test_where_sessions_do_not_end_at_rest_a_token_is_of_none() -> None:
    assert verified(token_of(ES, sid="s1")).session is None
    assert verified(token_of(ES, sid=7)).session is None


@pytest.mark.parametrize("limit_s", [0, -1])
@pytest.mark.parametrize("name", ["session_idle_s", "session_max_s"])
def test_a_session_of_no_length_is_no_pin(name: str, limit_s: int) -> None:
    pins: dict[str, Any] = {name: limit_s}
    with pytest.raises(ValueError, match="longer than nothing"):
        issuer_of(ES, **pins)
