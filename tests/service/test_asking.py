"""Who asks over HTTP: by the connection, or by a key that nobody else can have read; everything else is refused."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from pdp.gateways import UNKNOWN, Connection, Gateway
from pdp.transports.asking import CONNECTION, Refused, asked_by, passed_on_by
from tests.support.http_parts import APP, EDGE, KEY, KNOWN

PRIVATE, OPEN = Connection(None, private=True), Connection(None, private=False)
SAID = f"Bearer {KEY}".encode()


def request(connection: object, *authorizations: bytes, query: bytes = b"") -> Request:
    headers = [(b"authorization", value) for value in authorizations]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": query, "headers": headers}
    return Request(scope | ({} if connection is None else {CONNECTION: connection}))


def asks(connection: object, *authorizations: bytes, query: bytes = b"") -> Gateway | Refused:
    return asyncio.run(asked_by(request(connection, *authorizations, query=query), KNOWN))


KNOWN_ONES: dict[str, tuple[object, tuple[bytes, ...], Gateway]] = {
    "a listener's gateway": (Connection(EDGE, private=True), (), EDGE),
    "a gateway by its certificate, whatever key is said": (Connection(EDGE, private=True), (SAID,), EDGE),
    "a key": (PRIVATE, (SAID,), APP),
    "the scheme in another case": (PRIVATE, (b"bEARER " + KEY.encode(),), APP),
    "two spaces": (PRIVATE, (b"Bearer  " + KEY.encode(),), APP),
}


@pytest.mark.parametrize("sentence", KNOWN_ONES)
def test_who_asks(sentence: str) -> None:
    connection, said, gateway = KNOWN_ONES[sentence]
    assert asks(connection, *said) is gateway


REFUSED: dict[str, tuple[object, tuple[bytes, ...], int, str]] = {
    "nothing is said": (PRIVATE, (), 401, "Bearer"),
    "a certificate of nobody": (Connection(UNKNOWN, private=True), (), 401, "Bearer"),
    "a certificate of nobody, with a key": (Connection(UNKNOWN, private=True), (SAID,), 401, "Bearer"),
    "a connection that is not known": (None, (), 401, "Bearer"),
    "something else in the place of the connection": ({"gateway": "edge"}, (), 401, "Bearer"),
    "nothing is said where others can read it": (OPEN, (), 401, "Bearer"),
    "a key where others can read it": (OPEN, (SAID,), 403, ""),
    "a wrong key where others can read it": (OPEN, (b"Bearer wrong",), 403, ""),
    "a key on a connection that is not known": (None, (SAID,), 403, ""),
    "a key of nobody": (PRIVATE, (b"Bearer " + b"x" * 43,), 401, 'Bearer error="invalid_token"'),
    "an empty key": (PRIVATE, (b"Bearer ",), 401, 'Bearer error="invalid_token"'),
    "no key": (PRIVATE, (b"Bearer",), 401, 'Bearer error="invalid_token"'),
    "nothing in the header": (PRIVATE, (b"",), 401, 'Bearer error="invalid_token"'),
    "a short key": (PRIVATE, (b"Bearer " + KEY[:-1].encode(),), 401, 'Bearer error="invalid_token"'),
    "another scheme": (PRIVATE, (b"Basic " + KEY.encode(),), 401, 'Bearer error="invalid_token"'),
    "a scheme that begins so": (PRIVATE, (b"Bearers " + KEY.encode(),), 401, 'Bearer error="invalid_token"'),
    "no scheme": (PRIVATE, (KEY.encode(),), 401, 'Bearer error="invalid_token"'),
    "a tab": (PRIVATE, (b"Bearer\t" + KEY.encode(),), 401, 'Bearer error="invalid_token"'),
    "a key and more": (PRIVATE, (SAID + b" x",), 401, 'Bearer error="invalid_token"'),
    "a key and a comma": (PRIVATE, (SAID + b", " + SAID,), 401, 'Bearer error="invalid_token"'),
    "a key and a line end": (PRIVATE, (SAID + b"\n",), 401, 'Bearer error="invalid_token"'),
    "a key twice": (PRIVATE, (SAID, SAID), 401, 'Bearer error="invalid_token"'),
    "a key and another": (PRIVATE, (SAID, b"Bearer " + b"x" * 43), 401, 'Bearer error="invalid_token"'),
    "a key that is not ASCII": (PRIVATE, (SAID[:-1] + b"\xe9",), 401, 'Bearer error="invalid_token"'),
    "a long key": (PRIVATE, (b"Bearer " + b"x" * 100_000,), 401, 'Bearer error="invalid_token"'),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_who_is_nobody(sentence: str) -> None:
    connection, said, status, challenge = REFUSED[sentence]
    found = asks(connection, *said)
    assert isinstance(found, Refused)
    assert (found.status, found.headers.get("www-authenticate", "")) == (status, challenge)
    assert KEY not in found.message


@pytest.mark.parametrize("name", [b"access_token", b"key", b"authorization", b"api_key"])
def test_a_key_in_the_query_is_not_looked_at(name: bytes) -> None:
    found = asks(PRIVATE, query=name + b"=" + KEY.encode())
    assert isinstance(found, Refused)
    assert found.status == 401


def test_a_key_that_others_could_read_is_told_what_to_do() -> None:
    found = asks(OPEN, SAID)
    assert isinstance(found, Refused)
    assert "draw another" in found.message
    assert "https" in found.message
    assert found == asks(OPEN, b"Bearer " + b"x" * 43)  # whether it was one is not told


@given(st.binary(max_size=60))
def test_no_other_bytes_are_anybody(said: bytes) -> None:
    """asked_by(anybody, said) is a gateway  =>  said is its key."""
    assert isinstance(asks(PRIVATE, said), Refused)


def test_nothing_of_a_key_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        asks(PRIVATE, b"Bearer " + b"x" * 43)
        asks(OPEN, SAID)
    assert [record for record in caplog.records if KEY in record.getMessage() or "xxx" in record.getMessage()] == []


PASSING: dict[str, tuple[object, tuple[bytes, ...], bool]] = {
    "a listener's gateway": (Connection(EDGE, private=True), (), True),
    "a listener's gateway, with the client's token": (Connection(EDGE, private=True), (b"Bearer x.y.z",), True),
    "a key, which is the client's to say": (PRIVATE, (SAID,), False),
    "nobody": (PRIVATE, (), False),
    "a certificate of nobody": (Connection(UNKNOWN, private=True), (), False),
    "a connection that is not known": (None, (), False),
}


@pytest.mark.parametrize("sentence", PASSING)
def test_who_passes_calls_on_is_known_by_the_connection_alone(sentence: str) -> None:
    connection, said, known = PASSING[sentence]
    found = passed_on_by(request(connection, *said))
    assert found is EDGE if known else isinstance(found, Refused) and found.status == 403
