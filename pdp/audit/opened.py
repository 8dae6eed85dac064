"""A record found by its id, and its box opened: for whoever is asked about one record.

The places of a log and an id come in; out come the record with its place, and the inputs with the bytes that hide them.
What was opened is bound to its record: its seal, its place and the commitment in the leaf were checked.
Design: contracts.md "The log, from the first commit".
"""

from __future__ import annotations

import base64
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

from pdp.audit import ids
from pdp.audit.box import BoxError, open_box, salt_of
from pdp.audit.keys import RecordKeys
from pdp.audit.leaf import Leaf, parse
from pdp.audit.reader import Found, find, start_leaf
from pdp.errors import StateError

_HEAD_BYTES = 20
_NONCE = slice(8, 20)


class Opened(Struct, frozen=True):
    """The inputs of a record, and the 32 random bytes before them: SHA-256 of both together is the leaf's `ic`."""

    inputs: bytes
    random: bytes


def found_record(log: Path, wal: Path, record_id: str) -> Found | None:
    """The record of that id, from the tree or a write-ahead log. Errors: StateError S120 for no id or no log there; as
    `pdp.audit.reader.find` besides.
    """
    if not ids.is_shaped(record_id):
        raise StateError("S120", f"`{record_id}` is no decision id: it has 32 hex digits")
    if not log.is_dir():
        raise StateError("S120", f"there is no log in {log.parent}: name the state folder with --state")
    return find(log, wal, record_id)


def opened_record(log: Path, wal: Path, keys: RecordKeys, leaf: Leaf) -> Opened:
    """What is in the box of a record. Errors: BoxError, also where the `log.start` of its writer is not there."""
    identifier = ids.parse(leaf.id)
    start = start_leaf(log, wal, identifier.boot, identifier.writer)
    if start is None:
        raise BoxError("the log.start record of its writer is not in the log")
    salt = salt_of(parse(start.leaf))
    inputs = open_box(keys.box_key, salt, keys.origin, leaf)
    return Opened(inputs, _random(keys, salt, leaf))


def _random(keys: RecordKeys, salt: bytes, leaf: Leaf) -> bytes:
    """The random bytes of a box that `open_box` has opened: it gives what stands behind them."""
    box = b"" if leaf.sealed is None else base64.b64decode(leaf.sealed.box, validate=True)
    key = HKDF(algorithm=SHA256(), length=32, salt=salt, info=b"portcullis box 1").derive(keys.box_key)
    plaintext = AESGCM(key).decrypt(box[_NONCE], box[_HEAD_BYTES:], f"{keys.origin}\n{leaf.id}".encode())
    return plaintext[:32]
