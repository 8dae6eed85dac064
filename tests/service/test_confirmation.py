"""Proof of possession: every way a binding can be malformed, and every byte a certificate can differ in."""

from __future__ import annotations

import base64
import hashlib
import string
import warnings
from datetime import timedelta
from itertools import count
from typing import Any, Literal
from urllib.parse import quote, quote_plus, unquote_to_bytes

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given
from hypothesis import strategies as st

from pdp.identity.confirmation import MOST_CHARACTERS, UNREADABLE, client_certificate, proved
from pdp.model import ClientCertificate
from tests.support.certificates import TestAuthority
from tests.support.tokens import b64

AUTHORITY = TestAuthority()
PAIR, OTHER = AUTHORITY.gateway(), AUTHORITY.gateway()
READ = x509.load_pem_x509_certificate(PAIR.certificate)
DER, ENDS = READ.public_bytes(Encoding.DER), int(READ.not_valid_after_utc.timestamp())
DIGEST = hashlib.sha256(DER).digest()
NOW = ENDS - 60
HELD = ClientCertificate(DIGEST, ENDS)
TEXT = b64(DIGEST)
ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
URL_ALPHABET = ALPHABET[:-2] + "-_"


def encoded(pem: bytes | str) -> str:
    """As Envoy encodes it: all but letters, digits and `._~-`."""
    return quote(pem, safe="")


def pem_of(der: bytes, width: int = 64, end: str = "\n") -> str:
    body = base64.b64encode(der).decode()
    lines = [body[at : at + width] for at in range(0, len(body), width)]
    return "".join(f"{each}{end}" for each in ("-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----"))


def thumbprint(text: str) -> bytes | None:
    """The digest of the certificate that a text is of."""
    found = client_certificate(text)
    return None if found == UNREADABLE else found.digest


def of_digest(digest: bytes | None) -> ClientCertificate | None:
    return None if digest is None else ClientCertificate(digest, ENDS)


PEM = PAIR.certificate.decode()
BODY = "".join(PEM.splitlines()[1:-1])


def test_a_token_that_is_bound_to_nothing_passes_with_and_without_a_certificate() -> None:
    assert proved({"sub": "ann"}, None, NOW) is None
    assert proved({"sub": "ann"}, HELD, NOW) is None
    assert proved({}, None, NOW) is None


def test_a_token_that_is_bound_to_the_certificate_passes_with_it() -> None:
    assert proved({"sub": "ann", "cnf": {"x5t#S256": TEXT}}, HELD, NOW) is None


def test_a_token_that_is_bound_to_a_certificate_is_unproved_without_one() -> None:
    assert proved({"cnf": {"x5t#S256": TEXT}}, None, NOW) == "token.unproved"


@pytest.mark.parametrize("at", range(32))
def test_a_digest_that_differs_in_one_bit_is_another(at: int) -> None:
    other = bytes(byte ^ (1 if place == at else 0) for place, byte in enumerate(DIGEST))
    assert proved({"cnf": {"x5t#S256": TEXT}}, of_digest(other), NOW) == "token.unproved"
    assert proved({"cnf": {"x5t#S256": b64(other)}}, HELD, NOW) == "token.unproved"


@pytest.mark.parametrize("given_digest", [b"", DIGEST[:31], DIGEST + b"\0", bytes(32), TEXT.encode()], ids=len)
def test_a_digest_of_another_length_is_another(given_digest: bytes) -> None:
    assert proved({"cnf": {"x5t#S256": TEXT}}, of_digest(given_digest), NOW) == "token.unproved"


OVER: dict[str, tuple[int, str | None]] = {
    "the second before its end": (ENDS - 1, None),
    "the second that it names": (ENDS, "token.certificate_over"),
    "the second after": (ENDS + 1, "token.certificate_over"),
    "the leeway of an issuer after": (ENDS + 30, "token.certificate_over"),
    "long after": (2**40, "token.certificate_over"),
}


