"""Public keys that anybody can forge for: what their numbers alone give away.

Pure number theory: numbers come in, a reason or None goes out.
Sources: NIST SP 800-131A (2048 bits), FIPS 186-5 5.1 (exponent); Nemec et al., "The Return of Coppersmith's Attack",
CCS 2017, 2.3 (the fingerprint of CVE-2017-15361, ROCA); RFC 8032 5.1.3 (points), 8.9 (small order).
"""

from __future__ import annotations

from math import isqrt

FEWEST_RSA_BITS = 2048
MOST_RSA_BITS = 8192
"""Beyond this a verification costs whoever asks less than us."""
LOWEST_EXPONENT = 65537
MOST_EXPONENT_BITS = 32

_SMALL_PRIMES = tuple(n for n in range(3, 168) if all(n % d for d in range(2, n)))
_ROCA_RESIDUES = {p: frozenset(pow(65537, k, p) for k in range(p)) for p in _SMALL_PRIMES}

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P


def rsa_weakness(modulus: int, exponent: int) -> str | None:
    """Why the RSA key is not usable: `key.rsa_size`, `key.rsa_exponent`, `key.rsa_modulus`, `key.rsa_roca`; or None."""
    if not FEWEST_RSA_BITS <= modulus.bit_length() <= MOST_RSA_BITS:
        return "key.rsa_size"
    if exponent < LOWEST_EXPONENT or exponent % 2 == 0 or exponent.bit_length() > MOST_EXPONENT_BITS:
        return "key.rsa_exponent"
    if modulus % 2 == 0 or any(modulus % p == 0 for p in _SMALL_PRIMES) or isqrt(modulus) ** 2 == modulus:
        return "key.rsa_modulus"
    if all(modulus % p in residues for p, residues in _ROCA_RESIDUES.items()):
        return "key.rsa_roca"
    return None


def ed25519_weakness(encoded: bytes) -> str | None:
    """Why the 32 bytes are no usable Ed25519 key: `key.point` or `key.small_order`; or None.

    A signature under a point of small order can be made without any private key.
    """
    point = _decoded(encoded)
    if point is None:
        return "key.point"
    for _ in range(3):
        point = _doubled(point)
    return "key.small_order" if point == (0, 1) else None


def _decoded(encoded: bytes) -> tuple[int, int] | None:
    """A point of the curve with this encoding, up to the sign of x, which the order does not depend on."""
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if x * x % _P != square:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if x * x % _P != square:
        return None
    if x == 0 and encoded[31] & 0x80:
        return None
    return x, y


def _doubled(point: tuple[int, int]) -> tuple[int, int]:
    """Twice the point, on -x² + y² = 1 + dx²y²; complete, so that no case stands apart."""
    x, y = point
    xy = _D * x * x * y * y % _P
    return (
        2 * x * y * pow(1 + xy, -1, _P) % _P,
        (y * y + x * x) * pow(1 - xy, -1, _P) % _P,
    )
