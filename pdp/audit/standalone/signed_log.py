"""The log that a key signed: verifier keys, checkpoints, inclusion proofs and records.

Specification: C2SP signed-note, tlog-checkpoint, tlog-proof; RFC 6962 2.1 (hashes); RFC 9162 2.1.3.2 (inclusion).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from pdp.audit.standalone.reading import Json, ReceiptError, canonical_json, items, read_json, shown, unbase64
from pdp.audit.standalone.signature import is_signed

MOST_LEAF_BYTES, MOST_LEAF_DEPTH = 60_000, 16
SKEW_S = 300
"""So much may clocks differ."""


class KeyTextError(Exception):
    """What was given as the key is none."""


class Key(NamedTuple):
    """A verifier key: the name of the log, four bytes that tell keys apart, and the public key."""

    name: str
    id: bytes
    public: bytes


class Checkpoint(NamedTuple):
    """So many records, whose root is this."""

    origin: str
    size: int
    root: bytes


def read_key(text: str) -> Key:
    """The key that a text such as `log.example+1a2b3c4d+AZ…` states. Errors: KeyTextError."""
    name, _, rest = text.strip().partition("+")
    stated, _, blob = rest.partition("+")
    key = unbase64(blob)
    if not name or key is None or len(key) != 33 or key[0] != 1:
        raise KeyTextError("the key is no verifier key: it should read name+id+key, of Ed25519")
    id_ = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
    if id_.hex() != stated:
        raise KeyTextError("the verifier key states another id than its key has")
    return Key(name, id_, key[1:])


class Period(NamedTuple):
    """A key of the log, the checkpoints with which it began and ended to sign, and until when the root said that it is
    good, in Unix seconds.
    """

    key: Key
    begins: Checkpoint | None = None
    ends: Checkpoint | None = None
    until_s: int | None = None


def is_by(note: bytes, key: Key) -> bool:
    """Whether a note bears a line of this key, which nothing proves yet."""
    return any(name == key.name and signature[:4] == key.id for name, signature in split_note(note)[1])


def split_note(note: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    """The text of a note, and its signatures with their names. Errors: ReceiptError."""
    try:
        text, blank, lines = note.decode().rpartition("\n\n")
    except UnicodeDecodeError as error:
        raise ReceiptError("a signed note is not UTF-8") from error
    if not blank or not lines.endswith("\n") or any(ord(each) < 32 and each != "\n" for each in text + lines):
        raise ReceiptError("what should be a signed note is none")
    signatures = []
    for line in lines[:-1].split("\n"):
        dash, _, rest = line.partition(" ")
        name, _, blob = rest.partition(" ")
        signature = unbase64(blob)
        if dash != "\u2014" or not name or signature is None or len(signature) < 5:
            raise ReceiptError("a signed note has a malformed signature line")
        signatures.append((name, signature))
    return f"{text}\n", signatures


def open_note(note: bytes, key: Key) -> str:
    """The text that a key signed. Errors: ReceiptError."""
    text, signatures = split_note(note)
    own = [signature[4:] for name, signature in signatures if name == key.name and signature[:4] == key.id]
    if len(own) != 1 or not is_signed(key.public, text.encode(), own[0]):
        raise ReceiptError(f"a note is not signed by the key {shown(key.name)}+{key.id.hex()}")
    return text


def open_checkpoint(note: bytes, key: Key) -> Checkpoint:
    """The checkpoint that a key signed. Errors: ReceiptError."""
    stated = re.fullmatch(r"(.+)\n(0|[1-9][0-9]{0,17})\n(.+)\n", open_note(note, key))
    root = unbase64(stated[3]) if stated else None
    if stated is None or root is None or len(root) != 32 or stated[1] != key.name:
        raise ReceiptError("the checkpoint does not state the origin of its key, a size and a root of 32 bytes")
    return Checkpoint(stated[1], int(stated[2]), root)


def periods_of(manifest: bytes | None, anchor: Key) -> list[Period]:
    """The keys of the log, oldest first: each stated by the anchor, or by the key before it. Errors: ReceiptError.

    Without a manifest the anchor is the one key. The form is that of pdp/audit/manifest.py.
    """
    if manifest is None:
        return [Period(anchor)]
    form = r"portcullis log key/v1\nlog (\S+)\nnumber ([0-9]+)\nkey (\S+)\nfrom [0-9]+\nuntil (open|[0-9]{1,12})\n"
    found: list[Period] = []
    for number, entry in enumerate(items(read_json(manifest, "the manifest of keys").get("keys"))):
        one = entry if isinstance(entry, dict) else {}
        signer = found[-1].key if found and found[0].key == anchor else anchor
        stated = re.fullmatch(form, open_note(str(one.get("statement")).encode(), signer))
        if stated is None or int(stated[2]) != number:
            raise ReceiptError("the manifest of keys is not in order")
        try:
            key = read_key(stated[3])
        except KeyTextError as error:
            raise ReceiptError("the manifest states a key that is none") from error
        if key.name != stated[1] or (found and key.name != found[0].key.name):
            raise ReceiptError("the manifest states the key of another log")
        begins = open_checkpoint(str(one.get("seal")).encode(), found[-1].key) if found else None
        found = [*found[:-1], found[-1]._replace(ends=begins)] if found else []
        found.append(Period(key, begins, until_s=None if stated[4] == "open" else int(stated[4])))
    return found


def check_time(leaf: dict[str, Json], index: int, periods: Sequence[Period]) -> None:
    """Check that a record is of no later day than the key of its time was good for. Errors: ReceiptError."""
    period = [each for each in periods if each.begins is None or each.begins.size <= index][-1]
    at_us = leaf.get("t")
    if period.until_s is not None and isinstance(at_us, int) and at_us >= (period.until_s + SKEW_S) * 1_000_000:
        raise ReceiptError("a record is of a later day than the key that signed it was good for")


def signed_by(note: bytes, periods: Sequence[Period]) -> tuple[Checkpoint, Key]:
    """The checkpoint, and the newest key of the log that signed it and may do so. Errors: ReceiptError."""
    signers = [each for each in periods if is_by(note, each.key)]
    if not signers:
        raise ReceiptError("the checkpoint is not signed by a key of the log")
    checkpoints = [open_checkpoint(note, each.key) for each in signers]
    found, period = checkpoints[-1], signers[-1]
    early = period.begins is not None and found.size < period.begins.size
    late = period.ends is not None and found.size > period.ends.size
    other = any(seal and seal.size == found.size and seal.root != found.root for seal in (period.begins, period.ends))
    if early or late or other:
        raise ReceiptError("the checkpoint is signed by a key of the log that signed another part of it")
    return found, period.key


def read_proof(proof: bytes) -> re.Match[bytes]:
    """The record, its index, the hashes and the checkpoint of a .tlog-proof, as they stand. Errors: ReceiptError."""
    form = rb"c2sp\.org/tlog-proof@v1\n(?:extra (\S*)\n)?index (0|[1-9][0-9]{0,17})\n((?:[A-Za-z0-9+/]{43}=\n)*)\n(.*)"
    read = re.fullmatch(form, proof, re.DOTALL)
    if read is None:
        raise ReceiptError("a proof is no C2SP tlog-proof, version 1")
    return read


def proved_under(proof: bytes, periods: Sequence[Period]) -> tuple[Checkpoint, Key]:
    """The checkpoint in a proof, and the key that signed it. Errors: ReceiptError."""
    return signed_by(read_proof(proof)[4], periods)


def index_of(leaf: bytes, proof: bytes, checkpoint: bytes, periods: Sequence[Period]) -> int:
    """The place of a record in the log, as its .tlog-proof proves it: under `checkpoint`, or under a seal.

    A record from before the key that signed `checkpoint` must stand under the seal of its own key: whoever has the
    later one could have written it anew. Errors: ReceiptError.
    """
    read = read_proof(proof)
    signed, key = signed_by(read[4], periods)
    if read[4] != checkpoint and signed not in [each.ends for each in periods]:
        raise ReceiptError("a proof holds another checkpoint than the receipt, and no seal of a key of the log")
    if read[1] is not None and read[1] != base64.b64encode(leaf):
        raise ReceiptError("a proof is about another record")
    index, last = int(read[2]), signed.size - 1
    if index > last:
        raise ReceiptError("a proof names a record beyond the checkpoint")
    if any(each.key == key and each.begins is not None and index < each.begins.size for each in periods):
        raise ReceiptError("a record from before the key that signed is not proved under the seal of its own key")
    place, running = index, hashlib.sha256(b"\x00" + leaf).digest()
    for line in read[3].decode().splitlines():
        part = unbase64(line)
        if part is None or last == 0:
            raise ReceiptError("a proof is too long, or has a hash that is none")
        if place & 1 or place == last:
            running = hashlib.sha256(b"\x01" + part + running).digest()
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            running = hashlib.sha256(b"\x01" + running + part).digest()
        place, last = place >> 1, last >> 1
    if last or running != signed.root:
        raise ReceiptError("the record is not in the log that was signed: its proof leads to another root")
    return index


def read_leaf(data: bytes) -> dict[str, Json]:
    """The fields of a record: of just those bytes that pdp/audit/leaf.py takes for one. Errors: ReceiptError."""
    leaf = read_json(data, "a record")
    plain = len(data) <= MOST_LEAF_BYTES and all(is_plain(each, 1) for each in (*leaf, *leaf.values()))
    if not plain or canonical_json(leaf) != data:
        raise ReceiptError("a record is not in its canonical form")
    if type(leaf.get("v")) is not int or leaf["v"] != 1:
        raise ReceiptError("a record is of another version than this program knows")
    if not is_like(r"[a-z]+(\.[a-z_]+)*", leaf.get("k")) or not is_like(r"[0-9a-f]{32}", leaf.get("id")):
        raise ReceiptError("a record has no kind, or no id")
    committed = isinstance(leaf.get("in"), str) and is_like(r"[0-9a-f]{64}", leaf.get("ic"))
    if leaf.keys() & {"in", "ic"} and not committed:
        raise ReceiptError("a record has a box without a commitment, or a commitment without a box")
    return leaf


def is_plain(value: Json, depth: int) -> bool:
    """Whether a record may hold this so deep in it: integers of 64 bits, no other numbers, no half of a character."""
    match value:
        case None | bool():
            return True
        case str():
            return not re.search("[\ud800-\udfff]", value)
        case int():
            return -(2**63) <= value < 2**64
        case list() | dict():
            inner = value if isinstance(value, list) else (*value, *value.values())
            return depth < MOST_LEAF_DEPTH and all(is_plain(each, depth + 1) for each in inner)
    return False


def is_like(form: str, value: Json) -> bool:
    return isinstance(value, str) and re.fullmatch(form, value) is not None
