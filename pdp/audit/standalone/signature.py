"""Ed25519, verification only, in integers of Python: a key, a message and a signature in, a truth out. RFC 8032 5.1.

Slow (some milliseconds) and not constant in time: it handles nothing secret. The equation is checked without its
cofactor, as OpenSSL does.
"""

from __future__ import annotations

import hashlib

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_MINUS_1 = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]
"""x, y, z and t, where a point of the curve is (x / z, y / z) and t = x * y / z."""
NEUTRAL: Point = (0, 1, 1, 0)


def unpacked(data: bytes) -> Point | None:
    """A point from its 32 bytes; None where they are none."""
    sign, y = data[31] >> 7, int.from_bytes(data, "little") & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * SQRT_MINUS_1 % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def packed(point: Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, -1, P)
    return (y * inverse % P | (x * inverse % P & 1) << 255).to_bytes(32, "little")


def added(one: Point, other: Point) -> Point:
    a, b = (one[1] - one[0]) * (other[1] - other[0]), (one[1] + one[0]) * (other[1] + other[0])
    c, d = 2 * D * one[3] * other[3], 2 * one[2] * other[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number: int, point: Point) -> Point:
    total = NEUTRAL
    while number:
        total = added(total, point) if number & 1 else total
        point, number = added(point, point), number >> 1
    return total


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the key with these 32 bytes made this signature of the message."""
    base = unpacked((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    key, scalar = unpacked(public), int.from_bytes(signature[32:], "little")
    if base is None or key is None or len(signature) != 64 or scalar >= ORDER:
        return False
    challenge = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    minus_key = (P - key[0], key[1], 1, P - key[3])
    return packed(added(times(scalar, base), times(challenge, minus_key))) == signature[:32]
