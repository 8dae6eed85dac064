"""Tokens: good ones of each algorithm, and every way we know in which one can be bad, with the reason it must get."""

from __future__ import annotations

import hashlib
import hmac
import json
import string
import sys
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st

from pdp.identity.jwks import KeySet, read_key_set
from pdp.identity.jwt import LONGEST_TOKEN, Issuer, Session, TokenRefusal, Verified, Verifier, session_key, type_name
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


def signed_text(text_claims: str) -> Callable[[], str]:
    return lambda: compact(ES, header_of(ES), text_claims)


def hs256_with_public_key(encoding: Encoding, form: PublicFormat) -> str:
    secret = RS.private.public_key().public_bytes(encoding, form)
    message = f"{b64(header_of(RS, alg='HS256').encode())}.{b64(claims_of().encode())}"
    return f"{message}.{b64(hmac.digest(secret, message.encode(), hashlib.sha256))}"


def resigned(signature: Callable[[bytes], bytes]) -> str:
    """A good ES256 token with another signature, made from the text that was signed."""
    message = token_of(ES).rpartition(".")[0]
    return f"{message}.{b64(signature(message.encode()))}"


def with_trailing_bits() -> str:
    token = token_of(ES)
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    return token[:-1] + alphabet[alphabet.index(token[-1]) | 1]


def json_serialisation() -> str:
    header, payload, signature = token_of(ES).split(".")
    return json.dumps({"protected": header, "payload": payload, "signature": signature})


def part_replaced(index: int, text: str) -> str:
    parts = token_of(ES).split(".")
    parts[index] = text
    return ".".join(parts)


SPACED = token_of(ES)
BASE = claims_of()
CLAIM = BASE[:-1] + ", "