@pytest.mark.parametrize(("now", "reason"), OVER.values(), ids=OVER)
def test_a_certificate_proves_nothing_once_it_is_over(now: int, reason: str | None) -> None:
    assert proved({"cnf": {"x5t#S256": TEXT}}, client_certificate(encoded(PEM)), now) == reason
    assert proved({"sub": "ann"}, HELD, now) is None


def test_another_certificate_is_another_and_not_over() -> None:
    other = ClientCertificate(bytes(32), ENDS)
    assert proved({"cnf": {"x5t#S256": TEXT}}, other, ENDS + 1) == "token.unproved"
    assert proved({"cnf": {"jkt": TEXT}}, HELD, ENDS + 1) == "token.dpop"


MALFORMED: dict[str, Any] = {
    "null": None,
    "true": True,
    "a number": 7,
    "text": TEXT,
    "a list": [{"x5t#S256": TEXT}],
    "empty": {},
    "an unknown member": {"x5t": TEXT},
    "a key in it": {"jwk": {"kty": "EC"}},
    "an encrypted key": {"jwe": "x"},
    "a key id": {"kid": "k1"},
    "a key's address": {"jku": "https://evil.example/jwks"},
    "the certificate beside an unknown member": {"x5t#S256": TEXT, "x": 1},
    "the certificate beside a key id": {"x5t#S256": TEXT, "kid": "k1"},
    "the certificate beside jkt": {"x5t#S256": TEXT, "jkt": TEXT},
    "the certificate beside null": {"x5t#S256": TEXT, "jkt": None},
    "the member in another case": {"x5t#s256": TEXT},
    "the member with a space": {"x5t#S256 ": TEXT},
    "SHA-1's member": {"x5t": b64(DIGEST[:20])},
    "the certificate null": {"x5t#S256": None},
    "the certificate a number": {"x5t#S256": 7},
    "the certificate a list": {"x5t#S256": [TEXT]},
    "the certificate empty": {"x5t#S256": ""},
    "the certificate too short": {"x5t#S256": TEXT[:-1]},
    "the certificate too long": {"x5t#S256": TEXT + "A"},
    "the certificate padded": {"x5t#S256": TEXT + "="},
    "the certificate padded within 43 characters": {"x5t#S256": TEXT[:-1] + "="},
    "the certificate in hex": {"x5t#S256": DIGEST.hex()},
    "the certificate in the other alphabet": {"x5t#S256": "+/" + TEXT[2:]},
    "the certificate with a line end": {"x5t#S256": TEXT[:-1] + "\n"},
    "the certificate with a space before": {"x5t#S256": " " + TEXT[:-1]},
    "the certificate not ASCII": {"x5t#S256": "\u00e9" + TEXT[1:]},
    "the certificate a surrogate": {"x5t#S256": "\udcff" + TEXT[1:]},
    "the certificate with bits left over": {"x5t#S256": TEXT[:-1] + URL_ALPHABET[URL_ALPHABET.index(TEXT[-1]) | 1]},
    "the certificate of all zeros": {"x5t#S256": "A" * 43},
    "jkt null": {"jkt": None},
    "jkt a number": {"jkt": 7},
    "jkt too short": {"jkt": "x"},
    "jkt of SHA-1's length": {"jkt": b64(DIGEST[:20])},
    "jkt twice as long": {"jkt": b64(DIGEST + DIGEST)},
    "jkt with bits left over": {"jkt": "A" * 42 + "B"},
    "jkt beside an unknown member": {"jkt": TEXT, "x": 1},
}


@pytest.mark.parametrize("certificate", [None, HELD], ids=["no certificate", "the certificate"])
@pytest.mark.parametrize("cnf", MALFORMED.values(), ids=MALFORMED)
def test_a_binding_that_is_not_understood_is_not_proved(cnf: Any, certificate: ClientCertificate | None) -> None:
    assert proved({"cnf": cnf}, certificate, NOW) == "token.unproved"


