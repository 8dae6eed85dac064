"""The keys of a log, each good for a time: who they are, and who says so.

A key known from elsewhere (the anchor) and the manifest beside the log go in, the keys of the log come out. Pure.

Each key is stated by a signed note, which no reader takes for a checkpoint:

    portcullis log key/v1
    log pdp.example.com/prod      the origin
    number 1                      counted from 0
    key pdp.example.com/prod+…    its verifier key
    from 1780272000               Unix seconds
    until open                    or Unix seconds

The first is signed by the anchor. Where the anchor is the first key itself, every later one is signed by the key before
it; where it is a root, which is kept elsewhere, all are signed by the root. Beside each but the first stands the seal:
the last checkpoint of the key before, under which the new key was announced in a record.

INVARIANT: what comes out was stated by the anchor, or by a key that leads to it; a manifest that lacks its last
    statements admits less, never more.
Specification: C2SP signed-note. Design: audit.md 4.4 (6).

Decision: 2026-11-21. Without a root a key is good until the next one begins: a key that can name its heir gains nothing
    by an end stated ahead, and a log that was switched off over that end could not go on. With a root every key has a
    stated end, by which a stolen key runs out.
Decision: 2026-11-21. Without a root, whoever has an old private key that was not destroyed can begin another history
    where that key ended. Only a known head or a witness finds that; with a root, also the age of the newest record.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from pdp.audit.checkpoint import (
    Checkpoint,
    CheckpointError,
    Verifier,
    format_vkey,
    open_checkpoint,
    open_note,
    parse_vkey,
    sign_note,
    split_note,
)
from pdp.errors import PdpError

MANIFEST = "manifest"
"""The file beside the checkpoint that holds the manifest; there is none before the first change of keys."""

MOST_MANIFEST_BYTES = 16 * 1024 * 1024
MOST_KEYS = 10_000

_STATEMENT = re.compile(
    r"portcullis log key/v1\nlog (?P<origin>\S+)\nnumber (?P<number>0|[1-9][0-9]{0,5})\nkey (?P<vkey>\S+)\n"
    r"from (?P<begins>0|[1-9][0-9]{0,11})\nuntil (?P<ends>open|[1-9][0-9]{0,11})\n"
)


class ManifestError(PdpError):
    """No manifest of this log under this anchor. Code: A641."""

    def __init__(self, detail: str) -> None:
        super().__init__("A641", detail)


class Statement(Struct, frozen=True):
    """Key `number` of the log `origin` is `verifier`, good from `from_s` to before `until_s` (Unix seconds)."""

    origin: str
    number: int
    verifier: Verifier
    from_s: int
    until_s: int | None


class Period(Struct, frozen=True):
    """What a key may sign: trees from `begins` (None: from the first record) to `ends` (None: it signs still).

    `from_s` is None where the log has no manifest, and with that its one key no beginning.
    """

    number: int
    verifier: Verifier
    from_s: int | None
    until_s: int | None
    begins: Checkpoint | None
    ends: Checkpoint | None


class Succession(Struct, frozen=True):
    """The keys of a log, oldest first, of which there is at least one; `rooted` where a root signs for each of them."""

    origin: str
    rooted: bool
    periods: tuple[Period, ...]


class _Entry(Struct, frozen=True, forbid_unknown_fields=True):
    statement: str
    seal: str | None


class _Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    format: int
    keys: tuple[_Entry, ...]


def statement_text(statement: Statement) -> str:
    """What is signed about a key."""
    until = "open" if statement.until_s is None else str(statement.until_s)
    vkey = format_vkey(statement.verifier.name, statement.verifier.public)
    return (
        f"portcullis log key/v1\nlog {statement.origin}\nnumber {statement.number}\nkey {vkey}\n"
        f"from {statement.from_s}\nuntil {until}\n"
    )


def sign_statement(statement: Statement, name: str, key: Ed25519PrivateKey) -> bytes:
    """A statement as a note signed by `key` under `name`: the anchor's, which for a log key is the origin."""
    return sign_note(statement_text(statement), name, key)


def open_statement(data: bytes, signer: Verifier) -> Statement:
    """The statement in a note, proved to be signed. Errors: CheckpointError; ManifestError."""
    match = _STATEMENT.fullmatch(open_note(split_note(data), signer))
    if match is None:
        raise ManifestError("the note is signed, and is no statement about a log key")
    until_s = None if match["ends"] == "open" else int(match["ends"])
    key = parse_vkey(match["vkey"])
    return Statement(match["origin"], int(match["number"]), key, int(match["begins"]), until_s)


def first_manifest(statement: bytes) -> bytes:
    """The manifest of a log with one key."""
    return _encode(_Manifest(1, (_Entry(statement.decode(), None),)))


