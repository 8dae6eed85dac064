"""Every published attack on the keys of an issuer, by cause, through what trusts it, over TLS on loopback.

An issuer publishes a good set; what it answers next is the attack. It is refused by name, the last good keys go on to
count, a forged token is refused before, meanwhile and after, and a good set that follows is taken.
Sources: security.md 2.1, rows "wrong use" and "JWKS down" (CVE-2026-48522, CVE-2026-48524, GHSA-9v7f-9g4p-ffgj,
GHSA-2gx3-rcp4-g85q); RFC 7517; RFC 7518 6; RFC 8725 3.1, 3.5; OpenID Connect Discovery 1.0 4.3.

Decision: 2026-11-21. Two things that look like attacks are none, and each has its test: the content type of a set
decides nothing (many issuers state a wrong one), and a certificate beside a key (`x5c`) is never looked at, so that one
that disagrees gives nobody a key.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import heapq
import json
import random
import string
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Network
from itertools import pairwise
from math import prod
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from msgspec import Struct

from pdp.identity.fetching import MOST_BYTES, Fetcher, trusting
from pdp.identity.jwks import ALGORITHMS, KeySet
from pdp.identity.jwt import Issuer, TokenRefusal
from pdp.identity.key_sources import DISCOVERY_PATH, KeySource, KeySourceSettings, KeySourceStatus
from pdp.identity.trust import Trust
from tests.support.certificates import TestAuthority
from tests.support.issuer_server import (
    HOST,
    Answer,
    IssuerServer,
    certificate_for,
    dripping,
    endless,
    raw,
    saying,
    silent,
)
from tests.support.tokens import NOW, Signer, b64, b64_number, claims_of, header_of, key_set, signer, token_of

A, B, BAD = signer("ES256", "a"), signer("ES256", "b"), signer("ES256", "bad")
RS, ED = signer("RS256"), signer("EdDSA")
GOOD, NEXT = key_set(A.jwk()), key_set(B.jwk())

COOLDOWN_S, REFRESH_S, MAX_STALE_S = 30.0, 300.0, 1_000.0
AUTHORITY = TestAuthority()
PAIR = certificate_for(AUTHORITY, HOST)
MANY = 50 * 1024 * 1024
SOUND = b"HTTP/1.1 200 OK\r\n"
SHORT_S = 1.5
"""The time of a fetch whose answer never comes to an end."""


class Clock:
    """A monotonic clock that goes only when told; who sleeps by it wakes in order."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._slept = 0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._slept += 1
        heapq.heappush(self._sleepers, (self.now + seconds, self._slept, woken))
        await woken

    async def passes(self, seconds: float, rest: Callable[[], Awaitable[None]]) -> None:
        """Let time pass; `rest` waits for what begins in it."""
        end = self.now + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            self.now, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
                await _turns()
                await rest()
        self.now = end


async def _turns() -> None:
    """Let the loop do what is ready."""
    for _ in range(5):
        await asyncio.sleep(0)