@pytest.mark.parametrize("certificate", [None, HELD], ids=["no certificate", "the certificate"])
def test_dpop_is_recognised_and_refused(certificate: ClientCertificate | None) -> None:
    assert proved({"cnf": {"jkt": TEXT}}, certificate, NOW) == "token.dpop"


def test_the_leaf_is_hashed_as_openssl_would() -> None:
    assert thumbprint(encoded(PEM)) == DIGEST
    assert proved({"cnf": {"x5t#S256": TEXT}}, client_certificate(encoded(PEM)), NOW) is None


def test_the_end_of_a_certificate_is_its_own_to_the_second() -> None:
    """Whatever was remembered of it before, and whatever time it is: one that is over has an end as well."""
    for _ in range(2):
        assert client_certificate(encoded(PEM)) == ClientCertificate(DIGEST, ENDS)
    for days in (-400, -1, 1, 30_000):
        made = AUTHORITY.gateway(valid_for=timedelta(days=days)).certificate
        found = client_certificate(encoded(made))
        assert found is not None
        assert found.ends_s == x509.load_pem_x509_certificate(made).not_valid_after_utc.timestamp()


def with_end(text: bytes) -> bytes:
    """The certificate with another text as its `notAfter`, of the same length."""
    place = DER.rindex(b"\x17\x0d", 0, DER.index(READ.subject.public_bytes(), DER.index(b"\x17\x0d")))
    return DER[: place + 2] + text + DER[place + 2 + len(text) :]


ENDINGS: dict[str, tuple[bytes, int | None]] = {
    "the last second of this kind": (b"491231235959Z", 2_524_607_999),
    "the first second of this kind": (b"500101000000Z", -631_152_000),
    "the epoch": (b"700101000000Z", 0),
    "a thirteenth month": (b"271301000000Z", None),
    "a day that is none": (b"270230000000Z", None),
    "no digits": (b"canary-canary", None),
    "an hour that is none": (b"270101240000Z", None),
    "a leap second": (b"270630235960Z", None),
    "another zone": (b"2701010000+01", None),
}


@pytest.mark.parametrize("sentence", ENDINGS)
def test_an_end_that_is_no_instant_is_no_certificate(sentence: str) -> None:
    text, ends = ENDINGS[sentence]
    found = client_certificate(encoded(pem_of(with_end(text))))
    assert (None if found == UNREADABLE else found.ends_s) == ends


def test_of_a_chain_the_first_is_the_leaf() -> None:
    assert client_certificate(encoded(PEM + AUTHORITY.pem.decode())) == HELD
    assert thumbprint(encoded(PEM + AUTHORITY.pem.decode())) == DIGEST
    assert thumbprint(encoded(AUTHORITY.pem.decode() + PEM)) not in {None, DIGEST}
    assert thumbprint(encoded(PEM + PEM)) == DIGEST


def test_hex_digits_of_either_case_mean_the_same() -> None:
    lower = encoded(PEM).replace("%2B", "%2b").replace("%2F", "%2f").replace("%3D", "%3d").replace("%0A", "%0a")
    assert thumbprint(lower) == DIGEST


def test_another_certificate_of_the_same_name_is_another() -> None:
    assert proved({"cnf": {"x5t#S256": TEXT}}, client_certificate(encoded(OTHER.certificate)), NOW) == "token.unproved"


@pytest.mark.parametrize("at", range(0, len(DER), 7))
def test_a_certificate_that_differs_in_one_byte_is_another_or_none(at: int) -> None:
    """Whether it still parses or not, it never has the thumbprint of the certificate it was made from."""
    der = DER[:at] + bytes([DER[at] ^ 1]) + DER[at + 1 :]
    found = thumbprint(encoded(pem_of(der)))
    assert found in {None, hashlib.sha256(der).digest()}
    assert proved({"cnf": {"x5t#S256": TEXT}}, of_digest(found), NOW) == "token.unproved"


