"""The list of revocations that an operator drops as a file: JSON lines, taken whole or not at all.

    {"kind": "session", "issuer": "https://id.example.com", "value": "s-81"}

Members: `kind` and `issuer`, `value` but for a whole issuer, and `at` and `until` in Unix seconds where the revocation
is not without an end (`Revocation` says what they mean). Empty lines count for nothing. Bytes come in, revocations or
the problems of every line go out; nothing is opened here.
INVARIANT: a file with any problem changes nothing: what the last good one revoked stays revoked.

Decision: 2026-11-21. A file without a byte is a problem, and so is a last line without its end: that is what a file
    looks like that is being written. A list that revokes nothing is one empty line.
Decision: 2026-11-21. What stands twice counts as the stricter of the two says.
"""

from __future__ import annotations

import json
from collections.abc import Collection

import msgspec
from msgspec import Struct, ValidationError, convert

from pdp.identity.strict import JsonRefusedError, decode_json_object
from pdp.shared_state.model import MOST_REVOCATIONS, Identity, Kind, Revocation, merged
from policy_lang.diagnostics import printable

MOST_BYTES = 16 * 1024 * 1024
MOST_PROBLEMS = 100
BY = "watched file"

_SECOND_US = 1_000_000


_ANY = msgspec.json.Decoder()
_ENCODER = msgspec.json.Encoder()


class Problem(Struct, frozen=True):
    """What is wrong with a line, counted from 1, or with the file as a whole: 0."""

    line: int
    text: str


class FileRefused(Struct, frozen=True):
    """Why a file changes nothing: at least one problem, a hundred at most."""

    problems: tuple[Problem, ...]


class _Line(Struct, frozen=True, forbid_unknown_fields=True):
    kind: Kind
    issuer: str
    value: str = ""
    at: int = 0
    until: int | None = None


def read_watched(data: bytes, issuers: Collection[str] | None = None) -> tuple[Revocation, ...] | FileRefused:
    """The revocations of a file, each thing once, or what is wrong with it; never some of both. `issuers` are those
    that may be named, None for any.
    """
    if len(data) > MOST_BYTES:
        return _refused(0, f"the file has more than {MOST_BYTES} bytes: revoke subjects or keys in place of tokens")
    if not data.endswith(b"\n"):
        return _refused(0, "the file does not end with a line end: write it whole, an empty line where it is empty")
    found: dict[Identity, Revocation] = {}
    problems: list[Problem] = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        read = _read(line)
        if isinstance(read, Revocation) and issuers is not None and read.issuer not in issuers:
            read = printable(f"the issuer {read.issuer} is none of the configuration: write it as `url` there")
        if isinstance(read, str):
            problems.append(Problem(number, read))
        else:
            found[read.identity] = merged(found.get(read.identity), read)
        if len(problems) == MOST_PROBLEMS:
            break
        if len(found) > MOST_REVOCATIONS:
            return _refused(number, f"the file holds more than {MOST_REVOCATIONS} revocations: take some out")
    return FileRefused(tuple(problems)) if problems else tuple(found.values())


def _refused(line: int, text: str) -> FileRefused:
    return FileRefused((Problem(line, text),))


def _plainly(line: bytes) -> _Line | None:
    """The members of a line that is spelt as most programs spell it, so that no member can stand in it twice; None for
    any other spelling. A long list is read by this in a tenth of the time.
    """
    try:
        members = _ANY.decode(line)
        if json.dumps(members, ensure_ascii=False).encode() != line and _ENCODER.encode(members) != line:
            return None
        return convert(members, _Line)
    except (ValueError, RecursionError):
        return None


def _read(line: bytes) -> Revocation | str:
    """The revocation, or what is wrong."""
    try:
        read = _plainly(line) or convert(decode_json_object(line, 1), _Line)
        until = None if read.until is None else read.until * _SECOND_US
        if until == 0:
            return "`until` is an instant after `at`, or absent"
        if until is not None and read.at == 0:
            return "`until` goes with `at`: tokens issued after that are not meant"
        return Revocation(read.kind, read.issuer, read.value, read.at * _SECOND_US, until, BY)
    except (JsonRefusedError, ValidationError, ValueError) as error:
        return printable(str(error))
