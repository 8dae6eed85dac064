"""Signed notes, cosignatures, proofs and Merkle trees a second time, from the C2SP texts and RFC 6962 alone.

Nothing of ours is imported: where both agree, neither has the mistake of the other. Trees are built as RFC 6962 defines
them, by recursion. Sources: C2SP signed-note, tlog-cosignature, tlog-checkpoint, tlog-proof; RFC 6962 2.1.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

DASH = "\u2014".encode()


class Line(NamedTuple):
    """One signature line."""

    name: bytes
    key_hash: bytes
    signature: bytes


class Tree(NamedTuple):
    """What a checkpoint says."""

    origin: bytes
    size: int
    root: bytes


def key_hash(name: bytes, kind: int, public: bytes) -> bytes:
    return sha256(b"%s\n%c%s" % (name, kind, public)).digest()[:4]


def vkey(name: str, kind: int, public: bytes) -> str:
    """A verifier key as text."""
    return f"{name}+{key_hash(name.encode(), kind, public).hex()}+{b64encode(bytes([kind]) + public).decode()}"


def split(note: bytes) -> tuple[bytes, list[Line]]:
    """Text and signature lines."""
    at = note.rindex(b"\n\n")
    lines = []
    for raw in note[at + 2 :].splitlines():
        dash, name, encoded = raw.split(b" ")
        assert dash == DASH
        blob = b64decode(encoded, validate=True)
        lines.append(Line(name, blob[:4], blob[4:]))
    return note[: at + 1], lines


def read_checkpoint(text: bytes) -> Tree:
    origin, size, root, rest = text.split(b"\n", 3)
    assert rest == b""
    return Tree(origin, int(size), b64decode(root, validate=True))


def is_signed(note: bytes, key: str) -> bool:
    """Whether a log key, given as text, signed the note."""
    name, stated, encoded = key.encode().split(b"+", 2)
    public = b64decode(encoded)
    assert public[0] == 1
    assert key_hash(name, 1, public[1:]).hex().encode() == stated
    text, lines = split(note)
    return any(
        (line.name, line.key_hash.hex().encode()) == (name, stated) and fits(public[1:], line.signature, text)
        for line in lines
    )


def cosigned_at(note: bytes, key: str) -> int | None:
    """When a witness, given by its key as text, cosigned the note."""
    name, _, encoded = key.encode().split(b"+", 2)
    public = b64decode(encoded)
    assert public[0] == 4
    text, lines = split(note)
    for line in lines:
        if (line.name, line.key_hash) == (name, key_hash(name, 4, public[1:])):
            seconds = int.from_bytes(line.signature[:8], "big")
            if fits(public[1:], line.signature[8:], b"cosignature/v1\ntime %d\n%s" % (seconds, text)):
                return seconds
    return None


def cosignature(text: bytes, name: str, key: Ed25519PrivateKey, seconds: int) -> bytes:
    """The line by which a witness cosigns, with its newline."""
    signature = key.sign(b"cosignature/v1\ntime %d\n%s" % (seconds, text))
    hashed = key_hash(name.encode(), 4, key.public_key().public_bytes_raw())
    blob = b64encode(hashed + seconds.to_bytes(8, "big") + signature)
    return b" ".join([DASH, name.encode(), blob]) + b"\n"


def fits(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962 2.1."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    k = half(len(leaves))
    return join(root(leaves[:k]), root(leaves[k:]))


def inclusion(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH of RFC 6962 2.1.1."""
    if len(leaves) == 1:
        return []
    k = half(len(leaves))
    if m < k:
        return [*inclusion(m, leaves[:k]), root(leaves[k:])]
    return [*inclusion(m - k, leaves[k:]), root(leaves[:k])]


def consistency(m: int, leaves: Sequence[bytes], whole: bool = True) -> list[bytes]:
    """PROOF and SUBPROOF of RFC 6962 2.1.2, for 0 < m."""
    if m == len(leaves):
        return [] if whole else [root(leaves)]
    k = half(len(leaves))
    if m <= k:
        return [*consistency(m, leaves[:k], whole), root(leaves[k:])]
    return [*consistency(m - k, leaves[k:], False), root(leaves[:k])]


def roots_of_proof(m: int, n: int, old_root: bytes, proof: list[bytes], whole: bool = True) -> tuple[bytes, bytes]:
    """The roots of both trees that a consistency proof leads to; it is used up, IndexError where too short."""
    if m == n:
        known = old_root if whole else proof.pop()
        return known, known
    k = half(n)
    side = proof.pop()
    if m <= k:
        old, new = roots_of_proof(m, k, old_root, proof, whole)
        return old, join(new, side)
    old, new = roots_of_proof(m - k, n - k, old_root, proof, False)
    return join(side, old), join(side, new)


def is_consistent(m: int, old_root: bytes, n: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a consistency proof from `m` to `n` records holds; 0 < m <= n."""
    left = list(proof)
    try:
        roots = roots_of_proof(m, n, old_root, left)
    except IndexError:
        return False
    return roots == (old_root, new_root) and not left


def is_included(m: int, n: int, leaf: bytes, proof: Sequence[bytes], wanted: bytes) -> bool:
    """Whether an inclusion proof holds, from the root down."""
    left = list(proof)

    def climb(index: int, size: int) -> bytes:
        if size == 1:
            return sha256(b"\0" + leaf).digest()
        side, k = left.pop(), half(size)
        return join(climb(index, k), side) if index < k else join(side, climb(index - k, size - k))

    try:
        return climb(m, n) == wanted and not left
    except IndexError:
        return False


def proved_record(file: bytes, log_key: str) -> tuple[int, bytes]:
    """Index and record of a `.tlog-proof` file that holds."""
    head, _, checkpoint = file.partition(b"\n\n")
    lines = head.split(b"\n")
    assert lines.pop(0) == b"c2sp.org/tlog-proof@v1"
    record = b64decode(lines.pop(0).removeprefix(b"extra "), validate=True)
    index = int(lines.pop(0).removeprefix(b"index "))
    assert is_signed(checkpoint, log_key)
    tree = read_checkpoint(split(checkpoint)[0])
    assert is_included(index, tree.size, record, [b64decode(line, validate=True) for line in lines], tree.root)
    return index, record


def half(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def join(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()
