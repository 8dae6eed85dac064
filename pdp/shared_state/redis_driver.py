"""The few calls of the Redis driver that the store makes, with their types, and the connection that takes them.

In goes an address, out comes a client that answers bytes, waits `ANSWER_S` at most and never tries again by itself.
The driver's own types differ from version to version and admit texts in place of bytes, which this client never gives.
What it is answered it hands on of whatever type that is: `texts_of` and `names_of` hold an answer to what was asked.
SECURITY: over TLS the server's certificate has to be for the name of the address. Older drivers do not ask that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, cast

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, WatchError
from redis.retry import Retry

__all__ = ["Asked", "Change", "Client", "Listening", "RedisError", "WatchError", "connected", "names_of", "texts_of"]

ANSWER_S = 1.0


class Asked(Protocol):
    """Commands that are answered at once."""

    def hget(self, name: str, key: str | bytes) -> bytes | None:
        """A field of a hash."""
        ...

    def hmget(self, name: str, keys: Sequence[str | bytes]) -> Sequence[bytes | None]:
        """Fields of a hash, in their order."""
        ...

    def hlen(self, name: str) -> int:
        """How many fields a hash has."""
        ...


class Change(Asked, AbstractContextManager["Change"], Protocol):
    """A transaction: answered at once between `watch` and `multi`, kept until `execute` elsewhere."""

    def watch(self, *names: str) -> object:
        """Let `execute` raise WatchError where one of them changes from now on."""
        ...

    def multi(self) -> None:
        """What follows is the transaction."""
        ...

    def hset(self, name: str, key: str | bytes, value: str | bytes | int) -> object:
        """Set a field of a hash."""
        ...

    def hsetnx(self, name: str, key: str, value: str | int) -> object:
        """Set a field that is not there."""
        ...

    def hdel(self, name: str, *keys: bytes) -> object:
        """Delete fields of a hash."""
        ...

    def zadd(self, name: str, mapping: Mapping[bytes, int]) -> object:
        """Set the scores of members."""
        ...

    def zrem(self, name: str, *values: bytes) -> object:
        """Delete members of a sorted set."""
        ...

    def publish(self, channel: str, message: int) -> object:
        """Tell whoever listens."""
        ...

    def execute(self) -> object:
        """Do all of it, or raise."""
        ...


class Listening(AbstractContextManager["Listening"], Protocol):
    """What is published, as it comes."""

    def subscribe(self, *channels: str) -> object:
        """Listen from now on."""
        ...

    def get_message(self, *, timeout: float) -> object:
        """The next message, None where none comes in time."""
        ...


class Client(Asked, Protocol):
    """A client; several threads may use it."""

    def mget(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """Values, in their order."""
        ...

    def set(self, name: str, value: int, *, ex: int) -> object:
        """Set a value for some seconds."""
        ...

    def zrangebyscore(self, name: str, min: str, max: str) -> Sequence[bytes]:  # noqa: A002 - the driver's names
        """Members of a sorted set, by score."""
        ...

    def pipeline(self, *, transaction: bool) -> Change:
        """A new transaction."""
        ...

    def pubsub(self, *, ignore_subscribe_messages: bool) -> Listening:
        """A new subscription."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


def connected(address: str) -> Client:
    """The client of an address; it connects when it is first asked. Errors: ValueError for what is no address."""
    over_tls = {"ssl_check_hostname": True} if address.startswith("rediss:") else {}
    made = Redis.from_url(
        address,
        socket_timeout=ANSWER_S,
        socket_connect_timeout=ANSWER_S,
        retry=Retry(NoBackoff(), 0),
        decode_responses=False,
        **over_tls,
    )
    return cast("Client", made)


def texts_of(answer: object, count: int) -> list[bytes | None]:
    """So many texts, as Redis answered. ValueError for anything else."""
    if not isinstance(answer, list) or len(answer) != count:
        raise ValueError(f"it did not answer with {count} texts")
    return [text if text is None else _text(text) for text in answer]


def names_of(answer: object) -> list[bytes]:
    """Names, as Redis answered. ValueError for anything else."""
    if not isinstance(answer, list):
        raise ValueError("it did not answer with names")  # noqa: TRY004 - of what was answered, not of an argument
    return [_text(name) for name in answer]


def _text(answer: object) -> bytes:
    if not isinstance(answer, bytes):
        raise ValueError("it did not answer with a text")  # noqa: TRY004 - as above
    return answer
