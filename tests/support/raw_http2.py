"""HTTP/2 byte by byte, as far as a test needs it that says what no client would."""

from __future__ import annotations

import socket
from typing import BinaryIO

from msgspec import Struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
DATA, HEADERS, SETTINGS = 0, 1, 4
END_STREAM, END_HEADERS = 1, 4


class Frame(Struct, frozen=True):
    """A frame of HTTP/2."""

    kind: int
    flags: int
    body: bytes

    @property
    def ends(self) -> bool:
        return bool(self.flags & END_STREAM)


def next_frame(file: BinaryIO) -> Frame:
    head = file.read(9)
    return Frame(head[3], head[4], file.read(int.from_bytes(head[:3], "big")))


def written_frame(kind: int, flags: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags, 0, 0, 0, 1]) + body


def frames_of_a_call(port: int, path: str, body: bytes | None, *headers: tuple[str, str]) -> list[Frame]:
    """What answers a gRPC call whose client sends no `te`; `body` None: it sends none, and does not end."""
    said = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "pdp")]
    said += [("content-type", "application/grpc"), *headers]
    block = b"".join(bytes([0, len(name), *name.encode(), len(value), *value.encode()]) for name, value in said)
    sent = written_frame(HEADERS, END_HEADERS, block)
    found: list[Frame] = []
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(PREFACE + sent + (b"" if body is None else written_frame(DATA, END_STREAM, body)))
        file = connection.makefile("rb")
        while not found or not found[-1].ends:
            frame = next_frame(file)
            if frame.kind in {DATA, HEADERS}:
                found.append(frame)
    return found


def settings_of(port: int) -> dict[int, int]:
    """The first SETTINGS frame of a server of HTTP/2."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(PREFACE)
        frame = next_frame(connection.makefile("rb"))
    assert frame.kind == SETTINGS
    body = frame.body
    pairs = [body[at : at + 6] for at in range(0, len(body), 6)]
    return {int.from_bytes(pair[:2], "big"): int.from_bytes(pair[2:], "big") for pair in pairs}