def test_a_certificate_whose_signature_differs_in_one_byte_is_well_formed_and_another() -> None:
    """What signed it is the gateway's to check; the thumbprint is of the bytes."""
    der = DER[:-1] + bytes([DER[-1] ^ 1])
    assert thumbprint(encoded(pem_of(der))) == hashlib.sha256(der).digest() != DIGEST


@pytest.mark.parametrize("warned", ["error", "ignore"])
def test_a_negative_serial_number_is_malformed_whatever_becomes_of_warnings(
    warned: Literal["error", "ignore"],
) -> None:
    version_and_tag = b"\xa0\x03\x02\x01\x02\x02"
    first = DER.index(version_and_tag) + len(version_and_tag) + 1
    der = DER[:first] + bytes([DER[first] | 0x80]) + DER[first + 1 :]
    with warnings.catch_warnings():
        warnings.simplefilter(warned)
        assert thumbprint(encoded(pem_of(der))) is None


def test_bits_left_over_in_the_base64_are_malformed() -> None:
    """A lenient reader finds the same bytes in both."""
    pems = (AUTHORITY.gateway().certificate.decode() for _ in count())
    pem = next(each for each in pems if "=" in each)
    last = pem[pem.index("=") - 1]
    respelt = pem.replace(f"{last}=", f"{ALPHABET[ALPHABET.index(last) | 1]}=")
    assert respelt != pem
    assert len({base64.b64decode("".join(each.splitlines()[1:-1])) for each in (pem, respelt)}) == 1
    assert thumbprint(encoded(pem)) is not None
    assert thumbprint(encoded(respelt)) is None


