"""gRPC over HTTP/2 as far as a server needs it: frames, deadlines, and how a status is written.

Bytes come in, messages and headers come out; all is pure. A message that was compressed is none here: we say of no
encoding that we take it.
Sources: the gRPC specification "gRPC over HTTP2" (PROTOCOL-HTTP2), sections Requests and Responses.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

HEAD_BYTES = 5
"""The flag and the length that stand before each message."""

LONGEST_TIMEOUT = 8
"""Digits of a timeout."""

_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}

_PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")

RawHeaders = Iterable[tuple[bytes, bytes]]


class FrameError(Exception):
    """The body is not what a unary call has. `compressed`: its message is, which it may not be."""

    def __init__(self, *, compressed: bool) -> None:
        super().__init__()
        self.compressed = compressed


def framed(message: bytes) -> bytes:
    """`message` as it travels."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def unframed(body: bytes, most: int) -> bytes:
    """The one message of a body, or more than `most` bytes of one that is longer. Errors: FrameError."""
    if body[:1] == b"\0" and len(body) >= HEAD_BYTES:
        length = int.from_bytes(body[1:HEAD_BYTES], "big")
        if length == len(body) - HEAD_BYTES or (length > most and len(body) > HEAD_BYTES + most):
            return body[HEAD_BYTES:]
    raise FrameError(compressed=body[:1] == b"\1")


def first_message(body: bytes, most: int) -> tuple[bytes | None, bytes]:
    """The first message of a stream, None where it is not all there, and what follows. Errors: FrameError."""
    if len(body) < HEAD_BYTES:
        return None, body
    length = int.from_bytes(body[1:HEAD_BYTES], "big")
    if body[0] != 0 or length > most:
        raise FrameError(compressed=body[0] == 1)
    end = HEAD_BYTES + length
    return (None, body) if len(body) < end else (body[HEAD_BYTES:end], body[end:])


def timeout_s(value: bytes) -> float | None:
    """The seconds that a `grpc-timeout` says; None where it says none."""
    digits, unit = value[:-1], _UNITS.get(value[-1:])
    if unit is None or not digits.isdigit() or len(digits) > LONGEST_TIMEOUT:
        return None
    return int(digits) * unit


def status_headers(code: int, detail: str) -> list[tuple[bytes, bytes]]:
    """The headers that end a call with a status."""
    found = [(b"grpc-status", str(code).encode("ascii"))]
    if detail:
        found.append((b"grpc-message", quote(detail, safe=_PLAIN).encode("ascii")))
    return found