BAD: dict[str, tuple[Callable[[], str], str]] = {
    # the text
    "empty": (lambda: "", "token.malformed"),
    "jwt_100kb": (lambda: token_of(ES, pad="x" * 100_000), "token.too_large"),
    "jwt_one_over_the_limit": (lambda: "a" * (LONGEST_TOKEN + 1), "token.too_large"),
    "jwt_dots": (lambda: "." * LONGEST_TOKEN, "token.malformed"),
    "jwt_two_parts": (lambda: token_of(ES).rpartition(".")[0], "token.malformed"),
    "jwt_four_parts": (lambda: token_of(ES) + ".", "token.malformed"),
    "jwt_jwe_five_parts": (lambda: token_of(ES) + ".a.b", "token.malformed"),
    "jwt_json_serialisation": (json_serialisation, "token.malformed"),
    "jwt_padding": (lambda: token_of(ES) + "==", "token.malformed"),
    "jwt_padding_in_header": (lambda: part_replaced(0, b64(b"{}") + "=="), "token.malformed"),
    "jwt_whitespace": (lambda: SPACED[:9] + " " + SPACED[9:], "token.malformed"),
    "jwt_whitespace_before": (lambda: " " + SPACED, "token.malformed"),
    "jwt_newline_after": (lambda: SPACED + "\n", "token.malformed"),
    "jwt_question_mark": (lambda: SPACED[:9] + "?" + SPACED[9:], "token.malformed"),
    "jwt_standard_alphabet": (lambda: part_replaced(1, "+/+/"), "token.malformed"),
    "jwt_not_ascii": (lambda: SPACED[:9] + "\u00e9" + SPACED[9:], "token.malformed"),
    "jwt_surrogate": (lambda: SPACED + "\udcff", "token.malformed"),
    "jwt_trailing_bits": (with_trailing_bits, "token.malformed"),
    "jwt_impossible_length": (lambda: part_replaced(2, "A" * 5), "token.malformed"),
    "jwt_empty_header": (lambda: part_replaced(0, ""), "token.malformed"),
    "jwt_empty_payload": (lambda: part_replaced(1, ""), "token.malformed"),
    # the JSON
    "jwt_duplicate_alg": (
        lambda: compact(ES, '{"alg":"none",' + header_of(ES)[1:], claims_of()),
        "token.malformed",
    ),
    "jwt_duplicate_exp": (signed_text(f'{CLAIM}"exp": 9}}'), "token.malformed"),
    "jwt_duplicate_exp_escaped": (signed_text(f'{CLAIM}"\\u0065xp": 9}}'), "token.malformed"),
    "jwt_duplicate_nested": (signed_text(f'{CLAIM}"x": {{"a": 1, "a": 1}}}}'), "token.malformed"),
    "jwt_header_array": (lambda: compact(ES, "[]", claims_of()), "token.malformed"),
    "jwt_payload_string": (signed_text('"x"'), "token.malformed"),
    "jwt_payload_not_utf8": (lambda: compact(ES, header_of(ES), b'{"a":"\xff"}'), "token.malformed"),
    "jwt_payload_utf16": (lambda: compact(ES, header_of(ES), claims_of().encode("utf-16")), "token.malformed"),
    "jwt_payload_bom": (lambda: compact(ES, header_of(ES), b"\xef\xbb\xbf" + BASE.encode()), "token.malformed"),
    "jwt_payload_trailing": (signed_text(BASE + "{}"), "token.malformed"),
    "jwt_nan": (signed_text(f'{CLAIM}"x": NaN}}'), "token.malformed"),
    "jwt_infinity": (signed_text(f'{CLAIM}"x": -Infinity}}'), "token.malformed"),
    "jwt_overflow": (signed_text(f'{CLAIM}"x": 1e999}}'), "token.malformed"),
    "jwt_beyond_64_bits": (signed_text(f'{CLAIM}"x": {2**63}}}'), "token.malformed"),
    "jwt_digits": (signed_text(f'{CLAIM}"x": {"9" * 9000}}}'), "token.malformed"),
    "jwt_fraction_digits": (signed_text(f'{CLAIM}"x": 0.{"9" * 9000}}}'), "token.malformed"),
    "jwt_sub_lone_surrogate": (signed_text(claims_of(sub="\ud800")), "token.malformed"),
    "jwt_name_lone_surrogate": (signed_text(f'{CLAIM}"\\uDFFF": 1}}'), "token.malformed"),
    "jwt_nested_lone_surrogate": (signed_text(f'{CLAIM}"x": [{{"y": "\\udc00"}}]}}'), "token.malformed"),
    "jwt_raw_control": (signed_text(f'{CLAIM}"x": "\x00"}}'), "token.malformed"),
    "jwt_depth_17": (lambda: token_of(ES, deep=nested(16)), "token.malformed"),
    "jwt_depth_bomb": (signed_text("[" * 6000 + "]" * 6000), "token.malformed"),
    "jwt_depth_bomb_unclosed": (signed_text('{"a":' * 2000), "token.malformed"),
    "jwt_quote_bomb": (signed_text('"' + '\\"' * 5000), "token.malformed"),
    "jwt_exp_underscore": (signed_text(BASE.replace(str(NOW + 600), "9_999_999_999")), "token.malformed"),
    "jwt_exp_arabic_digits": (signed_text(BASE.replace(str(NOW + 600), "\u0669\u0669")), "token.malformed"),
    # the header
    "jwt_alg_none": (lambda: f"{b64(header_of(ES, alg='none').encode())}.{b64(BASE.encode())}.", "token.algorithm"),
    "jwt_alg_none_signed": (lambda: token_of(ES, {"alg": "nOnE"}), "token.algorithm"),
    "jwt_alg_missing": (lambda: token_of(ES, {"alg": ...}), "token.algorithm"),
    "jwt_alg_list": (lambda: token_of(ES, {"alg": ["ES256"]}), "token.algorithm"),
    "jwt_alg_lower_case": (lambda: token_of(ES, {"alg": "es256"}), "token.algorithm"),
    "jwt_alg_es384": (lambda: token_of(ES, {"alg": "ES384"}), "token.algorithm"),
    "jwt_alg_ps256": (lambda: token_of(RS, {"alg": "PS256"}), "token.algorithm"),
    "jwt_alg_of_another_key": (lambda: token_of(ES, {"alg": "RS256"}), "token.algorithm"),
    "jwt_kid_of_another_key": (lambda: token_of(ES, {"kid": RS.kid}), "token.algorithm"),
    "jwt_hs256_with_public_key_pem": (
        lambda: hs256_with_public_key(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "token.algorithm",
    ),
    "jwt_hs256_with_public_key_der": (
        lambda: hs256_with_public_key(Encoding.DER, PublicFormat.PKCS1),
        "token.algorithm",
    ),
    "jwt_crit_unknown": (lambda: token_of(ES, {"crit": ["exp2"], "exp2": 1}), "token.critical"),
    "jwt_crit_empty": (lambda: token_of(ES, {"crit": []}), "token.critical"),
    "jwt_crit_null": (lambda: token_of(ES, {"crit": None}), "token.critical"),
    "jwt_b64_false": (lambda: token_of(ES, {"b64": False, "crit": ["b64"]}), "token.critical"),
    "jwt_b64_false_without_crit": (lambda: token_of(ES, {"b64": False}), "token.critical"),
    "jwt_b64_true": (lambda: token_of(ES, {"b64": True}), "token.critical"),
    "jwt_jwk_header": (lambda: token_of(FOREIGN, {"jwk": FOREIGN.jwk(), "kid": ES.kid}), "token.embedded_key"),
    "jwt_jku": (lambda: token_of(ES, {"jku": "https://evil.example/jwks"}), "token.embedded_key"),
    "jwt_x5u": (lambda: token_of(ES, {"x5u": "file:///etc/passwd"}), "token.embedded_key"),
    "jwt_x5c": (lambda: token_of(ES, {"x5c": ["MII"]}), "token.embedded_key"),
    "jwt_zip": (lambda: token_of(ES, {"zip": "DEF"}), "token.malformed"),
    "jwt_enc": (lambda: token_of(ES, {"enc": "A256GCM"}), "token.malformed"),
    "jwt_nested": (lambda: token_of(ES, {"cty": "JWT"}), "token.type"),
    "jwt_nested_media_type": (lambda: token_of(ES, {"cty": "application/at+jwt"}), "token.type"),
    "jwt_cty_list": (lambda: token_of(ES, {"cty": ["JWT"]}), "token.type"),
    "jwt_typ_missing": (lambda: token_of(ES, {"typ": ...}), "token.type"),
    "jwt_typ_null": (lambda: token_of(ES, {"typ": None}), "token.type"),
    "jwt_typ_jwt": (lambda: token_of(ES, {"typ": "JWT"}), "token.type"),
    "jwt_typ_id_token": (lambda: token_of(ES, {"typ": "id-token+jwt"}), "token.type"),
    "jwt_typ_dpop": (lambda: token_of(ES, {"typ": "dpop+jwt"}), "token.type"),
    "jwt_typ_secevent": (lambda: token_of(ES, {"typ": "secevent+jwt"}), "token.type"),
    "jwt_typ_application_twice": (lambda: token_of(ES, {"typ": "application/application/at+jwt"}), "token.type"),
    "jwt_typ_of_another_issuer": (lambda: token_of(FOREIGN, iss="https://other.example"), "token.type"),
    "jwt_kid_unknown": (lambda: token_of(ES, {"kid": "nobody"}), "token.key"),
    "jwt_kid_missing": (lambda: token_of(ES, {"kid": ...}), "token.key"),
    "jwt_kid_null": (lambda: token_of(ES, {"kid": None}), "token.key"),
    "jwt_kid_empty": (lambda: token_of(ES, {"kid": ""}), "token.key"),
    "jwt_kid_number": (lambda: token_of(ES, {"kid": 1}), "token.key"),
    "jwt_kid_list": (lambda: token_of(ES, {"kid": [ES.kid]}), "token.key"),
    "jwt_kid_case": (lambda: token_of(ES, {"kid": ES.kid.upper()}), "token.key"),
    "jwt_kid_long": (lambda: token_of(ES, {"kid": "k" * 257}), "token.key"),
    "jwt_kid_traversal": (lambda: token_of(ES, {"kid": "../../../../dev/null"}), "token.key"),
    "jwt_kid_sql": (lambda: token_of(ES, {"kid": "x' UNION SELECT 'k'--"}), "token.key"),
    "jwt_kid_of_another_issuer": (lambda: token_of(FOREIGN), "token.key"),
    # the issuer
    "jwt_issuer_unknown": (lambda: token_of(ES, iss="https://evil.example"), "token.issuer"),
    "jwt_issuer_prefix": (lambda: token_of(ES, iss=ISSUER + ".evil.example"), "token.issuer"),
    "jwt_issuer_part": (lambda: token_of(ES, iss=ISSUER[:-1]), "token.issuer"),
    "jwt_issuer_slash": (lambda: token_of(ES, iss=ISSUER + "/"), "token.issuer"),
    "jwt_issuer_case": (lambda: token_of(ES, iss=ISSUER.upper()), "token.issuer"),
    "jwt_issuer_list": (lambda: token_of(ES, iss=[ISSUER]), "token.issuer"),
    "jwt_issuer_missing": (lambda: token_of(ES, iss=...), "token.issuer"),
    "jwt_issuer_null": (lambda: token_of(ES, iss=None), "token.issuer"),
    "jwt_issuer_of_another_key": (
        lambda: token_of(Signer(FOREIGN.kid, "ES256", ES.private), {"typ": "JWT"}, iss="https://other.example"),
        "token.signature",
    ),
    # the signature
    "jwt_foreign_key": (lambda: token_of(ES_AGAIN), "token.signature"),
    "jwt_psychic_signature": (lambda: resigned(lambda _: bytes(64)), "token.signature"),
    "jwt_signature_order": (lambda: resigned(lambda _: P256_ORDER.to_bytes(32, "big") * 2), "token.signature"),
    "jwt_signature_ones": (lambda: resigned(lambda _: b"\xff" * 64), "token.signature"),
    "jwt_der_signature": (lambda: resigned(ES.sign_der), "token.signature"),
    "jwt_signature_empty": (lambda: resigned(lambda _: b""), "token.signature"),
    "jwt_signature_cut": (lambda: resigned(lambda m: ES.sign(m)[:-1]), "token.signature"),
    "jwt_signature_longer": (lambda: resigned(lambda m: ES.sign(m) + b"\0"), "token.signature"),
    "jwt_rsa_signature_empty": (lambda: token_of(RS).rpartition(".")[0] + ".", "token.signature"),
    "jwt_rsa_signature_zero": (lambda: f"{token_of(RS).rpartition('.')[0]}.{b64(bytes(256))}", "token.signature"),
    "jwt_eddsa_signature_zero": (lambda: f"{token_of(ED).rpartition('.')[0]}.{b64(bytes(64))}", "token.signature"),
    "jwt_eddsa_signature_cut": (lambda: f"{token_of(ED).rpartition('.')[0]}.{b64(bytes(63))}", "token.signature"),
    "jwt_payload_exchanged": (lambda: part_replaced(1, b64(claims_of(sub="root").encode())), "token.signature"),
    "jwt_header_exchanged": (lambda: part_replaced(0, b64(header_of(ES, x=1).encode())), "token.signature"),
    # the claims
    "jwt_exp_missing": (lambda: token_of(ES, exp=...), "token.claims"),
    "jwt_exp_null": (lambda: token_of(ES, exp=None), "token.claims"),
    "jwt_exp_string": (lambda: token_of(ES, exp=str(NOW + 600)), "token.claims"),
    "jwt_exp_bool": (lambda: token_of(ES, exp=True), "token.claims"),
    "jwt_exp_list": (lambda: token_of(ES, exp=[NOW + 600]), "token.claims"),
    "jwt_exp_negative": (lambda: token_of(ES, exp=-1), "token.claims"),
    "jwt_exp_year_10000": (lambda: token_of(ES, exp=253_402_300_800), "token.claims"),
    "jwt_exp_milliseconds": (lambda: token_of(ES, exp=(NOW + 600) * 1000), "token.claims"),
    "jwt_exp_float_huge": (lambda: token_of(ES, exp=1e300), "token.claims"),
    "jwt_nbf_string": (lambda: token_of(ES, nbf="0"), "token.claims"),
    "jwt_nbf_bool": (lambda: token_of(ES, nbf=False), "token.claims"),
    "jwt_iat_null": (lambda: token_of(ES, iat=None), "token.claims"),
    "jwt_sub_number": (lambda: token_of(ES, sub=7), "token.claims"),
    "jwt_sub_null": (lambda: token_of(ES, sub=None), "token.claims"),
    "jwt_aud_number": (lambda: token_of(ES, aud=7), "token.claims"),
    "jwt_aud_null": (lambda: token_of(ES, aud=None), "token.claims"),
    "jwt_aud_list_of_numbers": (lambda: token_of(ES, aud=["orders", 7]), "token.claims"),
    "jwt_aud_object": (lambda: token_of(ES, aud={"orders": 1}), "token.claims"),
    "jwt_no_begin": (lambda: token_of(ES, iat=...), "token.lifetime"),
    "jwt_lifetime": (lambda: token_of(ES, iat=NOW, exp=NOW + 86_401), "token.lifetime"),
    # the time
    "jwt_expired": (lambda: token_of(ES, exp=NOW - 30), "token.expired"),
    "jwt_expired_by_a_fraction": (lambda: token_of(ES, exp=NOW - 29.5), "token.expired"),
    "jwt_nbf_to_come": (lambda: token_of(ES, nbf=NOW + 31), "token.not_yet"),
    "jwt_nbf_to_come_by_a_fraction": (lambda: token_of(ES, nbf=NOW + 30.5), "token.not_yet"),
    "jwt_iat_to_come": (lambda: token_of(ES, iat=NOW + 31), "token.not_yet"),
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


def test_nothing_is_opened_or_fetched_for_a_token() -> None:
    seen: list[str] = []
    watching = True

    def hook(event: str, _: tuple[object, ...]) -> None:
        if watching and event.partition(".")[0] in {"open", "socket", "urllib", "http", "subprocess"}:
            seen.append(event)

    sys.addaudithook(hook)
    try:
        for name in ("jwt_jku", "jwt_x5u", "jwt_kid_traversal", "jwt_kid_unknown", "jwt_jwk_header"):
            assert reason(BAD[name][0]()) is not None
    finally:
        watching = False
    assert not seen


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