KEY_PEM = PAIR.key.decode()
NOT_CERTIFICATES: dict[str, str] = {
    "empty": "",
    "not encoded": PEM,
    "spaces as plus": quote_plus(PEM),
    "encoded twice": encoded(encoded(PEM)),
    "a slash left as it is": quote(PEM, safe="/") + "/",
    "an equals sign left as it is": encoded(PEM) + "=",
    "a cut escape": encoded(PEM)[:-1],
    "an escape of no hex digits": encoded(PEM)[:-3] + "%0G",
    "a raw line end": encoded(PEM)[:-3] + "\n",
    "a NUL": encoded(PEM) + "%00",
    "bytes that are not UTF-8": encoded(PEM) + "%FF",
    "a character that is not ASCII": encoded(PEM) + "\u00e9",
    "a surrogate": encoded(PEM) + "\udcff",
    "digits that are not ASCII": encoded(PEM) + "%\u0660\u0660",
    "the value of the header XFCC": f"Hash={DIGEST.hex()};Cert=%22{encoded(PEM)}%22",
    "DER, not PEM": encoded(DER),
    "base64, not PEM": encoded(BODY),
    "text before": encoded("subject=test\n" + PEM),
    "text after": encoded(PEM + "x"),
    "an empty line after": encoded(PEM + "\n"),
    "an empty line between": encoded(PEM + "\n" + PEM),
    "no line end at the end": encoded(PEM[:-1]),
    "no line end between": encoded(PEM[:-1] + PEM),
    "line ends of Windows": encoded(pem_of(DER, end="\r\n")),
    "one long line": encoded(pem_of(DER, width=10_000)),
    "lines of 65": encoded(pem_of(DER, width=65)),
    "a space in the base64": encoded(PEM.replace(BODY[:8], BODY[:4] + " " + BODY[5:8])),
    "the other alphabet": encoded(pem_of(DER).replace("+", "-").replace("/", "_").replace(BODY[:4], "_-_-")),
    "padding in the middle": encoded(PEM.replace(BODY[:64], BODY[:60] + "====")),
    "padding beyond need": encoded(PEM.replace("\n-----END", "=\n-----END")),
    "no base64": encoded("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"),
    "an empty line of base64": encoded("-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----\n"),
    "no DER": encoded(pem_of(b"x")),
    "an empty sequence": encoded(pem_of(b"\x30\x00")),
    "cut by a byte": encoded(pem_of(DER[:-1])),
    "a byte after the DER": encoded(pem_of(DER + b"\0")),
    "two certificates in one block": encoded(pem_of(DER + DER)),
    "a version that is none": encoded(pem_of(DER.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07"))),
    "no end": encoded(PEM.partition("-----END")[0]),
    "no beginning": encoded(PEM.partition("\n")[2]),
    "another label": encoded(PEM.replace("CERTIFICATE", "TRUSTED CERTIFICATE")),
    "a request": encoded(PEM.replace("CERTIFICATE", "CERTIFICATE REQUEST")),
    "an old label": encoded(PEM.replace("CERTIFICATE", "X509 CERTIFICATE")),
    "labels of two kinds": encoded(PEM.replace("END CERTIFICATE", "END X509 CERTIFICATE")),
    "a private key": encoded(KEY_PEM),
    "a certificate, then its key": encoded(PEM + KEY_PEM),
    "a certificate, then rubbish in PEM": encoded(PEM + pem_of(b"rubbish")),
    "rubbish in PEM, then a certificate": encoded(pem_of(b"rubbish") + PEM),
    "too large": encoded(PEM * (MOST_CHARACTERS // len(encoded(PEM)) + 1)),
    "one character over the limit": "A" * (MOST_CHARACTERS + 1),
    "a quadratic bait": encoded("-----BEGIN CERTIFICATE-----\n" + "A\n" * 8_000),
    "many beginnings": encoded("-----BEGIN CERTIFICATE-----\n" * 900),
}


@pytest.mark.parametrize("text", NOT_CERTIFICATES.values(), ids=NOT_CERTIFICATES)
def test_what_is_not_exactly_certificates_has_no_thumbprint(text: str) -> None:
    assert thumbprint(text) is None


def test_as_many_certificates_as_fit_are_read() -> None:
    fitting = MOST_CHARACTERS // len(encoded(PEM))
    assert fitting > 10
    assert thumbprint(encoded(PEM * fitting)) == DIGEST


@given(st.text(max_size=200))
@example("%")
@example("%2")
@example("%%%")
def test_no_text_raises(text: str) -> None:
    assert client_certificate(text) == UNREADABLE


@given(st.binary(max_size=200))
@example(b"\x30\x80")
@example(b"\x30\x84\xff\xff\xff\xff")
def test_no_bytes_of_a_certificate_raise(der: bytes) -> None:
    assert thumbprint(encoded(pem_of(der))) is None


@given(st.binary(max_size=120))
def test_no_bytes_after_a_certificate_are_passed_over(tail: bytes) -> None:
    text = encoded(PEM) + quote(tail, safe="")
    assert thumbprint(text) == (None if unquote_to_bytes(text) != PEM.encode() else DIGEST)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50) | st.just(TEXT),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["x5t#S256", "jkt", "jwk", "kid", ""]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(JSON, st.none() | st.just(DIGEST) | st.binary(max_size=40))
@example({"x5t#S256": TEXT}, DIGEST)
@example({"jkt": TEXT}, DIGEST)
def test_only_the_one_proof_is_one(cnf: Any, certificate: bytes | None) -> None:
    """proved(cnf, c) is None exactly where cnf says the one text of SHA-256 c and nothing else."""
    answer = proved({"cnf": cnf}, of_digest(certificate), NOW)
    assert answer in {None, "token.unproved", "token.dpop"}
    assert (answer is None) == (certificate == DIGEST and cnf == {"x5t#S256": TEXT})
    if answer == "token.dpop":
        assert list(cnf) == ["jkt"]


def test_what_cannot_be_read_proves_no_key_and_is_over() -> None:
    found = client_certificate("rubbish")
    assert found == UNREADABLE
    assert proved({"cnf": {"x5t#S256": TEXT}}, found, NOW) == "token.unproved"
    assert found.ends_s < NOW