class World:
    """One issuer and its server, trusted as the service trusts it, its good set fetched."""

    def __init__(self, server: IssuerServer, fetcher: Fetcher, addresses: list[str], *, discovered: bool) -> None:
        self.clock = Clock()
        self.server = server
        self.addresses = addresses
        self.times: list[float] = []
        self.issuer = server.url("") if discovered else f"https://{HOST}"
        self.serve(saying(GOOD))
        self.say(self.document())
        settings = KeySourceSettings(
            self.issuer,
            None if discovered else server.url("/keys"),
            refresh_s=REFRESH_S,
            max_stale_s=MAX_STALE_S,
            cooldown_s=COOLDOWN_S,
            jitter=0,
        )

        def make(changed: Callable[[KeySet], None]) -> KeySource:
            self._source = KeySource(
                settings,
                fetcher.fetch,
                monotonic=self.clock.monotonic,
                sleep=self.clock.sleep,
                random=lambda: 0.0,
                changed=changed,
            )
            return self._source

        issuer = Issuer(self.issuer, None, frozenset(ALGORITHMS), frozenset({"at+jwt"}))
        self.trust = Trust(
            [issuer],
            {self.issuer: make},
            monotonic=self.clock.monotonic,
            sleep=self.clock.sleep,
            standing=lambda *_: None,
        )

    @property
    def status(self) -> KeySourceStatus:
        return self._source.status(self.clock.now)

    def serve(self, answer: Answer) -> None:
        """What the issuer answers from now on, where its keys are."""

        async def noted(writer: asyncio.StreamWriter) -> None:
            self.times.append(self.clock.now)
            await answer(writer)

        self.server.answers["/keys"] = noted

    def say(self, document: bytes) -> None:
        """What the issuer says of itself from now on."""
        self.server.answers[DISCOVERY_PATH] = saying(document)

    def document(self, **changes: Any) -> bytes:
        whole = {"issuer": self.issuer, "jwks_uri": self.server.url("/keys"), **changes}
        return json.dumps({name: value for name, value in whole.items() if value is not None}).encode()

    def token(self, by: Signer, **header: Any) -> str:
        return token_of(by, header, iss=self.issuer)

    def forged(self, header: str, sign: Callable[[bytes], bytes]) -> str:
        message = f"{b64(header.encode())}.{b64(claims_of(iss=self.issuer).encode())}"
        return f"{message}.{b64(sign(message.encode()))}"

    def says(self, token: str) -> str:
        """What a token is answered: good, or the reason."""
        proven = self.trust.identity.prove((f"Bearer {token}",), NOW)
        assert proven is not None
        return proven.reason if isinstance(proven, TokenRefusal) else "good"

    async def rests(self) -> None:
        """Until what is fetched is there, in real time."""
        await self.trust.settled(20)
        await _turns()

    async def passes(self, seconds: float) -> None:
        await self.clock.passes(seconds, self.rests)

    async def looks_again(self) -> None:
        """The cooldown is over, and a token with an unknown key makes the keys be asked for again."""
        await self.passes(COOLDOWN_S)
        assert self.says(self.token(BAD, kid="unknown")) == "token.key"
        await self.rests()


def live(work: Callable[[World], Awaitable[None]], *, timeout_s: float = 10.0, discovered: bool = False) -> None:
    """`work` while the issuer is trusted."""
    addresses = ["127.0.0.1"]

    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    async def once() -> None:
        network = (IPv4Network("127.0.0.0/8"),)
        fetcher = Fetcher([HOST], resolve, trusting(AUTHORITY.pem), networks=network, timeout_s=timeout_s)
        async with IssuerServer({}, PAIR) as server, fetcher:
            world = World(server, fetcher, addresses, discovered=discovered)
            running = asyncio.ensure_future(world.trust.run())
            try:
                await world.rests()
                assert world.says(world.token(A)) == "good"
                await work(world)
                assert not running.done()
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    asyncio.run(asyncio.wait_for(once(), 60))


async def hold(world: World, reason: str) -> None:
    """What is served now is refused for this reason: the last good keys count, and the next good ones are taken."""
    await world.looks_again()
    said = f"the keys of the issuer {world.issuer} are {COOLDOWN_S:.0f} s old ({reason})"
    assert world.status.reason == reason
    assert world.says(world.token(A)) == "good"
    assert world.says(world.token(B)) == "token.key"
    assert world.says(world.token(BAD)) == "token.key"
    assert world.trust.misgivings() == [said]
    world.serve(saying(NEXT))
    await world.looks_again()
    assert (world.status.reason, world.trust.misgivings()) == ("", [])
    assert (world.says(world.token(B)), world.says(world.token(A))) == ("good", "token.key")


HTML = b"<!DOCTYPE html><html><body>We'll be right back</body></html>"
OCT = {"kty": "oct", "kid": "bad", "k": b64(b"x" * 32)}

