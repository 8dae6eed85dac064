"""One record as bytes: what the tree hashes, and nothing a reader could take for something else.

A leaf is one JSON object in its canonical form: keys sorted by code point, no spaces, 64-bit integers and no other
numbers, strings escaped down to printable ASCII, at most 60,000 bytes. That is `json.dumps` of Python with sorted keys,
the narrow separators and `ensure_ascii`, with DEL (U+007F) escaped besides. No control, no terminal escape, no
bidirectional mark can stand in it raw.

    v   schema version, 1        k  kind, such as `decision`       id  decision id (pdp.audit.ids)
    in  the sealed box, base64   ic its commitment, 64 hex digits  (both or neither: pdp.audit.box)

and the clear fields of its kind beside them; `of` in them names the record that this one corrects.

INVARIANT: `parse` accepts exactly what `encode` can write, so that one record has one hash.
Design: audit.md 4.2; contracts.md "The log, from the first commit".

Decision: everything from U+007F up is escaped, letters included. A leaf is read by people in terminals and mail, and a
list of dangerous characters would be out of date with every Unicode. A lone surrogate is refused: no UTF-8 JSON can
say it. (2026-11-21)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import orjson
from msgspec import Struct

from pdp.audit import ids
from pdp.model import Json

SCHEMA_VERSION = 1
MAX_LEAF_BYTES = 60_000
"""Under the 65,535 of C2SP tlog-tiles, with room for what a later format adds."""

MAX_DEPTH = 16

_RESERVED = frozenset({"k", "id", "in", "ic"})
_KIND = re.compile(r"[a-z]+(\.[a-z_]+)*\Z")
_COMMITMENT = re.compile(r"[0-9a-f]{64}\Z")
_PLAIN = frozenset({str, int, bool, type(None)})
_RAW = re.compile("[^\x00-\x7e]")


class LeafError(ValueError):
    """Not a leaf, or nothing that can become one."""


class Sealed(Struct, frozen=True):
    """What is shown of a record's inputs: the box in base64, and the commitment to what is in it in hex."""

    box: str
    commitment: str


class Leaf(Struct, frozen=True):
    """A record as it was read. `clear` holds every field but `k`, `id`, `in` and `ic`."""

    kind: str
    id: str
    clear: Mapping[str, Json]
    sealed: Sealed | None


def encode(kind: str, record_id: str, clear: Mapping[str, Json], sealed: Sealed | None) -> bytes:
    """The canonical bytes of one record.

    Shapes: `kind` words of a-z joined by dots; `record_id` from `pdp.audit.ids`, believed; `v` stands in `clear` only
        as 1, and is added where it is absent; `sealed` from `pdp.audit.box`, believed.
    Errors: LeafError for a float or anything else that is not JSON, a lone surrogate, a reserved name, nesting beyond
        16, more than 60,000 bytes.
    """
    if not _RESERVED.isdisjoint(clear):
        raise LeafError(f"a clear field has a reserved name: {', '.join(sorted(_RESERVED & clear.keys()))}")
    fields: dict[str, Json] = {"v": SCHEMA_VERSION, **clear, "k": kind, "id": record_id}
    if sealed is not None:
        fields["in"] = sealed.box
        fields["ic"] = sealed.commitment
    if _KIND.match(kind) is None:
        raise LeafError(f"`{kind}` names no kind of record")
    _check_version(fields)
    _check_values(fields.values(), 1)
    return _canonical(fields)


def parse(data: bytes) -> Leaf:
    """Read one leaf strictly.

    Errors: LeafError unless `data` is what `encode` writes: a duplicate key, a float, a space, another order of keys
        or another spelling of a string is not a leaf.
    """
    if len(data) > MAX_LEAF_BYTES:
        raise LeafError(f"a leaf of {len(data)} bytes: at most {MAX_LEAF_BYTES} are read")
    try:
        fields = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise LeafError(f"a leaf is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise LeafError("a leaf is not an object")
    _check_fields(fields)
    if _canonical(fields) != data:
        raise LeafError("a leaf is not in its canonical form")
    box, commitment = fields.pop("in", None), fields.pop("ic", None)
    sealed = None if box is None else Sealed(box, commitment)
    return Leaf(fields.pop("k"), fields.pop("id"), fields, sealed)


def _check_fields(fields: Mapping[str, Json]) -> None:
    _check_values(fields.values(), 1)
    _check_version(fields)
    kind, record_id = fields.get("k"), fields.get("id")
    if not isinstance(kind, str) or _KIND.match(kind) is None:
        raise LeafError("a leaf has no kind")
    if not isinstance(record_id, str) or not ids.is_shaped(record_id):
        raise LeafError("a leaf has no decision id")
    if "in" in fields or "ic" in fields:
        box, commitment = fields.get("in"), fields.get("ic")
        if not isinstance(box, str) or not isinstance(commitment, str) or _COMMITMENT.match(commitment) is None:
            raise LeafError("a leaf has a box without a commitment, or a commitment without a box")


def _check_version(fields: Mapping[str, Json]) -> None:
    version = fields.get("v")
    if type(version) is not int or version != SCHEMA_VERSION:  # true is 1 to Python, and not to JSON
        raise LeafError(f"a leaf has not the schema version {SCHEMA_VERSION}")


def _check_values(values: Iterable[Json], depth: int) -> None:
    """Only what JSON and this format have: orjson would also write floats, dates, enums and dataclasses."""
    if depth > MAX_DEPTH:
        raise LeafError(f"a record is nested more than {MAX_DEPTH} deep")
    for value in values:
        if type(value) in _PLAIN:
            continue
        if isinstance(value, list):
            _check_values(value, depth + 1)
        elif isinstance(value, dict):
            _check_values(value.values(), depth + 1)
        else:
            raise LeafError(
                f"a record holds a {type(value).__name__}: text, integers, booleans, null, lists, objects only"
            )


def _canonical(fields: Mapping[str, Json]) -> bytes:
    try:
        data = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise LeafError(f"a record cannot be written as JSON: {error}") from error
    if not data.isascii() or b"\x7f" in data:
        data = _RAW.sub(_escape, data.decode()).encode("ascii")
    if len(data) > MAX_LEAF_BYTES:
        raise LeafError(f"a record of {len(data)} bytes: a leaf holds at most {MAX_LEAF_BYTES}")
    return data


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))
