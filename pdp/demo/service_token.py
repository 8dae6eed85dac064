"""What the services of the demo make of the token that a call brings: as any service would, with PyJWT and a key set.

In: the values of `host` and `authorization`, a way to get the key set that the decision service publishes. Out: lines
that name the claims of a token which is verified, and what it is worth at each service. Never raises.
INVARIANT: a claim is shown only once its token is verified.
Sources: RFC 9068 4 (the checks of a service); RFC 7517.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

import jwt

from pdp.demo.ports import LOOPBACK

SCHEME = "Bearer "
ALGORITHMS = ("ES256",)
REQUIRED = ("iss", "sub", "aud", "client_id", "exp", "iat", "jti")
SHOWN = ("iss", "aud", "scope", "sub")
KEYS_PATH = "/.well-known/jwks.json"
KEYS_WITHIN_S = 2.0
MOST_KEYS_BYTES = 1_000_000

FetchKeys = Callable[[], bytes]
"""The JWK set. Errors: OSError, HTTPException."""


class ServiceSide:
    """The services behind the gateway. `hosts` has the host of each, which is also its audience; `issuer` is whose
    tokens they take, by the set at `keys_url`.
    """

    def __init__(
        self, hosts: Mapping[str, str], issuer: str, keys_url: str, fetch: FetchKeys, now_s: Callable[[], float]
    ) -> None:
        self._hosts = hosts
        self._issuer = issuer
        self._keys_url = keys_url
        self._fetch = fetch
        self._now_s = now_s

    def told(self, host: str, authorization: str) -> tuple[str, ...]:
        """What is to be said of a token that came with a call to `host`."""
        name = host.partition(":")[0].lower()
        called = [service for service, its_host in self._hosts.items() if its_host == name]
        others = sorted(self._hosts.keys() - set(called))
        try:
            keys = _keys(self._fetch())
        except (OSError, http.client.HTTPException, ValueError, jwt.PyJWTError) as error:
            return (f"its token: nobody can verify it without the keys at {self._keys_url}: {_first_line(error)}",)
        return tuple(self._lines(authorization.removeprefix(SCHEME), [*called, *others], keys))

    def _lines(self, token: str, services: list[str], keys: Mapping[str, jwt.PyJWK]) -> Iterator[str]:
        for place, service in enumerate(services):
            claims = self._verified(token, service, keys)
            if isinstance(claims, str):
                yield f"at {service}: refused ({claims})"
                continue
            if place == 0:
                yield f"its token, verified by {self._keys_url}:"
                yield from (f"  {claim:<6}{claims.get(claim, '-')}" for claim in SHOWN)
                yield f"  {'exp':<6}{_instant(int(claims['exp']))}, in {int(claims['exp']) - self._now_s():.0f} s"
            yield f"at {service}: taken"

    def _verified(self, token: str, service: str, keys: Mapping[str, jwt.PyJWK]) -> dict[str, str | int] | str:
        """The claims of a token that `service` takes, or why it does not."""
        try:
            key = keys.get(jwt.get_unverified_header(token).get("kid", ""))
            if key is None:
                return f"it is signed by no key of {self._issuer}"
            found: dict[str, str | int] = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=service,
                issuer=self._issuer,
                options={"require": list(REQUIRED)},
            )
        except jwt.PyJWTError as error:
            return _first_line(error)
        return found


def published_keys(port: int) -> FetchKeys:
    """Gets the set that the decision service on 127.0.0.1:`port` publishes."""

    def fetch() -> bytes:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=KEYS_WITHIN_S)
        try:
            connection.request("GET", KEYS_PATH)
            answer = connection.getresponse()
            if answer.status != 200:
                raise OSError(f"the answer is {answer.status}")
            return answer.read(MOST_KEYS_BYTES)
        finally:
            connection.close()

    return fetch


def _keys(data: bytes) -> dict[str, jwt.PyJWK]:
    match json.loads(data):
        case {"keys": list(found)}:
            keys = jwt.PyJWKSet(found).keys
        case _:
            raise ValueError("what is there is no key set")
    return {key.key_id: key for key in keys if key.key_id is not None}


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].lower()