def extended_manifest(data: bytes, statement: bytes, seal: bytes) -> bytes:
    """The manifest with one more key, whose statement and seal only `parse_manifest` checks. Errors: ManifestError."""
    manifest = _decode(data)
    return _encode(_Manifest(1, (*manifest.keys, _Entry(statement.decode(), seal.decode()))))


def seal_notes(data: bytes | None) -> tuple[bytes, ...]:
    """The seals of a manifest as they were signed, oldest first; nothing is proved. Errors: ManifestError."""
    entries = () if data is None else _decode(data).keys
    return tuple(each.seal.encode() for each in entries if each.seal is not None)


def parse_manifest(data: bytes | None, anchor: Verifier) -> Succession:
    """The keys of the log whose anchor is known from elsewhere. Without a manifest the anchor is the one key.

    Errors: ManifestError, naming the key whose statement or seal will not do.
    """
    if data is None:
        return Succession(anchor.name, rooted=False, periods=(Period(0, anchor, None, None, None, None),))
    entries = _decode(data).keys
    if not 0 < len(entries) <= MOST_KEYS:
        raise ManifestError(f"the manifest has {len(entries)} keys, from 1 to {MOST_KEYS} are read")
    statements: list[Statement] = []
    seals: list[Checkpoint] = []
    for number, entry in enumerate(entries):
        try:
            statements.append(_statement(entry, anchor, statements))
            seals += _seal(entry, statements, seals)
        except (CheckpointError, ManifestError) as error:
            raise ManifestError(f"key {number} of the manifest: {error.detail}") from error
    rooted = statements[0].verifier != anchor
    keys = {each.verifier.public for each in statements} | ({anchor.public} if rooted else set())
    if len(keys) != len(statements) + rooted:
        raise ManifestError("a key stands twice in the manifest, or is the root")
    return _succession(statements, seals, rooted=rooted)


def _statement(entry: _Entry, anchor: Verifier, before: Sequence[Statement]) -> Statement:
    """The statement about the next key, signed by whom it must be, and in order behind those before."""
    chained = bool(before) and before[0].verifier == anchor
    found = open_statement(entry.statement.encode(), before[-1].verifier if chained else anchor)
    rooted = not chained and found.verifier != anchor
    if found.number != len(before):
        raise ManifestError(f"its statement is that of key {found.number}")
    if found.verifier.name != found.origin or (before and found.origin != before[0].origin):
        raise ManifestError("it is a key of another log")
    if before and found.from_s <= before[-1].from_s:
        raise ManifestError("it begins no later than the one before it")
    if rooted and (found.until_s is None or found.until_s <= found.from_s):
        raise ManifestError("a root states an end, behind the beginning")
    if not rooted and found.until_s is not None:
        raise ManifestError("it states an end, which only a root does")
    return found


def _seal(entry: _Entry, statements: Sequence[Statement], before: Sequence[Checkpoint]) -> tuple[Checkpoint, ...]:
    """The seal at which the key of the last statement began; none for the first key."""
    if len(statements) == 1 and entry.seal is None:
        return ()
    if len(statements) == 1 or entry.seal is None:
        raise ManifestError("each key but the first has a seal, the last checkpoint of the key before it")
    seal = open_checkpoint(entry.seal.encode(), statements[-2].verifier)
    if seal.size <= (before[-1].size if before else 0):
        raise ManifestError(f"its seal covers {seal.size} records, no more than the one before")
    return (seal,)


def _succession(statements: Sequence[Statement], seals: Sequence[Checkpoint], *, rooted: bool) -> Succession:
    periods = []
    for number, each in enumerate(statements):
        follows = statements[number + 1].from_s if number + 1 < len(statements) else None
        periods.append(
            Period(
                number=number,
                verifier=each.verifier,
                from_s=each.from_s,
                until_s=each.until_s if rooted else follows,
                begins=seals[number - 1] if number else None,
                ends=seals[number] if number < len(seals) else None,
            )
        )
    return Succession(statements[0].origin, rooted, tuple(periods))


def _encode(manifest: _Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def _decode(data: bytes) -> _Manifest:
    if len(data) > MOST_MANIFEST_BYTES:
        raise ManifestError(f"the manifest has {len(data)} bytes, at most {MOST_MANIFEST_BYTES} are read")
    try:
        manifest = msgspec.json.decode(data, type=_Manifest)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ManifestError(f"this is no manifest of log keys: {error}") from error
    if manifest.format != 1 or _encode(manifest) != data:
        raise ManifestError("the manifest has another form: it is of another version, or was changed by hand")
    return manifest