SERVED: dict[str, tuple[Answer, str]] = {
    "HTML in place of JSON": (saying(HTML, content_type="text/html"), "set.json"),
    "HTML that says it is JSON": (saying(HTML, content_type="application/jwk-set+json"), "set.json"),
    "50 MB, their length stated": (endless(SOUND + b"content-length: %d\r\n\r\n" % MANY, [], MANY), "fetch.too_large"),
    "50 MB in one chunk": (
        endless(SOUND + b"transfer-encoding: chunked\r\n\r\n3200000\r\n", [], MANY),
        "fetch.too_large",
    ),
    "50 MB until the end of the connection": (endless(SOUND + b"\r\n", [], MANY), "fetch.too_large"),
    "a good set and a megabyte of blanks": (saying(GOOD + b" " * MOST_BYTES), "fetch.too_large"),
    "a gzip bomb": (saying(gzip.compress(bytes(MANY // 10)), content_encoding="gzip"), "fetch.encoding"),
    "a gzip bomb that does not say so": (saying(gzip.compress(bytes(MANY // 10))), "set.json"),
    "a good set, compressed": (saying(gzip.compress(NEXT), content_encoding="gzip"), "fetch.encoding"),
    "a redirect to another host": (saying(NEXT, 302, location="https://evil.example/keys"), "fetch.redirect"),
    "a redirect to a file": (saying(NEXT, 302, location="file:///etc/passwd"), "fetch.redirect"),
    "a redirect to http": (saying(NEXT, 301, location=f"http://{HOST}/keys"), "fetch.redirect"),
    "a redirect to metadata of a cloud": (saying(NEXT, 307, location="http://169.254.169.254/"), "fetch.redirect"),
    "a redirect to the same host": (saying(NEXT, 308, location="/other"), "fetch.redirect"),
    "an error with a set in it": (saying(NEXT, 500), "fetch.status"),
    "a set that was not found": (saying(NEXT, 404), "fetch.status"),
    "a part of a set": (saying(NEXT, 206), "fetch.status"),
    "a set that is cut": (raw(SOUND + b"content-length: 999\r\n\r\n" + NEXT), "fetch.protocol"),
    "no HTTP": (raw(b"SSH-2.0-OpenSSH\r\n\r\n"), "fetch.protocol"),
    "nothing": (raw(b""), "fetch.protocol"),
}

SLOW: dict[str, Answer] = {
    "no answer": silent,
    "a body of a byte at a time": dripping(SOUND + b"content-length: 1000000\r\n\r\n", 0.02),
    "headers of a byte at a time": dripping(b"HTTP/1.1 200 OK\r\na: ", 0.02),
}

SETS: dict[str, tuple[bytes, str]] = {
    "an empty body": (b"", "set.json"),
    "half a set": (NEXT[:-9], "set.json"),
    "a list in place of a set (RFC 7517 5)": (json.dumps([B.jwk()]).encode(), "set.json"),
    "keys twice (RFC 8725 2.6)": (NEXT[:-1] + b',"keys":[]}', "set.json"),
    "a member of a key twice (RFC 8725 2.6)": (NEXT.replace(b'"kty"', b'"kid":"x","kty"'), "set.json"),
    "a depth of 100,000": (b'{"keys":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "set.json"),
    "a byte order mark (RFC 8259 8.1)": (b"\xef\xbb\xbf" + NEXT, "set.json"),
    "no member keys (RFC 7517 5.1)": (b"{}", "set.shape"),
    "keys that are an object (RFC 7517 5.1)": (json.dumps({"keys": {"b": B.jwk()}}).encode(), "set.shape"),
    "keys that are a text (RFC 7517 5.1)": (b'{"keys":"b"}', "set.shape"),
    "a key that is a text (RFC 7517 5.1)": (json.dumps({"keys": [B.jwk(), "b"]}).encode(), "set.shape"),
    "a key in place of a set (RFC 7517 5)": (json.dumps(B.jwk()).encode(), "set.shape"),
    "an empty set (RFC 7517 5.1)": (b'{"keys":[]}', "set.empty"),
    "101 keys": (key_set(*(B.jwk(kid=str(number)) for number in range(101))), "set.too_many"),
    "100,001 keys": (b'{"keys":[' + b"{}," * 100_000 + b"{}]}", "set.too_many"),
    "a symmetric key (RFC 7518 6.4)": (key_set(OCT), "set.symmetric"),
    "a symmetric key among others (PyJWT, published JWK vectors)": (key_set(B.jwk(), OCT), "set.symmetric"),
    "a secret beside a public key (RFC 7518 6.4.1)": (key_set(B.jwk(k="AAAA")), "set.symmetric"),
    "a private key of EC (RFC 7518 6.2.2)": (key_set(B.jwk(d="AAAA")), "set.private"),
    "a private key of RSA (RFC 7518 6.3.2)": (key_set(B.jwk(), RS.jwk(d="AAAA", p="AAAA")), "set.private"),
    "a private key of OKP (RFC 8037 2)": (key_set(B.jwk(), ED.jwk(d="AAAA")), "set.private"),
}


@pytest.mark.parametrize(("answer", "reason"), SERVED.values(), ids=SERVED.keys())
def test_an_answer_that_is_no_key_set_leaves_the_keys(answer: Answer, reason: str) -> None:
    async def work(world: World) -> None:
        world.serve(answer)
        await hold(world, reason)
        assert {asked.target for asked in world.server.asked} == {"/keys"}, "no redirect was followed"

    live(work)


@pytest.mark.parametrize("answer", SLOW.values(), ids=SLOW.keys())
def test_an_answer_without_end_leaves_the_keys(answer: Answer) -> None:
    async def work(world: World) -> None:
        world.serve(answer)
        await hold(world, "fetch.timeout")

    live(work, timeout_s=SHORT_S)


@pytest.mark.parametrize(("data", "reason"), SETS.values(), ids=SETS.keys())
def test_a_set_that_is_not_believed_leaves_the_keys(data: bytes, reason: str) -> None:
    async def work(world: World) -> None:
        world.serve(saying(data))
        await hold(world, reason)

    live(work)


class BadKey(Struct, frozen=True):
    """A key of the name `bad`, why it is refused, and what would verify under it, were it not."""

    jwk: dict[str, Any]
    reason: str
    algorithm: str = "ES256"
    sign: Callable[[bytes], bytes] = BAD.sign


def _rsa() -> rsa.RSAPrivateNumbers:
    assert isinstance(RS.private, rsa.RSAPrivateKey)
    return RS.private.private_numbers()


def _rsa_jwk(n: int, e: int) -> dict[str, Any]:
    return RS.jwk(kid="bad", n=b64_number(n), e=b64_number(e))


def _padded(message: bytes, size: int) -> bytes:
    """EMSA-PKCS1-v1_5 (RFC 8017 9.2)."""
    digest = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(message).digest()
    return b"\x00\x01" + b"\xff" * (size - 3 - len(digest)) + b"\x00" + digest


def _taken_apart(n: int, phi: int, reason: str) -> BadKey:
    """A key whose private part follows from its public one."""
    size = (n.bit_length() + 7) // 8

    def sign(message: bytes) -> bytes:
        return pow(int.from_bytes(_padded(message, size), "big"), pow(65537, -1, phi), n).to_bytes(size, "big")

    return BadKey(_rsa_jwk(n, 65537), reason, "RS256", sign)


def _of_1024_bits() -> BadKey:
    numbers = rsa.generate_private_key(65537, 1024).private_numbers()  # noqa: S505 - what is refused here
    return _taken_apart(numbers.public_numbers.n, (numbers.p - 1) * (numbers.q - 1), "key.rsa_size")


def _roca() -> int:
    """A modulus as the flawed library made them: each factor is k*M + (65537**a mod M)."""
    drawn = random.Random(2017)
    m = prod(n for n in range(2, 702) if all(n % d for d in range(2, n)))

    def factor() -> int:
        return (2**1024 // m - 1 - drawn.randrange(2**20)) * m + pow(65537, drawn.randrange(2**64), m)

    return factor() * factor()


def _of_small_order(y: int) -> BadKey:
    """With R neutral and S = 0, what verifies does so for every eighth text at least, whoever signs."""
    jwk = ED.jwk(kid="bad", x=b64(y.to_bytes(32, "little")))
    return BadKey(jwk, "key.small_order", "EdDSA", lambda _: (1).to_bytes(32, "little") + bytes(32))


P = 2**255 - 19
ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
M1279, M2203 = 2**1279 - 1, 2**2203 - 1
"""Primes that everybody knows."""

_ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"

KEYS: dict[str, BadKey] = {
    "for encryption (RFC 7517 4.2)": BadKey(BAD.jwk(use="enc"), "key.use"),
    "for a use that is no text (RFC 7517 4.2)": BadKey(BAD.jwk(use=["sig"]), "key.use"),
    "key_ops without verify (RFC 7517 4.3)": BadKey(BAD.jwk(key_ops=["sign"]), "key.key_ops"),
    "key_ops of encryption (RFC 7517 4.3)": BadKey(BAD.jwk(use=None, key_ops=["encrypt"]), "key.key_ops"),
    "key_ops mixed (RFC 7517 4.3)": BadKey(BAD.jwk(key_ops=["verify", "deriveKey"]), "key.key_ops"),
    "key_ops empty (RFC 7517 4.3)": BadKey(BAD.jwk(key_ops=[]), "key.key_ops"),
    "alg of another family (CVE-2022-23541)": BadKey(BAD.jwk(alg="RS256"), "key.algorithm"),
    "alg of another curve (RFC 7518 3.4)": BadKey(BAD.jwk(alg="ES512"), "key.algorithm"),
    "alg none (RFC 8725 3.1)": BadKey(BAD.jwk(alg="none"), "key.algorithm"),
    "alg HS256 on RSA (CVE-2022-29217)": BadKey(RS.jwk(kid="bad", alg="HS256"), "key.algorithm", "RS256", RS.sign),
    "alg PS256 on RSA (RFC 8725 3.1)": BadKey(RS.jwk(kid="bad", alg="PS256"), "key.algorithm", "RS256", RS.sign),
    "P-521 for ES256 (RFC 7518 3.4)": BadKey(BAD.jwk(crv="P-521"), "key.curve"),
    "P-384 for ES256 (RFC 7518 3.4)": BadKey(BAD.jwk(crv="P-384"), "key.curve"),
    "secp256k1 for ES256 (RFC 8812 3.1)": BadKey(BAD.jwk(crv="secp256k1"), "key.curve"),
    "a key of X25519 (RFC 8037 3.2)": BadKey(ED.jwk(kid="bad", crv="X25519"), "key.curve", "EdDSA", ED.sign),
    "a point that is not on the curve (RFC 8725 3.4)": BadKey(BAD.jwk(y=b64_number(1, 32)), "key.point"),
    "the point at infinity (RFC 8725 3.4)": BadKey(BAD.jwk(x=b64(bytes(32)), y=b64(bytes(32))), "key.point"),
    "a coordinate beyond the field (RFC 8725 3.4)": BadKey(BAD.jwk(x=b64(b"\xff" * 32)), "key.point"),
    "a coordinate that is padded (RFC 7515 2)": BadKey(BAD.jwk(x=BAD.jwk()["x"] + "="), "key.encoding"),
    "a coordinate with bits left over (RFC 4648 3.5)": BadKey(
        BAD.jwk(x=BAD.jwk()["x"][:-1] + _ALPHABET[_ALPHABET.index(BAD.jwk()["x"][-1]) | 1]), "key.encoding"
    ),
    "RSA of 1024 bits (RFC 7518 3.3)": _of_1024_bits(),
    "RSA with e = 1 (RFC 8017 3.1)": BadKey(
        _rsa_jwk(_rsa().public_numbers.n, 1), "key.rsa_exponent", "RS256", lambda message: _padded(message, 256)
    ),
    "RSA with e = 2 (RFC 8017 3.1)": BadKey(_rsa_jwk(_rsa().public_numbers.n, 2), "key.rsa_exponent", "RS256"),
    "RSA with e = 3 (CVE-2006-4339)": BadKey(_rsa_jwk(_rsa().public_numbers.n, 3), "key.rsa_exponent", "RS256"),
    "RSA with e even (RFC 8017 3.1)": BadKey(_rsa_jwk(_rsa().public_numbers.n, 65538), "key.rsa_exponent", "RS256"),
    "RSA with a factor of 3 (RFC 8725 3.5)": _taken_apart(3 * M2203, 2 * (M2203 - 1), "key.rsa_modulus"),
    "RSA with a modulus that is a square (RFC 8725 3.5)": _taken_apart(
        M1279**2, M1279 * (M1279 - 1), "key.rsa_modulus"
    ),
    "RSA of a chip of Infineon's (CVE-2017-15361)": BadKey(_rsa_jwk(_roca(), 65537), "key.rsa_roca", "RS256"),
    "Ed25519, the neutral element (RFC 8725 3.4)": _of_small_order(1),
    "Ed25519 of order 2 (RFC 8725 3.4)": _of_small_order(P - 1),
    "Ed25519 of order 4 (RFC 8725 3.4)": _of_small_order(0),
    "Ed25519 of order 8 (RFC 8725 3.4)": _of_small_order(ORDER_8),
    "Ed25519, not on the curve (RFC 8032 5.1.3)": BadKey(
        ED.jwk(kid="bad", x=b64((2).to_bytes(32, "little"))), "key.point", "EdDSA", ED.sign
    ),
    "a kid that is no text (RFC 7517 4.5)": BadKey(BAD.jwk(kid=1), "key.kid"),
    "a type that nobody knows (RFC 7517 4.1)": BadKey(BAD.jwk(kty="EC2"), "key.type"),
}


@pytest.mark.parametrize("bad", KEYS.values(), ids=KEYS.keys())
def test_a_bad_key_replaces_no_other_spoils_no_other_and_verifies_nothing(bad: BadKey) -> None:
    """First the issuer publishes it alone, then among good ones."""

    async def work(world: World) -> None:
        forged = world.forged(header_of(BAD, alg=bad.algorithm), bad.sign)
        nameless = world.forged(header_of(BAD, alg=bad.algorithm, kid=...), bad.sign)
        world.serve(saying(key_set(bad.jwk)))
        await world.looks_again()
        assert [each.reason for each in world.status.refused] == [bad.reason]
        assert (world.status.reason, world.says(world.token(A))) == ("set.no_usable_key", "good")
        assert world.says(forged) == "token.key"
        assert world.says(nameless) in {"token.algorithm", "token.signature"}, "the sole key is still the good one"
        world.serve(saying(key_set(bad.jwk, A.jwk(), B.jwk())))
        await world.looks_again()
        assert [each.reason for each in world.status.refused] == [bad.reason]
        assert (world.status.reason, world.says(forged)) == ("", "token.key")
        assert (world.says(world.token(A)), world.says(world.token(B))) == ("good", "good")

    live(work)


FORGED = [name for name in KEYS if name.startswith(("RSA of 1024", "RSA with e = 1", "RSA with a"))]


@pytest.mark.parametrize("name", FORGED)
def test_a_reader_that_took_the_key_would_take_the_forgery(name: str) -> None:
    """s**e mod n is the padded digest (RFC 8017 8.2.2): what is refused is the key, not a clumsy signature."""
    bad = KEYS[name]
    n, e = (int.from_bytes(base64.urlsafe_b64decode(bad.jwk[member] + "=="), "big") for member in ("n", "e"))
    signature = bad.sign(b"a.b")
    assert len(FORGED) == 4
    assert pow(int.from_bytes(signature, "big"), e, n) == int.from_bytes(_padded(b"a.b", len(signature)), "big")


def test_neither_of_two_keys_of_one_name_verifies_anything() -> None:
    """RFC 7517 4.5: which of them is meant is never worked out."""

    async def work(world: World) -> None:
        world.serve(saying(key_set(BAD.jwk(), RS.jwk(kid="bad"), A.jwk())))
        await world.looks_again()
        assert [each.reason for each in world.status.refused] == ["key.duplicate_kid"] * 2
        assert world.says(world.token(BAD)) == "token.key"
        assert world.says(world.forged(header_of(RS, kid="bad"), RS.sign)) == "token.key"
        assert world.says(world.token(A)) == "good"

    live(work)


def test_a_certificate_that_disagrees_with_its_key_gives_nobody_a_key() -> None:
    """RFC 7517 4.7: the key is what the members say; the certificate is not looked at, nor the place of one."""

    async def work(world: World) -> None:
        chain = ["".join(AUTHORITY.gateway().certificate.decode().splitlines()[1:-1])]
        world.serve(saying(key_set(A.jwk(), B.jwk(x5c=chain, x5t=b64(bytes(20)), x5u=world.server.url("/x5u")))))
        await world.looks_again()
        assert world.says(world.forged(header_of(B), BAD.sign)) == "token.signature"
        assert (world.says(world.token(B)), world.says(world.token(A))) == ("good", "good")
        assert {asked.target for asked in world.server.asked} == {"/keys"}

    live(work)


@pytest.mark.parametrize("content_type", ["text/html", "text/plain", "application/octet-stream", ""])
def test_the_content_type_of_a_set_decides_nothing(content_type: str) -> None:
    async def work(world: World) -> None:
        world.serve(saying(NEXT, content_type=content_type))
        await world.looks_again()
        assert (world.status.reason, world.says(world.token(B))) == ("", "good")

    live(work)


DOCUMENTS: dict[str, tuple[Callable[[World], bytes], str]] = {
    "HTML": (lambda _: HTML, "discovery.json"),
    "nothing": (lambda _: b"", "discovery.json"),
    "a list": (lambda _: b"[]", "discovery.json"),
    "a depth of 17": (lambda _: b'{"a":' * 17 + b"1" + b"}" * 17, "discovery.json"),
    "two issuers (RFC 8725 2.6)": (lambda world: world.document()[:-1] + b', "issuer": "x"}', "discovery.json"),
    "another issuer (RFC 8414 3.3)": (lambda world: world.document(issuer="https://evil.example"), "discovery.issuer"),
    "an issuer that begins like ours (CVE-2024-53861)": (
        lambda world: world.document(issuer=f"{world.issuer}.evil.example"),
        "discovery.issuer",
    ),
    "our issuer and a slash (RFC 8414 3.3)": (
        lambda world: world.document(issuer=f"{world.issuer}/"),
        "discovery.issuer",
    ),
    "our issuer in upper case (RFC 8414 3.3)": (
        lambda world: world.document(issuer=world.issuer.upper()),
        "discovery.issuer",
    ),
    "our issuer in a list (CVE-2025-30144)": (lambda world: world.document(issuer=[world.issuer]), "discovery.issuer"),
    "no issuer (RFC 8414 2)": (lambda world: world.document(issuer=None), "discovery.issuer"),
    "no place of keys (RFC 8414 2)": (lambda world: world.document(jwks_uri=None), "discovery.jwks_uri"),
    "a list of places (RFC 8414 2)": (lambda world: world.document(jwks_uri=["x"]), "discovery.jwks_uri"),
    "keys on another host": (lambda world: world.document(jwks_uri="https://evil.example/keys"), "fetch.host"),
    "keys on a host below": (lambda world: world.document(jwks_uri=f"https://x.{HOST}/keys"), "fetch.host"),
    "keys at metadata of a cloud": (
        lambda world: world.document(jwks_uri="https://169.254.169.254/latest/meta-data"),
        "fetch.host",
    ),
    "keys by http": (lambda world: world.document(jwks_uri=f"http://{HOST}/keys"), "fetch.scheme"),
    "keys in a file": (lambda world: world.document(jwks_uri="file:///etc/passwd"), "fetch.scheme"),
    "keys in the URL": (lambda world: world.document(jwks_uri="data:application/json,{}"), "fetch.scheme"),
    "keys by ftp": (lambda world: world.document(jwks_uri=f"ftp://{HOST}/keys"), "fetch.scheme"),
    "keys at a place of no name": (lambda world: world.document(jwks_uri=""), "fetch.scheme"),
    "keys at a place of no scheme": (lambda world: world.document(jwks_uri="//evil.example/keys"), "fetch.scheme"),
    "keys at a user's of our host": (lambda world: world.document(jwks_uri=f"https://u@{HOST}/keys"), "fetch.url"),
    "keys at our host for a user": (
        lambda world: world.document(jwks_uri=f"https://{HOST}@evil.example/keys"),
        "fetch.url",
    ),
    "keys behind a backslash": (lambda world: world.document(jwks_uri=f"https://{HOST}\\@evil.example/"), "fetch.url"),
    "keys with a line end": (lambda world: world.document(jwks_uri=f"https://{HOST}/\r\nx: y"), "fetch.url"),
}


@pytest.mark.parametrize(("made", "reason"), DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_a_document_that_is_not_believed_leads_nowhere(made: Callable[[World], bytes], reason: str) -> None:
    async def work(world: World) -> None:
        world.serve(saying(NEXT))
        world.say(made(world))
        asked = len(world.server.asked)
        await world.looks_again()
        assert [each.target for each in world.server.asked[asked:]] == [DISCOVERY_PATH]
        assert (world.status.reason, world.says(world.token(A))) == (reason, "good")
        world.say(world.document())
        await world.looks_again()
        assert (world.status.reason, world.says(world.token(B))) == ("", "good")

    live(work, discovered=True)


REBOUND = {
    "metadata of a cloud": (["169.254.169.254"], "fetch.address"),
    "a private address": (["10.0.0.1"], "fetch.address"),
    "loopback of IPv6": (["::1"], "fetch.address"),
    "an IPv4 address in IPv6": (["::ffff:169.254.169.254"], "fetch.address"),
    "an address of ours and a private one": (["127.0.0.1", "10.0.0.1"], "fetch.address"),
    "metadata of a cloud and an address of ours": (["169.254.169.254", "127.0.0.1"], "fetch.address"),
    "nothing": ([], "fetch.unresolved"),
    "a host that is down": (["127.0.0.2"], "fetch.unreachable"),
}


@pytest.mark.parametrize(("addresses", "reason"), REBOUND.values(), ids=REBOUND.keys())
def test_a_name_that_comes_to_mean_another_place_leaves_the_keys(addresses: list[str], reason: str) -> None:
    async def work(world: World) -> None:
        connections = world.server.connections
        world.addresses[:] = addresses
        await world.looks_again()
        assert world.server.connections == connections
        assert (world.status.reason, world.says(world.token(A))) == (reason, "good")
        world.addresses[:] = ["127.0.0.1"]

    live(work)


FLOODED: dict[str, Answer] = {
    "that answers well": saying(GOOD),
    "that fails (CVE-2026-48524)": saying(b"", 500),
}


@pytest.mark.parametrize("answer", FLOODED.values(), ids=FLOODED.keys())
def test_10_000_unknown_keys_in_a_minute_ask_an_issuer_once_a_cooldown(answer: Answer) -> None:
    """Counted at the issuer, by a clock of which a minute passes; every other token is good all the time."""

    async def work(world: World) -> None:
        world.serve(answer)
        good, rest = world.token(A), world.token(BAD, kid="?").partition(".")[2]
        headers = [b64(header_of(BAD, kid=f"k{number}").encode()) for number in range(10_000)]
        for number, header in enumerate(headers):
            assert world.says(f"{header}.{rest}") == "token.key"
            await world.passes(0.006)
            if number % 100 == 0:
                await world.rests()
                assert world.says(good) == "good"
        await world.rests()
        assert 2 <= len(world.times) <= 1 + 60 / COOLDOWN_S
        assert all(later - earlier >= COOLDOWN_S for earlier, later in pairwise(world.times))
        assert len(world.server.asked) == len(world.times)
        assert world.says(good) == "good"

    live(work)


def test_while_an_issuer_is_down_no_good_token_is_refused_until_the_hard_limit() -> None:
    """CVE-2026-48524: a fetch that fails drops no key. After `max_stale_s` none counts."""

    async def work(world: World) -> None:
        world.serve(saying(b"", 503))
        for minute in range(16):
            await world.passes(60)
            fresh = token_of(A, iss=world.issuer, jti=str(minute))
            assert (world.says(world.token(A)), world.says(fresh)) == ("good", "good")
        await world.passes(MAX_STALE_S - 16 * 60 + 2)
        assert world.says(world.token(A)) == "token.key"
        said = f"no keys of the issuer {world.issuer} count (fetch.status): its tokens are refused; "
        said += "see that it can be reached (docs/codes.md says what the reason is)"
        assert world.trust.misgivings() == [said]
        world.serve(saying(GOOD))
        await world.passes(REFRESH_S)
        assert (world.says(world.token(A)), world.trust.misgivings()) == ("good", [])

    live(work)


def test_a_key_that_is_rotated_out_verifies_nothing_any_more() -> None:
    """Not even a token that it had verified before, and not for want of a fetch."""

    async def work(world: World) -> None:
        seen = world.token(A)
        assert world.says(seen) == "good"
        world.serve(saying(NEXT))
        await world.passes(REFRESH_S)
        assert (world.says(seen), world.says(world.token(A))) == ("token.key", "token.key")
        world.serve(saying(key_set(Signer("b", "ES256", BAD.private).jwk())))
        assert world.says(world.token(B)) == "good"
        await world.passes(REFRESH_S)
        assert world.says(world.token(B)) == "token.signature"

    live(work)
