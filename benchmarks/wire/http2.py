"""A client of HTTP/2 that costs little and looks at every reply: calls made beforehand, as frames.

RFC 9113 without TLS, one connection. Headers go out as literals (RFC 7541 6.2.2), which need no table; those of a reply
are not read. What a reply says stands in its body: a gRPC error has none, and is never taken for an answer.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Self

from msgspec import Struct

LARGEST_WINDOW = 2**31 - 1
FIRST_WINDOW = 65_535
FIRST_STREAMS = 100
MOST_STREAMS = b"\0\x03"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
MOST_BEHIND_S = 0.5
"""Where the calls of so long a time wait for an answer, a rate is not kept any more."""

GRPC = (("content-type", "application/grpc"), ("te", "trailers"))
JSON = (("content-type", "application/json"),)


class Call(Struct, frozen=True):
    """One call as it goes over the wire, and what its reply must say: True for an allow."""

    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    allowed: bool
    read: Callable[[bytes], bool | None]
    """What a reply's body says; None for what is no answer."""

    def is_right(self, reply: bytes) -> bool:
        """Whether a reply says what it must."""
        return self.read(reply) is self.allowed

    def frames(self) -> tuple[bytes, bytes, bytes, bytes]:
        """Two frames, each as what stands before the number of its stream and after."""
        pseudo = ((":method", "POST"), (":scheme", "http"), (":path", self.path), (":authority", "127.0.0.1"))
        block = b"".join(b"\0" + _literal(name) + _literal(value) for name, value in (*pseudo, *self.headers))
        return (_before(HEADERS, END_HEADERS, block), block, _before(DATA, END_STREAM, self.body), self.body)


def grpc_body(message: bytes) -> bytes:
    """A message as gRPC frames it."""
    return b"\0" + len(message).to_bytes(4, "big") + message


class Connection:
    """One connection; calls are sent as soon as the server's window and its bound on streams let them."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        settings = b"\0\x04" + LARGEST_WINDOW.to_bytes(4, "big")
        more = (LARGEST_WINDOW - FIRST_WINDOW).to_bytes(4, "big")
        self._socket.sendall(PREFACE + _frame(SETTINGS, 0, 0, settings) + _frame(WINDOW_UPDATE, 0, 0, more))
        self._next_stream = 1
        self._window = FIRST_WINDOW
        self._open, self._most_open = 0, FIRST_STREAMS
        self._waiting: list[tuple[int, tuple[bytes, bytes, bytes, bytes]]] = []
        self._bodies: dict[int, bytes] = {}
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, frames: tuple[bytes, bytes, bytes, bytes]) -> int:
        """Send one call, or keep it for later; the number of its stream."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        self._bodies[stream] = b""
        self._waiting.append((stream, frames))
        self._flush()
        return stream

    def replies(self, timeout_s: float) -> list[tuple[int, bytes]]:
        """The replies that are there within the time, each with its stream; ConnectionError where the server left."""
        readable, _, _ = select.select([self._socket], [], [], max(0.0, timeout_s))
        if not readable:
            return []
        some = self._socket.recv(1 << 18)
        if not some:
            raise ConnectionError("the server closed the connection")
        self._read += some
        return self._frames()

    def ask(self, call: Call, timeout_s: float = 5.0) -> bytes:
        """The body of the reply to one call. TimeoutError where there is none."""
        stream = self.send(call.frames())
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            for answered, reply in self.replies(until - time.monotonic()):
                if answered == stream:
                    return reply
        raise TimeoutError("no reply")

    def _flush(self) -> None:
        ready = []
        while self._waiting and len(self._waiting[0][1][3]) <= self._window and self._open < self._most_open:
            self._open += 1
            stream, (before, block, data, body) = self._waiting.pop(0)
            number = stream.to_bytes(4, "big")
            ready += [before, number, block, data, number, body]
            self._window -= len(body)
        if ready:
            self._socket.sendall(b"".join(ready))

    def _frames(self) -> list[tuple[int, bytes]]:
        read, position, done = self._read, 0, []
        while len(read) - position >= 9:
            end = position + 9 + int.from_bytes(read[position : position + 3], "big")
            if end > len(read):
                break
            kind, flags = read[position + 3], read[position + 4]
            stream = int.from_bytes(read[position + 5 : position + 9], "big")
            payload = read[position + 9 : end]
            position = end
            if kind in {DATA, HEADERS}:
                if kind == DATA:
                    self._bodies[stream] += payload
                if flags & END_STREAM:
                    done.append((stream, self._bodies.pop(stream)))
            else:
                self._control(kind, flags, stream, payload)
                if kind == RESET:
                    self._bodies.pop(stream, None)
                    done.append((stream, b""))
        self._read = read[position:]
        self._open -= len(done)
        self._flush()
        return done

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == GOAWAY:
            raise ConnectionError(f"the server ends the connection: {payload[8:]!r}")
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                if payload[at : at + 2] == MOST_STREAMS:
                    self._most_open = int.from_bytes(payload[at + 2 : at + 6], "big")
            self._socket.sendall(_frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self._socket.sendall(_frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload, "big")
            self._flush()


class Paced(Struct, frozen=True):
    """What came of calls at fixed instants: seconds from when each was due to its whole reply, in order of size."""

    latencies: tuple[float, ...]
    wrong: int
    """Answers that were the other one."""
    refused: int
    """Replies that were no answer: an error, or that the server has too much to do."""
    is_kept: bool
    """Whether the server came along: it answered everything, and was never too far behind."""


def at_rate(port: int, calls: Sequence[Call], rate: int, seconds: float, *, behind_s: float = MOST_BEHIND_S) -> Paced:
    """Ask the calls in turn, at instants that are fixed beforehand, so that a slow reply delays no later call.

    It ends early where the calls of `behind_s` wait for an answer: the rate is not kept.
    """
    made = [(call, call.frames()) for call in calls]
    due: dict[int, tuple[float, Call]] = {}
    latencies: list[float] = []
    wrong, refused, number, count = 0, 0, 0, int(rate * seconds)
    most = rate * behind_s
    with Connection(port) as connection:
        connection.ask(calls[0])
        start = time.perf_counter() + 0.01
        while (number < count or due) and len(due) <= most:
            now = time.perf_counter()
            while number < count and start + number / rate <= now:
                call, frames = made[number % len(made)]
                due[connection.send(frames)] = (start + number / rate, call)
                number += 1
            wait = start + number / rate - time.perf_counter() if number < count else 1.0
            for stream, reply in connection.replies(wait):
                instant, call = due.pop(stream)
                said = call.read(reply)
                if said is None:
                    refused += 1
                else:
                    latencies.append(time.perf_counter() - instant)
                    wrong += said is not call.allowed
    return Paced(tuple(sorted(latencies)), wrong, refused, not due and not refused)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return _before(kind, flags, payload) + stream.to_bytes(4, "big") + payload


def _before(kind: int, flags: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags))


def _literal(word: str) -> bytes:
    """A string without Huffman coding (RFC 7541 5.2), its length as a prefixed integer of seven bits (5.1)."""
    data = word.encode()
    if len(data) < 127:
        return bytes((len(data),)) + data
    rest, coded = len(data) - 127, [127]
    while rest >= 128:
        coded.append(rest % 128 + 128)
        rest //= 128
    return bytes((*coded, rest)) + data
